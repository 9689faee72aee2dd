package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

// guardFiles are those that the store writes for itself while it runs.
var guardFiles = []string{"MANIFEST.new", "definitions.new", "starts.new", "logs.held.new", "highwater", "jotted"}

// noRoomForGuard has every write to the guard's files answer that there is no room.
func noRoomForGuard(t *testing.T, dir string) {
	t.Helper()
	for _, name := range guardFiles {
		path := filepath.Join(dir, "guard", name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
	}
}

func roomForGuard(t *testing.T, dir string) {
	t.Helper()
	for _, name := range guardFiles {
		if name == "highwater" || name == "jotted" {
			continue // they are open
		}
		if err := os.Remove(filepath.Join(dir, "guard", name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGuardWithoutRoom: where there is no room for the guard's own small files the
// store goes on, and a cut in that state loses nothing and is no damage. When there
// is room again they are written.
func TestGuardWithoutRoom(t *testing.T) {
	o := written(t, 500)
	noRoomForGuard(t, o.Dir)
	l := start(t, o)
	defs := &spool.Batch{Puts: []spool.Put{{Key: "queue/a", Value: []byte("a")}}}
	if _, err := l.Append(defs); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * disk.MarkEvery { // each a commit, and in all more than a memtable
		b := spool.Batch{Enters: []spool.Enter{{
			Record: marked(1), Size: 1601, To: []spool.Dest{{Queue: 2, Pos: spool.Pos(i)}},
		}}}
		for n := range 10 {
			b.Puts = append(b.Puts, spool.Put{Key: fmt.Sprintf("queue/%d/%d", i, n), Value: make([]byte, 900)})
		}
		lsn, err := l.Append(&b)
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
	}
	logs := func() []string {
		list, err := filepath.Glob(filepath.Join(o.Dir, "*.mem"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := logs(); len(got) < 2 {
		t.Errorf("logs are %q: some were let go of that the copy does not know", got)
	}

	cut := small(filepath.Join(t.TempDir(), "spool"))
	copyFolder(t, o.Dir, cut.Dir)
	var told told
	cut.Trouble = told.trouble
	c := start(t, cut)
	for q, want := range map[spool.QueueID]int{1: 500, 2: 2 * disk.MarkEvery} {
		if n := drained(t, c, q); n != want {
			t.Errorf("after a cut queue %d has %d messages, want %d", q, n, want)
		}
	}
	if got := told.names(); len(got) > 0 {
		t.Errorf("after a cut told %q, want nothing", got)
	}
	if err := c.stop(t); err != nil {
		t.Fatal(err)
	}

	roomForGuard(t, o.Dir)
	late := time.Now().Add(30 * time.Second)
	for q := spool.QueueID(3); ; q++ {
		fillQueueOf(t, l, q, 1) // a commit, after which it is looked
		_, err := os.Stat(filepath.Join(o.Dir, "guard", "MANIFEST"))
		if err == nil && len(logs()) == 1 {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("there is room, the copy says %v, and logs are %q", err, logs())
		}
	}
	if err := l.stop(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRepairWithoutRoom: a damaged table stays where it is until what is sound of
// it fits on the volume beside it.
func TestRepairWithoutRoom(t *testing.T) {
	o := small(t.TempDir())
	l := start(t, o)
	fillQueue(t, l, 3000)
	var b spool.Batch
	for n := range 200 { // many blocks
		b.Puts = append(b.Puts, spool.Put{Key: fmt.Sprint("queue/", n), Value: make([]byte, 900)})
	}
	appendAwait(t, l, &b)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables are %q (%v), want one", tables, err)
	}
	change(t, tables[0], flip(50_000))
	damaged, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	full := tables[0] + ".renewed.new"
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	for range 3 { // more than starts may fail
		if _, err := disk.Open(o); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Open = %v, want that there is no room", err)
		}
		if b, err := os.ReadFile(tables[0]); err != nil || !bytes.Equal(b, damaged) {
			t.Fatalf("the table has %d bytes (%v), want it as it was", len(b), err)
		}
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(o.Dir, "000099.sst.renewed") // by a cut
	if err := os.WriteFile(left, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	var told told
	o.Trouble = told.trouble
	l = start(t, o)
	defer l.stop(t)
	if n := drained(t, l, 1); n != 3000 || !slices.Contains(told.names(), "spool repaired") {
		t.Errorf("%d messages are there and told was %q, want 3000 and the repair", n, told.names())
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a cut left of a renewal is still there: %v", err)
	}
	aside, err := os.ReadFile(filepath.Join(o.Dir, "quarantine", filepath.Base(tables[0])))
	if err != nil || !bytes.Equal(aside, damaged) {
		t.Errorf("%d bytes are in the quarantine (%v), want the table as it was", len(aside), err)
	}
}

// TestCloseWithoutRoom: a stop is clean all the same, and what would say too
// little to the next start is gone.
func TestCloseWithoutRoom(t *testing.T) {
	o := small(t.TempDir())
	l := start(t, o)
	fillQueue(t, l, 3000)
	noRoomForGuard(t, o.Dir)
	if err := l.stop(t); err != nil { // and Close, which ends the test
		t.Fatalf("Run: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "guard", "MANIFEST")); !os.IsNotExist(err) {
		t.Errorf("the copy is there and does not know the last tables: %v", err)
	}
	roomForGuard(t, o.Dir)
	tables, err := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("there is no table: %v", err)
	}
	// The newest one is lost: that must not be taken for a table that was not
	// finished.
	if err := os.Remove(slices.Max(tables)); err != nil {
		t.Fatal(err)
	}
	var told told
	o.Trouble = told.trouble
	l = start(t, o)
	defer l.stop(t)
	if n := drained(t, l, 1); n != 3000 || !slices.Contains(told.names(), "spool repaired") {
		t.Errorf("%d messages are there and told was %q, want 3000 and the repair", n, told.names())
	}
}
