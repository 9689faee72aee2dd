package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"leveret/spool"
	"leveret/spool/disk"
)

// written makes a spool with n messages in queue 1 and closes it.
func written(t *testing.T, n int) disk.Options {
	t.Helper()
	l := start(t, small(t.TempDir()))
	fillQueue(t, l, n)
	if err := l.stop(t); err != nil {
		t.Fatalf("Run: %v", err)
	}
	return l.opts
}

func TestOpenRefusesASecondProcess(t *testing.T) {
	l := start(t, small(t.TempDir()))
	defer l.stop(t)
	_, err := disk.Open(l.opts)
	if !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("Open = %v, want ErrLocked with the process", err)
	}
}

func TestOpenRefusesANewerFormat(t *testing.T) {
	o := written(t, 500)
	b := badger.DefaultOptions(o.Dir).WithLogger(nil).WithMemTableSize(1 << 20).
		WithValueThreshold(1 << 10).WithValueLogFileSize(1 << 20).WithCompression(options.None)
	b.ExternalMagicVersion = 0x6c76
	db, err := badger.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	newer := disk.SchemaValue(2)
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("s"), newer) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(o); !errors.Is(err, spool.ErrNewer) {
		t.Errorf("Open = %v, want ErrNewer", err)
	}
	// The refusal gave the lock and the database back.
	if _, err := disk.Open(o); !errors.Is(err, spool.ErrNewer) {
		t.Errorf("Open once more = %v, want ErrNewer", err)
	}
}

func TestOpenRefusesAFullVolume(t *testing.T) {
	o := small(t.TempDir())
	o.MemTableSize = 1 << 50
	if _, err := disk.Open(o); err == nil || !strings.Contains(err.Error(), "are free on the volume") {
		t.Errorf("Open = %v, want a word about free space", err)
	}
}

func TestOpenRefusesNonsense(t *testing.T) {
	for name, change := range map[string]func(*disk.Options){
		"no folder":          func(o *disk.Options) { o.Dir = "" },
		"no sizes":           func(o *disk.Options) { *o = disk.Options{Dir: o.Dir} },
		"no tables":          func(o *disk.Options) { o.NumL0Tables = 0 },
		"threshold too high": func(o *disk.Options) { o.ValueThreshold = 1 << 20 },
	} {
		o := small(t.TempDir())
		change(&o)
		if s, err := disk.Open(o); err == nil {
			s.Close()
			t.Errorf("%s: Open succeeded", name)
		}
	}
}

func TestOpenRemovesEmptyFiles(t *testing.T) {
	o := written(t, 2000)
	for _, f := range []string{"00099.mem", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(o.Dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	l := start(t, o)
	defer l.stop(t)
	for _, f := range []string{"00099.mem", "000099.vlog"} {
		if !strings.Contains(log.String(), f) {
			t.Errorf("nothing was logged about %s", f)
		}
	}
	if n := drained(t, l, 1); n != 2000 {
		t.Errorf("%d messages are there, want 2000", n)
	}
}

// drained reads a queue and says how many messages it gave.
func drained(t testing.TB, l spool.Log, q spool.QueueID) (n int) {
	t.Helper()
	items := make([]spool.Item, 100)
	for from := spool.Pos(0); ; {
		k, err := l.Read(q, from, items, 1<<20)
		if err != nil {
			t.Fatalf("Read(%d, %d): %v", q, from, err)
		}
		if k == 0 {
			return n
		}
		for _, it := range items[:k] {
			if it.Err != nil {
				t.Fatalf("item %d: %v", it.Pos, it.Err)
			}
		}
		n += k
		from = items[k-1].Pos + 1
	}
}

// TestUnsynced: what was committed without syncs outlives the process.
func TestUnsynced(t *testing.T) {
	o := small(t.TempDir())
	o.NoSync = true
	l := start(t, o)
	fillQueue(t, l, 2000)
	o.Dir = filepath.Join(t.TempDir(), "after")
	l.crash(t, o.Dir)
	l = start(t, o)
	defer l.stop(t)
	if n := drained(t, l, 1); n != 2000 {
		t.Errorf("%d messages are there, want 2000", n)
	}
}
