package disk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leveret/spool"
)

// deadLogs is a spool whose value logs are dead for the most part: everything but
// the last message has left, and a compaction has dropped the keys. Nothing was
// rewritten yet.
func deadLogs(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(uncompressed(dir))
	if err != nil {
		t.Fatal(err)
	}
	c := &committer{Store: s}
	c.janitor.store = s
	const messages = 400
	commit := func(b spool.Batch) {
		t.Helper()
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(); err != nil {
			t.Fatal(err)
		}
	}
	for pos := range spool.Pos(messages) {
		body := text(bytes.Repeat([]byte(fmt.Sprint(pos)), 5000))
		commit(spool.Batch{Enters: []spool.Enter{{Record: body, Size: len(body), To: []spool.Dest{{Queue: 1, Pos: pos}}}}})
	}
	for pos := range spool.Pos(messages - 1) {
		commit(spool.Batch{Leaves: []spool.Leave{{Queue: 1, Pos: pos, Size: len(fmt.Sprint(pos)) * 5000}}})
	}
	if err := c.reclaim(); err != nil {
		t.Fatal(err)
	}
	<-c.janitor.done
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// uncompressed keeps what deadLogs writes from becoming small.
func uncompressed(dir string) Options {
	o := Tiny()
	o.Dir, o.MemTableSize, o.ValueLogFileSize, o.ValueThreshold = dir, 1<<20, 1<<20, 1<<10
	o.NoCompression = true
	return o
}

// TestRecountCountsAsBadger: where nothing was lost it changes nothing.
func TestRecountCountsAsBadger(t *testing.T) {
	dir := deadLogs(t)
	before := discardOf(t, dir)
	if len(before) < 3 {
		t.Fatalf("Badger counts dead bytes of %v: the test is too small", before)
	}
	m := mender{dir: dir, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if err := m.recount(); err != nil {
		t.Fatal(err)
	}
	after := discardOf(t, dir)
	for log, dead := range before {
		if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf("%06d.vlog", log))); err == nil && after[log] != dead {
			t.Errorf("%d bytes of value log %d are dead, Badger counted %d", after[log], log, dead)
		}
	}
	for log, dead := range after {
		if before[log] == 0 {
			t.Errorf("%d bytes of value log %d are dead, Badger counted none", dead, log)
		}
	}
}

func discardOf(t *testing.T, dir string) map[uint64]uint64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, discardName))
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[uint64]uint64)
	for ; len(b) >= discardEntry && be.Uint64(b) != 0; b = b[discardEntry:] {
		if n := be.Uint64(b[8:]); n > 0 {
			counts[be.Uint64(b)] = n
		}
	}
	return counts
}

// TestDeadLogsGoAfterACut: whatever became of Badger's counts, value logs that are
// dead go soon after a start, and the one message that is left stays.
func TestDeadLogsGoAfterACut(t *testing.T) {
	whole := deadLogs(t)
	for name, how := range map[string]func(b []byte) []byte{
		"as it was":       func(b []byte) []byte { return b },
		"lost":            func(b []byte) []byte { return make([]byte, len(b)) },
		"gone":            nil,
		"cut to nothing":  func(b []byte) []byte { return nil },
		"cut":             func(b []byte) []byte { return b[:5] },
		"an absurd count": func(b []byte) []byte { b[8] ^= 0x80; return b },
		"an absurd log":   func(b []byte) []byte { b[0] ^= 1; b[9] ^= 1; return b },
		"another log":     func(b []byte) []byte { b[7] ^= 0x40; return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, discardName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if how == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, how(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			logsGo(t, uncompressed(dir), 399)
		})
	}
	t.Run("a folder", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "spool")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, discardName)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		logsGo(t, uncompressed(dir), 399)
	})
}

// logsGo starts a spool and waits until few value logs are left.
func logsGo(t *testing.T, o Options, last spool.Pos) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for late := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		logs, err := filepath.Glob(filepath.Join(o.Dir, "*.vlog"))
		if err != nil {
			t.Fatal(err)
		}
		if len(logs) <= 2 { // the last message's, and the one that is written
			break
		}
		if time.Now().After(late) {
			t.Fatalf("value logs are still %q", logs)
		}
	}
	if got := sound(t, s, 1); len(got) != 1 || got[0] != last {
		t.Errorf("queue holds %v, want %d alone", got, last)
	}
}

// TestDeletedChunksGoAfterAKill: what had left, and was not given back when the
// process ended, is given back by the next one, without a message that leaves.
func TestDeletedChunksGoAfterAKill(t *testing.T) {
	dir := t.TempDir()
	o := uncompressed(dir)
	o.ReclaimBytes = 1 << 20
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &committer{Store: s}
	for pos := range spool.Pos(400) {
		body := text(bytes.Repeat([]byte("leveret "), 1000))
		b := spool.Batch{Enters: []spool.Enter{{Record: body, Size: len(body), To: []spool.Dest{{Queue: 1, Pos: pos}}}}}
		if pos > 0 {
			b.Leaves = []spool.Leave{{Queue: 1, Pos: pos - 1, Size: len(body)}}
		}
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(); err != nil {
			t.Fatal(err)
		}
	}
	killed := filepath.Join(t.TempDir(), "spool")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = killed
	logsGo(t, o, 399)
}
