package disk

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"leveret/spool"
)

// TestMergeEndsBeforeADamagedEntry: what is merged must not reach over an entry
// that does not read. The next Open makes that one anew, in the middle of the
// other, and messages behind it could neither be found nor leave.
func TestMergeEndsBeforeADamagedEntry(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	c := &committer{Store: s}
	const last, damaged = 60, 30
	for pos := spool.Pos(1); pos <= last; pos++ {
		_, err := s.Append(&spool.Batch{Enters: []spool.Enter{{Record: text("x"), Size: 1, To: []spool.Dest{{Queue: 1, Pos: pos}}}}})
		if err == nil {
			err = c.commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.out.commit([]change{{entryKey(1, damaged), []byte{format, 1, 2, 3, 4, 5}}}); err != nil {
		t.Fatal(err)
	}
	c.refresh(func() {})
	s.index.unlink(s.index.queues[1].floor(damaged))
	c.opts.MergeChunks = mergeFew
	c.merges(s.opts.Now(), func(at time.Time) {})
	for more := true; more; {
		var err error
		if more, err = c.merge(); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.index.queues[1].entries; n >= last/2 {
		t.Fatalf("nothing was merged: %d entries", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = opened(t, dir)
	defer s.Close()
	c = &committer{Store: s}
	var want []spool.Pos
	for pos := spool.Pos(1); pos <= last; pos++ {
		want = append(want, pos)
	}
	if got := positions(t, s, 1); !slices.Equal(got, want) {
		t.Errorf("queue holds %v, want 1 to %d", got, last)
	}
	for pos := spool.Pos(1); pos <= last; pos++ {
		if _, err := s.Append(&spool.Batch{Leaves: []spool.Leave{{Queue: 1, Pos: pos, Size: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.commit(); err != nil {
		t.Fatal(err)
	}
	if got := positions(t, s, 1); len(got) > 0 {
		t.Errorf("%v did not leave", got)
	}
}

// positions reads a queue in small steps.
func positions(t *testing.T, s *Store, q spool.QueueID) (list []spool.Pos) {
	t.Helper()
	items := make([]spool.Item, 7)
	for from := spool.Pos(0); ; from = items[0].Pos + 1 {
		n, err := s.Read(q, from, items, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return list
		}
		for _, it := range items[:n] {
			list = append(list, it.Pos)
		}
		items[0] = items[n-1]
	}
}

// TestOtherWorkWaitsForSpace: on a full volume, which a mapped file does not
// survive, nothing is written between commits either, until there is space.
func TestOtherWorkWaitsForSpace(t *testing.T) {
	for name, begin := range map[string]func(*committer){
		"merge":       func(c *committer) { c.merger.queues = []spool.QueueID{1} },
		"purge":       func(c *committer) { c.index.purging[1] = span{1, 10} },
		"reclaim":     func(c *committer) { c.janitor.freed, c.janitor.since = c.opts.ReclaimBytes, c.opts.Now() },
		"definitions": func(c *committer) { c.defsDue = c.opts.Now() },
		"start":       func(c *committer) { c.settled, c.starts.failed = c.opts.Now(), 1 },
	} {
		t.Run(name, func(t *testing.T) {
			d := newTwin(rand.New(rand.NewPCG(1, 1)))
			o := Tiny()
			o.Dir, o.on, o.MergeChunks, o.Now = "/spool", d, mergeFew, time.Now
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			c := &committer{Store: s, settled: o.Now().Add(settledAfter)}
			c.janitor.store = s
			for pos := spool.Pos(1); pos <= 2*mergeFew; pos++ {
				if _, err := s.Append(&spool.Batch{Enters: []spool.Enter{{Record: text("x"), Size: 1, To: []spool.Dest{{Queue: 1, Pos: pos}}}}}); err != nil {
					t.Fatal(err)
				}
				if err := c.commit(); err != nil {
					t.Fatal(err)
				}
			}
			c.index.thinned = 0
			begin(c)
			d.free = 0
			steps := d.steps
			look, more, err := c.turn(false)
			if d.steps != steps || more || err != nil {
				t.Fatalf("%d operations on a full volume, more: %t, %v", d.steps-steps, more, err)
			}
			if look.IsZero() || !s.Full() {
				t.Errorf("the next look is at %v; full: %t", look, s.Full())
			}
			d.free = 1 << 40
			for range 3 {
				if _, _, err := c.turn(false); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.janitor.wait(nil); err != nil {
				t.Fatal(err)
			}
			if d.steps == steps {
				t.Error("nothing was done when there was space again")
			}
			d.free = 0
			if err := s.Close(); !errors.Is(err, errNoSpace) {
				t.Errorf("Close on a full volume = %v", err)
			}
		})
	}
}
