package disk

import (
	"testing"

	"leveret/spool"
)

// TestStoreGoesOnWithoutJots: they are more than was promised.
func TestStoreGoesOnWithoutJots(t *testing.T) {
	s := opened(t, t.TempDir())
	defer s.Close()
	if s.jots.f == nil {
		t.Fatal("nothing is jotted down")
	}
	if err := s.jots.f.Close(); err != nil { // as a disk that is ill
		t.Fatal(err)
	}
	for n := range 3 {
		s.index.changes.reset()
		s.index.changes.set(defKey("a"), defValue("a", []byte("b")))
		if err := (&committer{Store: s}).write(0); err != nil {
			t.Fatalf("write %d = %v", n, err)
		}
	}
	if s.jots.f != nil {
		t.Error("marks are still jotted down")
	}
}

// TestJotsAreToldOf: who looks at a spool in use sees its last commit.
func TestJotsAreToldOf(t *testing.T) {
	o := uncompressed(t.TempDir())
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := &committer{Store: s}
	for pos := uint64(1); pos <= 5; pos++ {
		b := spool.Batch{Enters: []spool.Enter{{Record: text("x"), Size: 1, To: []spool.Dest{{Queue: 1, Pos: spool.Pos(pos)}}}}}
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(); err != nil {
			t.Fatal(err)
		}
		in, err := Inspect(o.Dir)
		if err != nil || in.Commits != pos || in.Records != pos {
			t.Errorf("told of are %d commits and %d records (%v), want %d", in.Commits, in.Records, err, pos)
		}
	}
}
