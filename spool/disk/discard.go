package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Badger keeps in the file DISCARD how many bytes of each value log are known
// to be dead: u64 number of the log and u64 bytes, up to a number of 0. It maps
// the file, so reading shows what it holds at the moment.
const (
	discardName  = "DISCARD"
	discardEntry = 16
)

// mostDead tells of the value log that Badger would rewrite next: how large it
// is, and how many of its bytes will have to be written once more. A size of 0
// stands for none.
func mostDead(dir string) (size, live int64, err error) {
	path, dead, err := deadest(dir)
	if path == "" || err != nil {
		return 0, 0, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil // Badger forgets it when it looks
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look at value log: %w", err)
	}
	return info.Size(), max(0, info.Size()-dead), nil
}

// deadest is the value log with most dead bytes, "" where none has any.
func deadest(dir string) (path string, dead int64, err error) {
	b, err := os.ReadFile(filepath.Join(dir, discardName))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return "", 0, err
	}
	var number, most uint64
	for ; len(b) >= discardEntry && be.Uint64(b) != 0; b = b[discardEntry:] {
		if n := be.Uint64(b[8:]); n > most {
			number, most = be.Uint64(b), n
		}
	}
	if number == 0 {
		return "", 0, nil
	}
	return filepath.Join(dir, fmt.Sprintf("%06d.vlog", number)), int64(most), nil
}

// mayRewrite reports whether what is live in the next value log fits on the
// volume. On a small one that is full nothing else holds Badger back, and a
// mapped file without space ends the process.
func (s *Store) mayRewrite() (bool, error) {
	live, err := s.engine.sweeps()
	if err != nil {
		return false, err
	}
	err = s.mayWrite(live)
	if errors.Is(err, errNoSpace) {
		s.opts.Log.Debug("a value log is not rewritten", "dir", s.opts.Dir, "err", err)
		return false, nil
	}
	return err == nil, err
}
