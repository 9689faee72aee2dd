package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The ballast is a file without meaning. Badger writes through mapped files,
// and on a full volume that kills the process, at its next start too. Then the
// ballast is given up, and the space is enough to open the spool and to drain it.

const (
	ballastBytes = 16 << 20
	// ballastShare: on a small volume the ballast takes no more than this part.
	ballastShare = 8
)

// openSlack is for the small files.
const openSlack = 2 << 20

// needToOpen is the most Badger may write before anything can be freed: the
// memtables that it replays, and the first compaction.
func (o *Options) needToOpen() int64 { return 3*o.MemTableSize + openSlack }

// wanted is what this spool wants for that, by what is in its logs and tables,
// and for its first new entries.
func (o *Options) wanted() (int64, error) {
	list, err := os.ReadDir(o.Dir)
	if err != nil {
		return 0, fmt.Errorf("look into spool: %w", err)
	}
	n := openSlack + o.MemTableSize/16
	for _, f := range list {
		if ext := filepath.Ext(f.Name()); ext != ".mem" && ext != ".sst" {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return 0, fmt.Errorf("look into spool: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			n += st.Blocks * 512
		}
	}
	size, err := o.memTableSize()
	return min(n, 3*size+openSlack), err
}

// spare is what is free beyond that.
func (o *Options) spare() (int64, error) {
	free, _, err := volume(o.Dir)
	if err != nil {
		return 0, err
	}
	want, err := o.wanted()
	return free - want, err
}

func (o *Options) ballastSize(total int64) int64 {
	return min(max(ballastBytes, o.needToOpen()), total/ballastShare)
}

func ballastPath(dir string) string { return guardFile(dir, "ballast") }

// ballastHeld is what the ballast occupies.
func ballastHeld(on files, dir string) int64 {
	size, err := on.size(ballastPath(dir))
	if err != nil {
		return 0
	}
	return size
}

// dropBallast reports whether there was one.
func dropBallast(on files, dir string) (bool, error) {
	err := on.remove(ballastPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("give up ballast: %w", err)
	}
	return true, nil
}

// layBallast makes the file, with real blocks.
func layBallast(on files, dir string, size int64) error {
	if err := on.mkdir(guardFile(dir, "")); err != nil {
		return fmt.Errorf("lay ballast: %w", err)
	}
	solid, err := on.solid(ballastPath(dir), size)
	if err != nil || !solid {
		// Without blocks it is no ballast, and writing zeros would wear the card.
		_, derr := dropBallast(on, dir)
		err = errors.Join(err, derr)
	}
	if err != nil {
		return fmt.Errorf("lay ballast: %w", err)
	}
	return nil
}

// tendBallast lays the ballast again when there is space for it beside what
// must stay free. It says what the ballast occupies, and what of that it has just
// taken.
func (s *Store) tendBallast(free, total, reserve int64) (held, taken int64) {
	size := s.opts.ballastSize(total)
	held = ballastHeld(s.opts.on, s.opts.Dir)
	if size <= 0 || free < reserve+2*size || held >= size {
		return held, 0
	}
	if err := layBallast(s.opts.on, s.opts.Dir, size); err != nil {
		s.opts.Log.Warn("no ballast", "dir", s.opts.Dir, "err", err)
		return 0, 0
	}
	now := ballastHeld(s.opts.on, s.opts.Dir)
	return now, now - held
}
