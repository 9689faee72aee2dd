package disk_test

import (
	"path/filepath"
	"testing"

	"leveret/spool"
)

// TestSmallerMemTables: what a crash left in a large write-ahead log opens with a
// profile whose memtables are smaller than that.
func TestSmallerMemTables(t *testing.T) {
	o := small(t.TempDir())
	o.MemTableSize, o.MergeChunks = 4<<20, -1
	l := start(t, o)
	list := noise(1000, 900) // one by one below the threshold: all of it lies in the log
	const n = 3000
	for pos := spool.Pos(1); pos <= n; pos++ {
		r := list[pos%1000]
		appendAwait(t, l, &spool.Batch{Enters: []spool.Enter{{Record: r, Size: r.Size(), To: []spool.Dest{{Queue: 1, Pos: pos}}}}})
	}
	o.Dir = filepath.Join(t.TempDir(), "after")
	l.crash(t, o.Dir)

	o.MemTableSize = 1 << 20
	for range 2 {
		l = start(t, o)
		if got := drained(t, l, 1); got != n {
			t.Fatalf("%d messages are there, want %d", got, n)
		}
		if err := l.stop(t); err != nil {
			t.Fatal(err)
		}
	}
}
