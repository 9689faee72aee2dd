package disk_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"leveret/spool"
	"leveret/spool/disk"
)

// exportOf writes an export of a folder into a file.
func exportOf(t *testing.T, dir, file string) uint64 {
	t.Helper()
	o, err := disk.OpenOffline(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := o.Export(f)
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	return n
}

func importInto(t *testing.T, o disk.Options, file string) disk.Imported {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done, err := disk.Import(context.Background(), o, f)
	if err != nil {
		t.Fatalf("Import: %v", err)
	}
	return done
}

// filled is a stopped spool with 300 messages of many sizes in queue 1, every
// third of which left, 50 of them in queue 2 as well, and a definition.
func filled(t *testing.T) disk.Options {
	t.Helper()
	o := small(t.TempDir())
	o.NoCompression = true // small chunks would lie in the tables, and be lost with them
	l := start(t, o)
	b := spool.Batch{Puts: []spool.Put{{Key: "queue/a", Value: []byte("first")}}}
	for pos := range spool.Pos(300) {
		body := childBody(pos)
		to := []spool.Dest{{Queue: 1, Pos: pos}}
		if pos >= 250 {
			to = append(to, spool.Dest{Queue: 2, Pos: pos})
		}
		b.Enters = append(b.Enters, spool.Enter{Record: body, Size: len(body), To: to})
		if len(b.Enters) == 60 {
			appendAwait(t, l, &b)
			b = spool.Batch{}
		}
	}
	for pos := spool.Pos(0); pos < 300; pos += 3 {
		b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: len(childBody(pos))})
	}
	appendAwait(t, l, &b)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	return l.opts
}

func appendAwait(t *testing.T, l *life, b *spool.Batch) {
	t.Helper()
	lsn, err := l.Append(b)
	if err != nil {
		t.Fatal(err)
	}
	await(t, l, lsn)
}

// checkFilled looks for what filled left, in order; more may come twice.
func checkFilled(t *testing.T, l *life, twice bool) {
	t.Helper()
	items := make([]spool.Item, 1000)
	seen := make(map[string]int)
	n, err := l.Read(1, 0, items, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items[:n] {
		if it.Err != nil {
			t.Errorf("position %d: %v", it.Pos, it.Err)
		}
		seen[string(it.Data)]++
	}
	for pos := range spool.Pos(300) {
		got := seen[string(childBody(pos))]
		if pos%3 != 0 && got == 0 && len(childBody(pos)) > 0 {
			t.Errorf("message %d is lost", pos)
		}
	}
	if !twice && n != 200 {
		t.Errorf("queue 1 has %d messages, want 200", n)
	}
	if n, err = l.Read(2, 0, items, 1<<30); err != nil || n < 50 || !twice && n != 50 {
		t.Errorf("queue 2 has %d messages, %v, want 50", n, err)
	}
}

func TestExportAndImport(t *testing.T) {
	o := filled(t)
	file := filepath.Join(t.TempDir(), "export")
	if n := exportOf(t, o.Dir, file); n == 0 {
		t.Fatal("nothing was exported")
	}
	into := small(t.TempDir())
	if done := importInto(t, into, file); !done.Complete || done.Definitions != 1 {
		t.Errorf("Import = %+v, want a complete one with a definition", done)
	}
	l := start(t, into)
	defer l.stop(t)
	checkFilled(t, l, false)
}

// TestExportGoesOn: a file cut at any place is continued to the same bytes.
func TestExportGoesOn(t *testing.T) {
	o := filled(t)
	file := filepath.Join(t.TempDir(), "export")
	exportOf(t, o.Dir, file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 23, 40, len(whole) / 3, len(whole) / 2, len(whole) - 1, len(whole)} {
		if err := os.WriteFile(file, whole[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		exportOf(t, o.Dir, file)
		again, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		into := small(t.TempDir())
		importInto(t, into, file)
		if at > 100 && !bytes.Equal(again, whole) {
			t.Errorf("cut at %d of %d: the continued export differs", at, len(whole))
		}
		l := start(t, into)
		checkFilled(t, l, false)
		if err := l.stop(t); err != nil {
			t.Error(err)
		}
	}
}

// TestImportGoesOn: what a torn file brought in does not come again with the
// whole one.
func TestImportGoesOn(t *testing.T) {
	o := filled(t)
	file := filepath.Join(t.TempDir(), "export")
	exportOf(t, o.Dir, file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	into := small(t.TempDir())
	if err := os.WriteFile(file, whole[:len(whole)*2/3], 0o600); err != nil {
		t.Fatal(err)
	}
	first := importInto(t, into, file)
	if first.Complete || first.Messages == 0 {
		t.Fatalf("Import = %+v, want a part", first)
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if second := importInto(t, into, file); !second.Complete || second.Messages == 0 {
		t.Errorf("Import = %+v, want the rest", second)
	}
	l := start(t, into)
	defer l.stop(t)
	checkFilled(t, l, false)
}

// TestImportOfAnotherFile: an import that was broken off says nothing about
// another file, whose chunks have the same numbers.
func TestImportOfAnotherFile(t *testing.T) {
	into, file := small(t.TempDir()), filepath.Join(t.TempDir(), "export")
	exportOf(t, filled(t).Dir, file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:len(whole)*2/3], 0o600); err != nil {
		t.Fatal(err)
	}
	if done := importInto(t, into, file); done.Complete || done.Messages == 0 {
		t.Fatalf("Import = %+v, want a part", done)
	}
	other := filepath.Join(t.TempDir(), "other")
	exportOf(t, written(t, 500).Dir, other)
	if done := importInto(t, into, other); !done.Complete || done.Messages != 500 {
		t.Errorf("Import = %+v, want all 500 messages", done)
	}
}

// TestExportOfWhatBadgerRefuses: whichever file is gone or cut, what the others
// hold is exported.
func TestExportOfWhatBadgerRefuses(t *testing.T) {
	for name, pattern := range map[string]string{"manifest": "MANIFEST", "table": "*.sst", "copies": "guard/*"} {
		t.Run(name, func(t *testing.T) {
			o := filled(t)
			files, _ := filepath.Glob(filepath.Join(o.Dir, pattern))
			if len(files) == 0 {
				t.Fatalf("no %s", pattern)
			}
			for _, f := range files {
				change(t, f, func(b []byte) []byte { return b[:len(b)/2] })
			}
			file := filepath.Join(t.TempDir(), "export")
			exportOf(t, o.Dir, file)
			into := small(t.TempDir())
			importInto(t, into, file)
			l := start(t, into)
			defer l.stop(t)
			checkFilled(t, l, name == "table")
		})
	}
}

func TestVerifyNamesDamage(t *testing.T) {
	o := filled(t)
	logs, _ := filepath.Glob(filepath.Join(o.Dir, "*.vlog"))
	hit := false
	for _, f := range logs {
		change(t, f, func(b []byte) []byte {
			if len(b) > 3000 && !hit {
				hit = true
				b[2000] ^= 1
			}
			return b
		})
	}
	if !hit {
		t.Fatal("no value log is large enough")
	}
	off, err := disk.OpenOffline(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	sum, err := off.Verify()
	if err != nil || len(off.Damaged) == 0 || sum.Messages == 0 {
		t.Errorf("Verify = %v, %v, damaged %q: want damage and the rest", sum, err, off.Damaged)
	}
	if fmt.Sprint(sum) == "" {
		t.Error("the summary is empty")
	}
}
