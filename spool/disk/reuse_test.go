package disk_test

import (
	"path/filepath"
	"testing"

	"leveret/spool"
)

// TestChunksOfEarlierLives: a value log still holds chunks that have gone. When
// the table with a chunk is lost, one of an earlier life must not take its place.
func TestChunksOfEarlierLives(t *testing.T) {
	o := small(t.TempDir())
	o.NoCompression = true
	enter := func(q spool.QueueID, size int) (b spool.Batch) {
		for pos := spool.Pos(1); pos <= 2; pos++ {
			b.Enters = append(b.Enters, spool.Enter{Record: numbered(q, pos, size), Size: size, To: []spool.Dest{{Queue: q, Pos: pos}}})
		}
		return b
	}
	l := start(t, o)
	b := enter(3, 50_000) // keeps the value log
	appendAwait(t, l, &b)
	b = enter(1, 2000) // goes there, too
	appendAwait(t, l, &b)
	appendAwait(t, l, &spool.Batch{Purges: []spool.Purge{{Queue: 1, To: spool.MaxPos}}})
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	l = start(t, o)
	b = enter(2, 100) // and this to a table
	appendAwait(t, l, &b)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	l = start(t, o)
	appendAwait(t, l, &spool.Batch{Leaves: []spool.Leave{{Queue: 2, Pos: 1, Size: 100}}})
	o.Dir = t.TempDir()
	l.crash(t, o.Dir) // the entry is in the write-ahead log, its chunk in a table
	tables, _ := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("no table")
	}
	for _, f := range tables {
		change(t, f, func(b []byte) []byte { return b[:len(b)/2] })
	}
	l = start(t, o)
	defer l.stop(t)
	items := make([]spool.Item, 10)
	n, err := l.Read(2, 0, items, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items[:n] {
		if it.Err == nil && string(it.Data) != string(numbered(2, it.Pos, 100)) {
			t.Errorf("position %d of queue 2 holds %.20q", it.Pos, it.Data)
		}
	}
}
