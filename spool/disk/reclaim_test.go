package disk_test

import (
	"errors"
	"testing"
	"time"

	"leveret/spool"
)

// TestFullSpoolFindsRoom: each file of a full spool is dead to a third only,
// which is not enough to rewrite it as long as there is space elsewhere.
func TestFullSpoolFindsRoom(t *testing.T) {
	o := small(t.TempDir())
	o.BudgetBytes, o.NoCompression = 12<<20, true
	l := start(t, o)
	defer l.stop(t)
	pos := spool.Pos(0)
	for {
		// A commit of its own for each makes chunks of one queue.
		q := 1 + spool.QueueID(pos/50%3)
		var b spool.Batch
		for range 50 {
			b.Enters = append(b.Enters, spool.Enter{Record: marked(byte(pos)), Size: 1601, To: []spool.Dest{{Queue: q, Pos: pos}}})
			pos++
		}
		lsn, err := l.Append(&b)
		if errors.Is(err, spool.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
	}
	room := l.Room()
	if room == nil {
		t.Fatal("Room() = nil while full")
	}
	if _, err := l.Append(&spool.Batch{Purges: []spool.Purge{{Queue: 1, To: pos}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-room:
	case <-time.After(time.Minute):
		t.Fatalf("no room after a third left, %d bytes", l.Stats().DiskBytes)
	}
}
