package disk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"leveret/spool"
)

// TestGarbageIsNoNewerFormat: what was overwritten seems to be of some format
// that is not known yet. It costs what it was, and neither blocks its queue nor
// keeps the spool from opening.
func TestGarbageIsNoNewerFormat(t *testing.T) {
	for _, c := range []struct {
		class      byte
		read, open []spool.Pos // what is sound of 1, 2, 3 at once and after the next start
	}{
		{classChunk, []spool.Pos{2, 3}, []spool.Pos{2, 3}},
		{classEntry, []spool.Pos{2, 3}, []spool.Pos{1, 2, 3}}, // it is made anew
	} {
		o, d := onTwin(t)
		s := three(t, o)
		garble(d, c.class)
		if got := sound(t, s, 1); !slices.Equal(got, c.read) {
			t.Errorf("%c: queue holds %v, want %v", c.class, got, c.read)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := Open(o)
		if err != nil {
			t.Fatalf("%c: Open: %v", c.class, err)
		}
		if got := sound(t, s, 1); !slices.Equal(got, c.open) {
			t.Errorf("%c: queue holds %v after a start, want %v", c.class, got, c.open)
		}
		s.Close()
	}
}

// TestNewerEntriesAreRefused where nothing else tells the format.
func TestNewerEntriesAreRefused(t *testing.T) {
	o, d := onTwin(t)
	if err := three(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	garble(d, classEntry)
	garble(d, classSchema)
	before := slices.Clone(d.keys)
	for range 2 {
		if _, err := Open(o); !errors.Is(err, spool.ErrNewer) {
			t.Errorf("Open = %v, want ErrNewer", err)
		}
	}
	if !slices.EqualFunc(d.keys, before, func(a, b pair) bool { return bytes.Equal(a.value, b.value) }) {
		t.Error("a folder that was refused was changed")
	}
}

func onTwin(t *testing.T) (Options, *twin) {
	t.Helper()
	d := newTwin(rand.New(rand.NewPCG(1, 1)))
	o := Tiny()
	o.Dir, o.on, o.Now = "/spool", d, time.Now
	return o, d
}

// three is a store with three messages, each in a chunk of its own.
func three(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &committer{Store: s}
	for pos := spool.Pos(1); pos <= 3; pos++ {
		_, err := s.Append(&spool.Batch{Enters: []spool.Enter{{Record: text("x"), Size: 1, To: []spool.Dest{{Queue: 1, Pos: pos}}}}})
		if err == nil {
			err = c.commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// garble overwrites the first value of a class.
func garble(d *twin, class byte) {
	i := slices.IndexFunc(d.keys, func(p pair) bool { return p.key[0] == class })
	d.keys[i].value = bytes.Repeat([]byte{0x77}, len(d.keys[i].value))
}

// sound lists the positions of a queue that read without an error.
func sound(t *testing.T, s *Store, q spool.QueueID) (list []spool.Pos) {
	t.Helper()
	items := make([]spool.Item, 5)
	n, err := s.Read(q, 0, items, 1<<20)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	for _, it := range items[:n] {
		if it.Err == nil {
			list = append(list, it.Pos)
		}
	}
	return list
}
