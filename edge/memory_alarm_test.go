package edge

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leveret/spool/mem"
)

// TestMemoryAlarm: publishers wait from the bound on until there is clearly less.
func TestMemoryAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		told := []string{}
		m := &memoryAlarm{Log: mem.New().Auto(), most: 60, used: used.Load, tell: func(text string) { told = append(told, text) }}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go m.run(ctx)
		for _, step := range []struct {
			used  int64
			waits bool
			told  int
		}{{59, false, 0}, {60, true, 1}, {99, true, 1}, {50, true, 1}, {49, false, 2}, {60, true, 3}} {
			room := m.Room()
			used.Store(step.used)
			time.Sleep(memoryLook)
			synctest.Wait()
			if waits := m.Room() != nil; waits != step.waits || (m.NoRoom() != "") != waits || len(told) != step.told {
				t.Errorf("with %d of 60 in use publishers wait: %t, told %q", step.used, waits, told)
			}
			if room != nil && !step.waits {
				select {
				case <-room:
				default:
					t.Error("nobody told those who wait that it is over")
				}
			}
		}
		stop()
		synctest.Wait()
		if m.Room() != nil {
			t.Error("publishers wait after the end")
		}
	})
}

// TestMemoryOfTheProcess: what is measured is more than nothing, and less than
// what would be needed to hold all of a test's address space.
func TestMemoryOfTheProcess(t *testing.T) {
	if n := runtimeMemory(); n < 1<<20 || n > 4<<30 {
		t.Errorf("runtimeMemory() = %d", n)
	}
}
