package disk

import (
	"context"
	"testing"
	"time"

	"leveret/spool"
)

// TestStraysGo: chunks that nothing refers to are deleted, a part of one, too, and
// however many steps the search takes; all others stay.
func TestStraysGo(t *testing.T) {
	o, d := onTwin(t)
	d.max.changes = 3000
	s := three(t, o)
	defer s.Close()
	kept := chunkKeys(s)
	var list []change
	for id := range uint64(2*straysLook + 10) {
		list = append(list, change{chunkKey(1_000_000 + id), []byte("stray")})
	}
	list = append(list, change{append(chunkKey(1_000_000), 0, 1), []byte("part")})
	if err := (&twinEngine{d}).commit(list); err != nil {
		t.Fatal(err)
	}
	c := &committer{Store: s}
	if more, err := c.dropStrays(); more || err != nil || len(chunkKeys(s)) != len(kept)+len(list) {
		t.Fatalf("looked for when nobody asked: %v, %v", more, err)
	}
	c.strays.begin()
	steps := 1
	for ; ; steps++ {
		more, err := c.dropStrays()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
	}
	if got := chunkKeys(s); len(got) != len(kept) || steps < 3 {
		t.Errorf("%d chunks are left after %d steps, want %d", len(got), steps, len(kept))
	}
	if got := sound(t, s, 1); len(got) != 3 {
		t.Errorf("queue holds %v, want all three", got)
	}
	if c.janitor.freed <= 0 {
		t.Error("nobody knows that there is space to win back")
	}
}

func chunkKeys(s *Store) (keys []string) {
	at := s.engine.now()
	defer at.close()
	at.each([]byte{classChunk}, nil, func(it item) bool {
		keys = append(keys, string(it.Key()))
		return true
	})
	return keys
}

// TestStraysAreLookedForAfterASweep, and then only: what a rewrite of a value log
// brought back is gone soon.
func TestStraysAreLookedForAfterASweep(t *testing.T) {
	s, err := Open(uncompressed(deadLogs(t)))
	if err != nil {
		t.Fatal(err)
	}
	// As a rewrite might leave it; at the opening it would have been found.
	if err := s.out.commit([]change{{chunkKey(1_000_000), make([]byte, 5000)}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for late := time.Now().Add(time.Minute); len(chunkKeys(s)) > 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("chunks are still %q", chunkKeys(s))
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if got := sound(t, s, 1); len(got) != 1 || got[0] != spool.Pos(399) {
		t.Errorf("queue holds %v, want 399 alone", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestRedoDoesNotComeBack: parts of a redo list that a rewrite brought back are gone
// before a start could apply them.
func TestRedoDoesNotComeBack(t *testing.T) {
	o, d := onTwin(t)
	s := three(t, o)
	defer s.Close()
	old := encodeRedo([]change{{[]byte("d gone"), []byte("decided long ago")}})
	if err := (&twinEngine{d}).commit([]change{{redoKey(0), old[0]}, {redoKey(7), old[0]}}); err != nil {
		t.Fatal(err)
	}
	c := &committer{Store: s}
	c.strays.begin()
	if _, err := c.dropStrays(); err != nil {
		t.Fatal(err)
	}
	if left := c.lookForRedo(); len(left) > 0 {
		t.Errorf("%d parts are left", len(left))
	}
	if got := sound(t, s, 1); len(got) != 3 {
		t.Errorf("queue holds %v, want all three", got)
	}
}
