package mem_test

import (
	"testing"

	"leveret/spool/mem"
	"leveret/spool/spooltest"
)

func TestContract(t *testing.T) {
	spooltest.Run(t, func(testing.TB) *spooltest.Harness {
		log := mem.New()
		h := &spooltest.Harness{Log: log}
		h.Sync = func(testing.TB) { log.Commit() }
		h.Crash = func(testing.TB) {
			log = log.Crash()
			h.Log = log
		}
		h.Reopen = func(t testing.TB) {
			log.Commit()
			h.Crash(t)
		}
		h.SetFull = func(_ testing.TB, full bool) { log.SetFull(full) }
		h.SetMost = func(_ testing.TB, bytes int64) { log.SetMost(bytes) }
		h.Fail = func(_ testing.TB, err error) { log.Fail(err) }
		return h
	})
}
