//go:build soak

package disk_test

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

// TestTrickledBacklog: what came in commits of a few messages and stays is worn for
// once, lies as close as what came in large ones, opens as fast, and is read as fast,
// also where several queues have it.
func TestTrickledBacklog(t *testing.T) {
	const n, batch, size = 200_000, 5, 200
	const (
		writtenMost = 2600 // bytes for each message; a page for each commit alone is 819
		keptMost    = 260  // bytes on the disk for each, without what any spool takes
		openMost    = time.Second
	)
	for name, queues := range map[string][]spool.QueueID{"one queue": {1}, "three queues": {1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, 1024)
			l := onDevice(t, d, disk.Tiny())
			list := noise(1000, size)
			empty, before := occupied(l.opts.Dir), d.written(t)
			for pos := spool.Pos(1); pos <= n; {
				var b spool.Batch
				for range batch {
					e := spool.Enter{Record: list[pos%1000], Size: size}
					for _, q := range queues {
						e.To = append(e.To, spool.Dest{Queue: q, Pos: pos})
					}
					b.Enters = append(b.Enters, e)
					pos++
				}
				appendAwait(t, l, &b)
			}
			atRest(t, l)
			written, kept := (d.written(t)-before)/n, (occupied(l.opts.Dir)-empty)/n
			if err := l.stop(t); err != nil {
				t.Fatal(err)
			}
			tables, chunks := tablesIn(t, l.opts.Dir), verified(t, l.opts.Dir).Chunks

			began := time.Now()
			l = start(t, l.opts)
			opened := time.Since(began)
			began = time.Now()
			for _, q := range queues {
				if got := drained(t, l, q); got != n {
					t.Errorf("queue %d has %d messages, want %d", q, got, n)
				}
			}
			read := float64(n*len(queues)) / time.Since(began).Seconds()
			t.Logf("%d B written and %d B kept for each message, in %d chunks and %d tables; opened in %v; read at %.0f/s",
				written, kept, chunks, tables, opened.Round(time.Millisecond), read)
			if written > writtenMost || kept > keptMost || opened > openMost {
				t.Errorf("want at most %d B written, %d B kept, and %v to open", writtenMost, keptMost, openMost)
			}
			d.remove(t, l)
		})
	}
}

func tablesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".sst" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
