package edge

import (
	"context"
	"math"
	"runtime/debug"
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
		m := newMemoryAlarm(mem.New().Auto(), 100, used.Load, func(text string) { told = append(told, text) })
		m.most = 60
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
			time.Sleep(memoryWaitMax)
			_ = m.Room() // a publisher asks, and has the alarm ring
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
		time.Sleep(memoryLook)
		if m.Room() != nil {
			t.Error("publishers wait again after the end")
		}
	})
}

// TestMemoryAlarmIsFast: the publisher that brings too much is held itself, not
// those who come a second later.
func TestMemoryAlarmIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used int64
		m := newMemoryAlarm(mem.New().Auto(), 1000, func() int64 { return used }, func(string) {})
		for used = 0; m.Room() == nil; used += 10 {
			if used > 700 {
				t.Fatalf("nobody waits with %d of 1000 in use", used)
			}
			time.Sleep(memoryLook)
		}
	})
}

// TestMemoryAlarmSleeps: who is idle is not woken to look, and who is busy looks
// now and then.
func TestMemoryAlarmSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		m := newMemoryAlarm(mem.New().Auto(), 1000, func() int64 { looks++; return 0 }, func(string) {})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go m.run(ctx)
		time.Sleep(time.Hour)
		if looks != 0 {
			t.Errorf("an idle process looked %d times in an hour", looks)
		}
		for range 1000 {
			_ = m.Room()
		}
		if looks != 1 {
			t.Errorf("%d looks at one instant", looks)
		}
	})
}

// TestMemoryAlarmOfGarbage: what the collector takes away is not worth a word.
func TestMemoryAlarmOfGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := []int64{60, 20}
		told := 0
		m := newMemoryAlarm(mem.New().Auto(), 100, func() (n int64) { n, used = used[0], used[1:]; return n }, func(string) { told++ })
		m.most = 60
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		time.Sleep(memoryLook)
		if m.Room() == nil {
			t.Fatal("publishers do not wait")
		}
		go m.run(ctx)
		synctest.Wait()
		if m.NoRoom() != "" || told != 0 {
			t.Errorf("there is no room because %q, and %d words were said, of garbage", m.NoRoom(), told)
		}
	})
}

// TestMemoryOfTheProcess: what is measured is more than nothing, and less than
// what would be needed to hold all of a test's address space; and it sees what is
// taken.
func TestMemoryOfTheProcess(t *testing.T) {
	g := newMemoryGauge()
	before := g.used()
	if before < 1<<20 || before > 4<<30 {
		t.Errorf("used() = %d", before)
	}
	taken := make([]byte, 256<<20)
	for i := 0; i < len(taken); i += 512 {
		taken[i] = 1
	}
	if grown := g.used() - before; grown < int64(len(taken))/2 {
		t.Errorf("of %d bytes more it sees %d", len(taken), grown)
	}
	clear(taken[:1])
}

func TestContentBytesMax(t *testing.T) {
	for _, c := range []struct {
		message   int
		available int64
		want      int
	}{{4 << 20, 0, 0}, {4 << 20, 512 << 20, 0}, {4 << 20, 100_000_000, 12_000_000}, {0, 100_000_000, 12_000_000}, {0, 1 << 30, 0}} {
		if got := contentBytesMax(c.message, c.available); got != c.want {
			t.Errorf("contentBytesMax(%d, %d) = %d, want %d", c.message, c.available, got, c.want)
		}
	}
}

func TestLimitHeap(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	was, wasPercent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer func() { debug.SetMemoryLimit(was); debug.SetGCPercent(wasPercent) }()
	for _, c := range []struct{ profile, available, want int64 }{
		{32 << 20, 0, 32 << 20},
		{32 << 20, 500 << 20, 32 << 20},
		{64 << 20, 100_000, 50_000},
		{math.MaxInt64, 1000, 500},
	} {
		limitHeap(sizes{heapBytes: c.profile, gcPercent: 100}, c.available)
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("with %d of the profile and %d available the limit is %d, want %d", c.profile, c.available, got, c.want)
		}
	}
}
