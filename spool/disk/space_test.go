package disk_test

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

// spaceLeft is what a spool may occupy when it holds next to nothing, its
// ballast included.
const spaceLeft = 64 << 20

// occupied is what all files below dir take on the disk.
func occupied(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, f fs.DirEntry, err error) error {
		if err != nil {
			return nil // it vanished meanwhile
		}
		if info, err := f.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}

// heap is a backlog and how it goes.
type heap struct {
	bytes, size, batch int
	keep               int // every so many-th message stays; 0: none
	purge              bool
}

// TestSpaceComesBack: a backlog that has gone is gone from the disk within a
// minute, in every profile and without a restart.
func TestSpaceComesBack(t *testing.T) {
	profiles := map[string]disk.Options{"tiny": disk.Tiny(), "small": disk.Small(), "server": disk.Server()}
	for name, o := range profiles {
		for kind, h := range heaps {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				o := o
				o.Dir = t.TempDir()
				h.run(t, o)
			})
		}
	}
}

func (h heap) run(t *testing.T, o disk.Options) {
	o.CommitWindow, o.CommitsPerSecond = 0, 0
	l := start(t, o)
	defer l.stop(t)
	list := noise(1000, h.size)
	var b spool.Batch
	var lsn spool.LSN
	last := spool.Pos(h.bytes / h.size / h.batch * h.batch)
	for pos := spool.Pos(1); pos <= last; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: list[pos%1000], Size: h.size, To: []spool.Dest{{Queue: 1, Pos: pos}}})
		if pos%spool.Pos(h.batch) == 0 {
			var err error
			if lsn, err = l.Append(&b); err != nil {
				t.Fatal(err)
			}
			await(t, l, lsn)
			b.Reset()
		}
	}
	high := occupied(o.Dir)
	h.drain(t, l, last)
	gone := time.Now()
	for occupied(o.Dir) >= spaceLeft {
		if time.Since(gone) > time.Minute {
			t.Fatalf("%d bytes were on the disk, %d still are a minute after they went", high, occupied(o.Dir))
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d MB at most; %d MB after %v", high>>20, occupied(o.Dir)>>20, time.Since(gone).Round(100*time.Millisecond))
}

// drain takes everything out, but what is kept.
func (h heap) drain(t *testing.T, l *life, last spool.Pos) {
	if h.purge {
		appendAwait(t, l, &spool.Batch{Purges: []spool.Purge{{Queue: 1, To: spool.MaxPos}}})
		return
	}
	var b spool.Batch
	for pos := spool.Pos(1); pos <= last; pos++ {
		if h.keep == 0 || pos%spool.Pos(h.keep) != 0 {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: h.size})
		}
		if len(b.Leaves) == 500 || pos == last {
			appendAwait(t, l, &b)
			b.Reset()
		}
	}
}
