package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"leveret/spool"
)

// TestCutWhileBadgerOpens: a dirty spool is opened and the power goes, again and
// again, when Badger has made tables of the logs and thrown these away, and no name
// is safe; or when some step later the copies are put back. All is there.
func TestCutWhileBadgerOpens(t *testing.T) {
	o := Tiny()
	o.Dir, o.ValueThreshold = t.TempDir(), 1<<10
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	const n = 500
	fill(t, o, n)
	for round, cut := range []func(from, to string){
		func(from, to string) { lose(t, from, to, ".sst") },
		func(from, to string) { lose(t, from, to, ".sst") },
		func(from, to string) { lose(t, from, to, "") },
		func(from, to string) { lose(t, from, to, ".sst") },
	} {
		t.Log("round", round)
		next := t.TempDir()
		openUntilFlushed(t, &o)
		cut(o.Dir, next)
		if round == 1 { // between two steps of the mender
			m := mender{dir: next, log: o.Log, tell: o.tell}
			if err := m.putBack(); err != nil {
				t.Fatal(err)
			}
		}
		o.Dir = next
	}
	o.Trouble = func(name, text string) { t.Errorf("trouble: %s: %s", name, text) }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st := s.Stats(); st.Records != n || st.Lost > 0 {
		t.Errorf("%d messages are there, %d lost, want %d", st.Records, st.Lost, n)
	}
	if held, err := heldLogs(o.Dir); len(held) > 0 || err != nil {
		t.Errorf("still held are %q (%v)", held, err)
	}
	if _, err := os.Stat(guardFile(o.Dir, heldName)); err == nil {
		t.Error("copies were left behind")
	}
}

// fill writes so many messages and ends without a stop: they are in the log.
func fill(t *testing.T, o Options, n int) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &committer{Store: s}
	c.janitor.store = s
	for i := range n {
		body := fmt.Sprint("message ", i)
		b := spool.Batch{Enters: []spool.Enter{{Record: text(body), Size: len(body), To: []spool.Dest{{Queue: 1, Pos: spool.Pos(i)}}}}}
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 {
			if err := c.commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	to := t.TempDir()
	lose(t, o.Dir, to, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to, o.Dir); err != nil {
		t.Fatal(err)
	}
}

// openUntilFlushed opens Badger as a start does, up to where the logs are gone.
func openUntilFlushed(t *testing.T, o *Options) {
	t.Helper()
	if found, err := (onDisk{}).mend(o); err != nil || found.suspect {
		t.Fatalf("mend: suspect %v, %v", found.suspect, err)
	}
	before, err := logsIn(o.Dir, ".mem")
	if err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(badgerOptions(o, &latch{log: o.Log}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for gone := false; !gone; time.Sleep(time.Millisecond) {
		gone = true
		for _, path := range before {
			if _, err := os.Stat(path); err == nil {
				gone = false
			}
		}
	}
}

// lose copies a spool without the files of a kind, whose names were not safe.
func lose(t *testing.T, from, to, ext string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreGone(err) // Badger is at work
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		if filepath.Ext(path) == ext && ext != "" || d.Name() == "ballast" || d.Name() == lockName {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return ignoreGone(err)
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}
