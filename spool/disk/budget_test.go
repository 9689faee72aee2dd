package disk_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"leveret/spool"
)

// filledTo starts a spool that has used so many percent of what messages
// without a priority may use.
func filledTo(t *testing.T, percent int64, told *told) *life {
	t.Helper()
	o := small(t.TempDir())
	o.NoCompression = true
	o.Trouble = told.trouble
	l := start(t, o)
	fillQueueOf(t, l, 1, 2000)
	used, err := l.Measure()
	if err != nil {
		t.Fatal(err)
	}
	l.SetBudget(used * 100 / percent * 16 / 15)
	return l
}

func offer(l *life, pos spool.Pos, priority uint8) error {
	_, err := l.Append(alarm(pos, priority))
	return err
}

func alarm(pos spool.Pos, priority uint8) *spool.Batch {
	body := raw(bytes.Repeat([]byte("b"), 100))
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
		var told told
		l := filledTo(t, c.percent, &told)
		if got := slices.Contains(told.names(), "spool budget"); got != c.warned {
			t.Errorf("at %d %%: warned %v, want %v", c.percent, got, c.warned)
		}
		for i, want := range []bool{c.plain, c.alarm} {
			priority := uint8(9 * i)
			takes := l.Takes(alarm(spool.Pos(i), priority))
			err := offer(l, spool.Pos(i), priority)
			if (err == nil) != (takes == nil) {
				t.Errorf("at %d %%: priority %d: Takes = %v and Append = %v", c.percent, priority, takes, err)
			}
			if (err == nil) != want || err != nil && !errors.Is(err, spool.ErrFull) {
				t.Errorf("at %d %%: priority %d: %v, want taken %v", c.percent, priority, err, want)
			}
		}
		if c.plain {
			// More than goes between two pauses, at once: the level is measured
			// anew with each commit.
			var many spool.Batch
			for pos := range spool.Pos(50) {
				many.Enters = append(many.Enters, spool.Enter{Record: marked(1), Size: 1601, To: []spool.Dest{{Queue: 4, Pos: pos}}})
			}
			if _, err := l.Append(&many); err != nil {
				t.Fatal(err)
			}
			if room := l.Room(); (room != nil) != c.slowed {
				t.Errorf("at %d %%: slowed %v, want %v", c.percent, room != nil, c.slowed)
			} else if room != nil {
				select {
				case <-room:
				case <-time.After(time.Minute):
					t.Errorf("at %d %%: the pause did not end", c.percent)
				}
			}
		}
		if err := l.stop(t); err != nil {
			t.Error(err)
		}
	}
}

// TestAlarmsPassAFullSpool: once a message has a priority publishers are not
// held up while it could be taken.
func TestAlarmsPassAFullSpool(t *testing.T) {
	var told told
	l := filledTo(t, 102, &told)
	defer l.stop(t)
	if l.Room() == nil {
		t.Error("publishers are not held up")
	}
	if err := offer(l, 1, 9); err != nil {
		t.Fatal(err)
	}
	if l.Room() != nil {
		t.Error("publishers are held up although alarms fit")
	}
	l.SetBudget(0)
	if slices.Contains(told.names(), "spool budget") {
		t.Error("there is no budget and still a warning")
	}
	if err := offer(l, 2, 0); err != nil {
		t.Error(err)
	}
}
