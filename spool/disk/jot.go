package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Between two notes of the high-water file the mark of each commit is jotted down in
// a file that is never synced. It is in the page cache at once, so that it outlives the
// process, and the kernel brings it to the disk when it likes to, after half a minute as
// a rule, which costs a card next to nothing. After a kill it says to the commit what
// is lost; after a power cut it may be old, or torn. It is only written when its commit
// is durable, so that a mark in it that lies above the database's is always a loss.

// jotSlot is the distance of the file's two places, which are written in turn: a
// kill may come in the middle of one.
const jotSlot = 64

type jotter struct {
	f    file // nil: there is none
	turn int64
}

func jotPath(dir string) string { return guardFile(dir, "jotted") }

// openJotter answers the newest mark, too.
func openJotter(on files, dir string) (j jotter, newest mark, err error) {
	path := jotPath(dir)
	if err := on.mkdir(filepath.Dir(path)); err != nil {
		return j, newest, fmt.Errorf("open file of jotted marks: %w", err)
	}
	if j.f, err = on.edit(path); err == nil {
		newest, j.turn, err = newestMark(j.f, jotSlot)
	}
	if err != nil {
		return jotter{}, mark{}, errors.Join(fmt.Errorf("open file of jotted marks: %w", err), j.close())
	}
	return j, newest, nil
}

// jot writes a mark that is durable in the database. Without room it waits for the
// next one; after any other error nothing is jotted down any more.
func (j *jotter) jot(m mark) error {
	if j.f == nil {
		return nil
	}
	_, err := j.f.WriteAt(m.encode(), j.turn*jotSlot)
	if noRoom(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("jot mark down: %w", errors.Join(err, j.close()))
	}
	j.turn = 1 - j.turn
	return nil
}

func (j *jotter) close() error {
	if j.f == nil {
		return nil
	}
	defer func() { j.f = nil }()
	return j.f.Close()
}

// newestMark gives the newest of two marks, and the place of the next.
func newestMark(f io.ReaderAt, slot int64) (newest mark, next int64, err error) {
	for turn := range int64(2) {
		b := make([]byte, markBytes)
		if _, err := f.ReadAt(b, turn*slot); err != nil {
			if errors.Is(err, io.EOF) {
				continue
			}
			return newest, next, err
		}
		if m, err := decodeMark(b); err == nil && m.commits >= newest.commits {
			newest, next = m, 1-turn
		}
	}
	return newest, next, nil
}

// jottedMark reads the file of a spool that may be in use.
func jottedMark(dir string) (mark, error) {
	f, err := os.Open(jotPath(dir))
	if err != nil {
		return mark{}, fmt.Errorf("read jotted marks: %w", err)
	}
	defer f.Close()
	m, _, err := newestMark(f, jotSlot)
	if err != nil {
		return mark{}, fmt.Errorf("read jotted marks: %w", err)
	}
	return m, nil
}
