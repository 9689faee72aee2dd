package disk

import (
	"path/filepath"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// TestDeadLogsGoWithoutACommit: what somebody who reads keeps from being deleted goes
// when that has ended, though nothing is written any more.
func TestDeadLogsGoWithoutACommit(t *testing.T) {
	l := newLedger(t)
	l.open()
	e := l.s.engine.(*badgerEngine)
	const n = 100
	for range n {
		if err := l.commit(40_000, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.commit(10, n); err != nil {
		t.Fatal(err)
	}
	if err := l.c.reclaim(); err != nil {
		t.Fatal(err)
	}
	if err := l.c.janitor.wait(nil); err != nil {
		t.Fatal(err)
	}
	logs := func() int {
		list, err := filepath.Glob(filepath.Join(l.o.Dir, "*.vlog"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := logs()
	reader := e.db.NewTransaction(false)
	it := reader.NewIterator(badger.IteratorOptions{})
	for more := true; more; {
		var err error
		if more, err = l.c.janitor.sweep(); err != nil {
			t.Fatal(err)
		}
	}
	if now := logs(); now < before || before < 3 {
		t.Fatalf("of %d value logs %d are there while somebody reads", before, now)
	}
	it.Close()
	reader.Discard()
	for now := time.Now(); logs() > 2; {
		again, err := e.rest(now)
		if err != nil {
			t.Fatal(err)
		}
		if again.IsZero() && logs() > 2 {
			t.Fatalf("%d value logs are there, and nobody will look again", logs())
		}
		now = again
	}
	if again, err := e.rest(time.Now().Add(time.Hour)); !again.IsZero() || err != nil {
		t.Errorf("there is nothing to be had, and it is looked again at %v (%v)", again, err)
	}
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogOfTheNewestAnchor: an anchor that was cast just before a memtable was done
// holds its log; as long as that is there nothing else could go either.
func TestLogOfTheNewestAnchor(t *testing.T) {
	l := newLedger(t)
	l.open()
	e := l.s.engine.(*badgerEngine)
	if err := l.commit(10, 0); err != nil {
		t.Fatal(err)
	}
	scratch := []byte{classScratch}
	if err := e.commit([]change{{scratch, scratch}}); err != nil {
		t.Fatal(err)
	}
	e.files.anchor.cast()
	if err := e.db.DropPrefix(scratch); err != nil {
		t.Fatal(err)
	}
	e.latch.prove()
	if _, err := e.files.names.look(e.files.d); err != nil {
		t.Fatal(err)
	}
	e.files.names.safe() // its name was seen before it was done
	e.files.anchor.slip()
	e.files.anchor.dead = true
	for range 3 {
		if err := e.settled(0); err != nil {
			t.Fatal(err)
		}
	}
	mems, err := filepath.Glob(filepath.Join(l.o.Dir, "*.mem"))
	if err != nil || len(mems) != 1 {
		t.Errorf("logs are %q (%v)", mems, err)
	}
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}
