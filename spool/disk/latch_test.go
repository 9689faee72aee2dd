package disk_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"leveret/spool"
)

// TestLatch: what Badger only logs must end all promises.
func TestLatch(t *testing.T) {
	for _, c := range []struct {
		name  string
		log   func(*life)
		fails bool
	}{
		{"value log sync", func(l *life) { l.Badger().Errorf("Error while curlf sync: %v\n", errors.New("input/output error")) }, true},
		{"manifest", func(l *life) { l.Badger().Warningf("MANIFEST delete: table %d has already been removed", 7) }, true},
		{"a bad value", func(l *life) { l.Badger().Errorf("Unable to read: Key: %v, Version : %v", "k", 1) }, false},
		{"a warning", func(l *life) { l.Badger().Warningf("While running doCompact: %v\n", "x") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(t.TempDir())
			l := start(t, o)
			fillQueueOf(t, l, 1, 10)
			c.log(l)
			b := spool.Batch{Enters: []spool.Enter{{Record: raw("x"), To: []spool.Dest{{Queue: 1, Pos: 100}}}}}
			lsn, err := l.Append(&b)
			if err != nil {
				t.Fatal(err)
			}
			if !c.fails {
				await(t, l, lsn)
				if err := l.stop(t); err != nil {
					t.Errorf("Run = %v", err)
				}
				return
			}
			for {
				durable, moved, err := l.Durable()
				if durable >= lsn {
					t.Fatal("the commit was promised")
				}
				if err != nil {
					break
				}
				<-moved
			}
			if err := <-l.ended; !errors.Is(err, spool.ErrFailed) || !strings.Contains(err.Error(), "badger") {
				t.Errorf("Run = %v, want ErrFailed and its cause", err)
			}
			if _, err := l.Append(&b); !errors.Is(err, spool.ErrFailed) {
				t.Errorf("Append = %v, want ErrFailed", err)
			}
			if _, err := l.Read(1, 0, make([]spool.Item, 1), 1); !errors.Is(err, spool.ErrFailed) {
				t.Errorf("Read = %v, want ErrFailed", err)
			}
			if l.Room() != nil {
				t.Error("publishers are held back by a failed log")
			}
			l.Close()
		})
	}
}

func TestRoom(t *testing.T) {
	o := small(t.TempDir())
	o.StageBytesMax, o.CommitWindow = 10_000, time.Millisecond
	l := start(t, o)
	defer l.stop(t)
	for i := range spool.Pos(300) {
		b := spool.Batch{Enters: []spool.Enter{{Record: marked(1), To: []spool.Dest{{Queue: 1, Pos: i}}}}}
		if _, err := l.Append(&b); err != nil {
			t.Fatal(err)
		}
		if room := l.Room(); room != nil {
			<-room
		}
		if got := l.Stats().StagedBytes; got > 13_000 {
			t.Fatalf("%d bytes are staged, the bound is 10000", got)
		}
	}
}

// TestBudget fills the budget, drains, and fills it again.
func TestBudget(t *testing.T) {
	o := small(t.TempDir())
	o.BudgetBytes, o.ReclaimBytes, o.NoCompression = 12<<20, 2<<20, true
	o.StageBytesMax = 1 << 20
	l := start(t, o)
	defer l.stop(t)
	pos, head := spool.Pos(0), spool.Pos(0)
	for round := range 3 {
		for full := false; !full; {
			var b spool.Batch
			for range 50 {
				b.Enters = append(b.Enters, spool.Enter{Record: marked(byte(pos)), Size: 1601, To: []spool.Dest{{Queue: 1, Pos: pos}}})
				pos++
			}
			lsn, err := l.Append(&b)
			if full = errors.Is(err, spool.ErrFull); full {
				pos -= 50
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			await(t, l, lsn)
			if pos > 100_000 {
				t.Fatalf("round %d: nothing is full after %d messages", round, pos)
			}
		}
		if n := int(pos - head); n < 1000 {
			t.Errorf("round %d: full after %d messages", round, n)
		}
		room := l.Room()
		if room == nil {
			t.Fatal("Room() = nil while full")
		}
		var b spool.Batch
		for ; head < pos; head++ {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: head, Size: 1601})
		}
		if _, err := l.Append(&b); err != nil {
			t.Fatal(err)
		}
		select {
		case <-room:
		case <-time.After(time.Minute):
			t.Fatalf("round %d: no room after everything left, %d bytes", round, l.Stats().DiskBytes)
		}
	}
}

// TestReclaim: a drained backlog gives its space back by itself.
func TestReclaim(t *testing.T) {
	o := small(t.TempDir())
	o.ReclaimBytes, o.NoCompression = 8<<20, true
	l := start(t, o)
	defer l.stop(t)
	const n = 150_000 // 30 MB
	fillQueue(t, l, n)
	full, err := l.Measure()
	if err != nil || full < 28<<20 {
		t.Fatalf("the backlog takes %d bytes (%v)", full, err)
	}
	items := make([]spool.Item, 200)
	for from := spool.Pos(0); ; {
		k, err := l.Read(1, from, items, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			break
		}
		var b spool.Batch
		for _, it := range items[:k] {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: it.Pos, Size: 200})
			from = it.Pos + 1
		}
		if _, err := l.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	late := time.Now().Add(time.Minute)
	for {
		got, err := l.Measure()
		if err != nil {
			t.Fatal(err)
		}
		if got < 5<<20 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%d bytes of %d are still taken", got, full)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
