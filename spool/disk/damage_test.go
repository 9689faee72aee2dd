package disk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"leveret/spool"
)

// marked is a body that is easy to find in a file.
func marked(n byte) raw { return append(bytes.Repeat([]byte("leveret!"), 200), n) }

// damaged writes 9 marked messages in one chunk, lets change damage the file
// they are in, and opens the spool again. later is how many more value logs
// there are: Badger cuts the newest one at the first bad byte.
func damaged(t *testing.T, later bool, change func([]byte)) *life {
	t.Helper()
	o := small(t.TempDir())
	o.NoCompression = true
	l := start(t, o)
	b := spool.Batch{}
	for i := range byte(9) {
		b.Enters = append(b.Enters, spool.Enter{Record: marked(i), Size: 1601, To: []spool.Dest{{Queue: 1, Pos: spool.Pos(i)}}})
	}
	if _, err := l.Append(&b); err != nil {
		t.Fatal(err)
	}
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	if later {
		l = start(t, o)
		fillQueueOf(t, l, 2, 100)
		if err := l.stop(t); err != nil {
			t.Fatal(err)
		}
	}
	found := false
	files, _ := filepath.Glob(filepath.Join(o.Dir, "*.vlog"))
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(content, marked(4)); i >= 0 {
			found = true
			change(content[i:])
			if err := os.WriteFile(f, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !found {
		t.Fatal("the chunk is in no value log")
	}
	return start(t, o)
}

func fillQueueOf(t *testing.T, l *life, q spool.QueueID, n int) {
	t.Helper()
	var b spool.Batch
	for i := range n {
		b.Enters = append(b.Enters, spool.Enter{Record: marked(100), Size: 1601, To: []spool.Dest{{Queue: q, Pos: spool.Pos(i)}}})
	}
	lsn, err := l.Append(&b)
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
}

// bad reads queue 1 and lists the positions that came as damaged.
func bad(t *testing.T, l *life) (list []spool.Pos) {
	t.Helper()
	items := make([]spool.Item, 20)
	n, err := l.Read(1, 0, items, 1<<20)
	if err != nil || n != 9 {
		t.Fatalf("Read = %d, %v, want 9", n, err)
	}
	for i, it := range items[:n] {
		switch {
		case errors.Is(it.Err, spool.ErrCorrupt) && it.Data == nil:
			list = append(list, it.Pos)
		case it.Err != nil || !bytes.Equal(it.Data, marked(byte(i))):
			t.Errorf("item %d: %v, %d bytes", i, it.Err, len(it.Data))
		}
	}
	return list
}

func TestDamagedRecordIsToldAndTheRestGoesOn(t *testing.T) {
	l := damaged(t, true, func(b []byte) { b[77] ^= 4 })
	defer l.stop(t)
	if got := bad(t, l); !slices.Equal(got, []spool.Pos{4}) {
		t.Errorf("damaged are %d, want 4 alone", got)
	}
	if got := l.Stats().Corrupt; got == 0 {
		t.Error("the damage was not counted")
	}
	var b spool.Batch
	for i := range 9 {
		b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: spool.Pos(i), Size: 1601})
	}
	lsn, err := l.Append(&b)
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
	if n, err := l.Read(1, 0, make([]spool.Item, 9), 1<<20); n != 0 || err != nil {
		t.Errorf("Read = %d, %v: a damaged message did not leave", n, err)
	}
	if n := drained(t, l, 2); n != 100 {
		t.Errorf("queue 2 has %d messages, want 100", n)
	}
}

// TestCutValueLogIsTold: Badger itself says nothing, it truncates the newest
// value log and answers empty values without an error.
func TestCutValueLogIsTold(t *testing.T) {
	l := damaged(t, false, func(b []byte) { b[77] ^= 4 })
	defer l.stop(t)
	if got := bad(t, l); len(got) != 9 {
		t.Errorf("damaged are %d, want all", got)
	}
	fillQueueOf(t, l, 2, 10) // and the store goes on
}
