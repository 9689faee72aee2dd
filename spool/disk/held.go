package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Badger makes tables of the logs that a power cut left as soon as it opens, and
// cuts the logs to nothing, before there can be an anchor. So while it opens copies
// of them are held in the folder guard/logs, until the names of the tables are safe.
// A start that finds them puts them back: nothing was committed since they were made,
// so with all of them the database is again as it was.

const (
	heldName = "logs"
	// heldList names the copies, one a line; it is there only while all of them are.
	heldList = "logs.held"
)

// heldLogs are the copies of an opening that did not come to its end.
func heldLogs(dir string) (paths []string, err error) {
	b, err := os.ReadFile(guardFile(dir, heldList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for held logs: %w", err)
	}
	for _, name := range strings.Fields(string(b)) {
		paths = append(paths, filepath.Join(guardFile(dir, heldName), filepath.Base(name)))
	}
	return paths, nil
}

// putBack is a step of the mender: the logs are again as they were.
func (m *mender) putBack() error {
	held, err := heldLogs(m.dir)
	if err != nil || len(held) == 0 {
		return err
	}
	for _, path := range held {
		err := os.Rename(path, filepath.Join(m.dir, filepath.Base(path)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it was put back before
			return fmt.Errorf("put log back: %w", err)
		}
	}
	m.again = true
	m.log.Info("spool opens once more what it was about to", "logs", len(held))
	// The new name first, so that there is one at every moment.
	err = errors.Join(syncFolder(m.dir), syncFolder(guardFile(m.dir, heldName)))
	if err != nil {
		return fmt.Errorf("put logs back: %w", err)
	}
	return nil
}

// hold is the last step of the mender. Where there is no room for copies there
// are none.
func (m *mender) hold() error {
	logs, size, err := logsToHold(m.dir)
	if err != nil {
		return err
	}
	if len(logs) == 0 {
		return letGo(m.dir)
	}
	if m.room != nil {
		if room, err := m.room(); err != nil || room < size {
			if err == nil {
				m.warnNoCopies(size)
				err = letGo(m.dir)
			}
			return err
		}
	}
	if err = m.copyLogs(logs); noRoom(err) {
		m.warnNoCopies(size)
		return letGo(m.dir)
	}
	return err
}

func (m *mender) warnNoCopies(size int64) {
	m.log.Warn("no room for copies of the spool's logs; a power cut during this start may cost the last of them", "bytes", size)
}

func (m *mender) copyLogs(logs []string) error {
	to, names := guardFile(m.dir, heldName), ""
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("hold logs: %w", err)
	}
	for _, path := range logs {
		name := filepath.Base(path)
		if err := copyLog(path, filepath.Join(to, name)); err != nil {
			return fmt.Errorf("hold log %s: %w", name, err)
		}
		names += name + "\n"
	}
	if err := syncFolder(to); err != nil {
		return fmt.Errorf("hold logs: %w", err)
	}
	return keep(osFiles{}, guardFile(m.dir, heldList), []byte(names))
}

// letGo: the names of all tables are safe, or the logs were never touched. The
// list goes first, as without it copies mean nothing.
func letGo(dir string) error {
	err := os.Remove(guardFile(dir, heldList))
	if err == nil {
		err = syncFolder(filepath.Join(dir, guardName))
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.RemoveAll(guardFile(dir, heldName))
	}
	if err != nil {
		return fmt.Errorf("let go of held logs: %w", err)
	}
	return nil
}

// logsToHold are the logs that hold anything, and the most their copies need.
func logsToHold(dir string) (paths []string, size int64, err error) {
	logs, err := logsIn(dir, ".mem")
	if err != nil {
		return nil, 0, err
	}
	found := errors.New("found")
	for _, path := range logs {
		info, err := os.Stat(path)
		if err != nil {
			return nil, 0, fmt.Errorf("look at log: %w", err)
		}
		_, err = walkLog(path, func(*logRecord) error { return found })
		if errors.Is(err, found) {
			paths, size = append(paths, path), size+info.Size()
		} else if err != nil {
			return nil, 0, err
		}
	}
	return paths, size, nil
}

// copyLog copies a log without what it has not filled: that stays a hole.
func copyLog(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	next := to + ".new"
	out, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = copyFilled(in, out)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(next, to)
}

func copyFilled(in, out *os.File) error {
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := in.ReadAt(buf, at)
		if n > 0 && !zero(buf[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return out.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
