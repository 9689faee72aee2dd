package disk_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
	"leveret/spool/spooltest"
)

// small are the smallest sizes that work, so that tests reach the edges soon.
func small(dir string) disk.Options {
	o := disk.Tiny()
	o.Dir = dir
	o.MemTableSize, o.BaseTableSize, o.ValueLogFileSize = 1<<20, 1<<20, 1<<20
	o.ValueThreshold = 1 << 10
	o.CommitWindow, o.CommitsPerSecond = 2*time.Millisecond, 0
	o.StageBytesMax = 64 << 20
	o.ReclaimBytes, o.MergeChunks = 1<<20, 8
	return o
}

// life is a store that runs.
type life struct {
	*disk.Store
	opts   disk.Options
	cancel context.CancelFunc
	ended  chan error
}

func start(t testing.TB, o disk.Options) *life {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := disk.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{s, o, cancel, make(chan error, 1)}
	go func() {
		l.ended <- s.Run(ctx)
		close(l.ended)
	}()
	return l
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

var _ io.Writer = testWriter{}

// stop ends a life cleanly and answers what Run did.
func (l *life) stop(t testing.TB) error {
	t.Helper()
	l.cancel()
	err := <-l.ended
	if cerr := l.Close(); cerr != nil && err == nil {
		t.Fatalf("Close: %v", cerr)
	}
	return err
}

// crash stops without the last commit and copies the files as they are then.
func (l *life) crash(t testing.TB, to string) {
	t.Helper()
	l.Abandon()
	l.cancel()
	<-l.ended
	copyFolder(t, l.opts.Dir, to)
	l.Close()
}

// copyFolder copies files as they are at one moment: Badger may be compacting
// beside, so it copies again until nothing changed meanwhile.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	for range 100 {
		before := listing(from)
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		complete := true
		for _, f := range slices.Sorted(maps.Keys(before)) {
			b, err := os.ReadFile(filepath.Join(from, f))
			complete = complete && err == nil
			if err := os.MkdirAll(filepath.Dir(filepath.Join(to, f)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(to, f), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if complete && maps.Equal(before, listing(from)) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not come to rest", from)
}

// listing tells a file's size and time of change by its name.
func listing(dir string) map[string]string {
	files := make(map[string]string)
	filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err != nil || !f.Type().IsRegular() || f.Name() == "ballast" {
			return nil // it vanished meanwhile, or is only large
		}
		if info, err := f.Info(); err == nil {
			name, _ := filepath.Rel(dir, path)
			files[name] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return nil
	})
	return files
}

func await(t testing.TB, s spool.Log, lsn spool.LSN) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		durable, moved, err := s.Durable()
		if err != nil {
			t.Fatalf("Durable: %v", err)
		}
		if durable >= lsn {
			return
		}
		select {
		case <-moved:
		case <-late:
			t.Fatalf("still at %d, waiting for %d", durable, lsn)
		}
	}
}

func harness(t testing.TB) *spooltest.Harness {
	l := start(t, small(t.TempDir()))
	h := &spooltest.Harness{Log: l.Store}
	failed := false
	h.Sync = func(t testing.TB) {
		lsn, err := l.Append(&spool.Batch{})
		if err != nil {
			t.Fatalf("Append of nothing: %v", err)
		}
		await(t, l, lsn)
	}
	h.Reopen = func(t testing.TB) {
		if err := l.stop(t); err != nil {
			t.Fatalf("Run: %v", err)
		}
		l = start(t, l.opts)
		h.Log = l.Store
	}
	h.Crash = func(t testing.TB) {
		o := l.opts
		o.Dir = t.(*testing.T).TempDir()
		l.crash(t, o.Dir)
		l = start(t, o)
		h.Log = l.Store
	}
	h.SetFull = func(t testing.TB, full bool) {
		if full {
			l.SetBudget(64 << 10) // less than its files take, more than the suite's batches then
		} else {
			l.SetBudget(0)
		}
	}
	h.SetMost = func(_ testing.TB, bytes int64) { l.SetBudget(bytes * 16 / 15) } // a 16th of it is kept for priorities
	h.Fail = func(_ testing.TB, err error) {
		failed = true
		l.Fail(err)
	}
	t.Cleanup(func() {
		if err := l.stop(t); err != nil && !failed {
			t.Errorf("Run: %v", err)
		}
	})
	return h
}

func TestContract(t *testing.T) { spooltest.Run(t, harness) }
