package disk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"leveret/spool"
)

// stocked is a running store on the simulated ground, in virtual time.
type stocked struct {
	*Store
	warned bool // the operator was told of the budget, and not yet that it is over
	stop   func() error
}

// filledTo starts a store that has used so many percent of what messages without
// a priority may use.
func filledTo(t *testing.T, percent int64) *stocked {
	t.Helper()
	f := &stocked{}
	d := newTwin(rand.New(rand.NewPCG(1, 1)))
	d.used = 8 << 20
	o := Tiny()
	o.Dir, o.on, o.CommitsPerSecond = "/spool", d, 0
	o.Log = slog.New(slog.DiscardHandler)
	o.Trouble = func(name, text string) {
		if name == TroubleBudget {
			f.warned = text != ""
		}
	}
	var err error
	if f.Store, err = Open(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	f.stop = func() error {
		cancel()
		return errors.Join(<-ended, f.Close())
	}
	synctest.Wait() // the ground belongs to one goroutine at a time
	f.SetBudget(d.used * 100 / percent * 16 / 15)
	return f
}

func (f *stocked) offer(pos spool.Pos, priority uint8) error {
	_, err := f.Append(alarm(pos, priority))
	return err
}

func alarm(pos spool.Pos, priority uint8) *spool.Batch {
	body := text(bytes.Repeat([]byte("b"), 100))
	return &spool.Batch{Enters: []spool.Enter{{
		Record: body, Size: 100, Priority: priority, To: []spool.Dest{{Queue: 3, Pos: pos}},
	}}}
}

func TestBudgetLevels(t *testing.T) {
	for _, c := range []struct {
		percent        int64
		plain, alarm   bool // are taken
		slowed, warned bool
	}{
		{percent: 70, plain: true, alarm: true},
		{percent: 85, plain: true, alarm: true, warned: true},
		{percent: 95, plain: true, alarm: true, warned: true, slowed: true},
		{percent: 103, alarm: true, warned: true, slowed: true},
		{percent: 120, warned: true, slowed: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := filledTo(t, c.percent)
			if f.warned != c.warned {
				t.Errorf("at %d %%: warned %v, want %v", c.percent, f.warned, c.warned)
			}
			for i, want := range []bool{c.plain, c.alarm} {
				priority := uint8(9 * i)
				takes := f.Takes(alarm(spool.Pos(i), priority))
				err := f.offer(spool.Pos(i), priority)
				if (err == nil) != (takes == nil) {
					t.Errorf("at %d %%: priority %d: Takes = %v and Append = %v", c.percent, priority, takes, err)
				}
				if (err == nil) != want || err != nil && !errors.Is(err, spool.ErrFull) {
					t.Errorf("at %d %%: priority %d: %v, want taken %v", c.percent, priority, err, want)
				}
			}
			if c.plain {
				f.pauses(t, c.percent, c.slowed)
			}
			if err := f.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// pauses publishes more than goes between two pauses.
func (f *stocked) pauses(t *testing.T, percent int64, slowed bool) {
	t.Helper()
	if _, err := f.Append(batchOf(1, 50<<10, 50<<10)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	room := f.Room()
	if (room != nil) != slowed {
		t.Errorf("at %d %%: slowed %v, want %v", percent, room != nil, slowed)
	}
	if room == nil {
		return
	}
	begun := time.Now()
	<-room
	if d := time.Since(begun); d == 0 || d > paceMax {
		t.Errorf("at %d %%: the pause took %v, want at most %v", percent, d, paceMax)
	}
}

// TestAlarmsPassAFullSpool: once a message has a priority publishers are not
// held up while it could be taken.
func TestAlarmsPassAFullSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filledTo(t, 102)
		if f.Room() == nil {
			t.Error("publishers are not held up")
		}
		if err := f.offer(1, 9); err != nil {
			t.Fatal(err)
		}
		if f.Room() != nil {
			t.Error("publishers are held up although alarms fit")
		}
		synctest.Wait()
		f.SetBudget(0)
		if f.warned {
			t.Error("there is no budget and still a warning")
		}
		if err := f.offer(2, 0); err != nil {
			t.Error(err)
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}
