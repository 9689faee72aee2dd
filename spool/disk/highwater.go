package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"leveret/spool"
)

// Badger drops what it cannot read at the end of its logs and says nothing. So
// each commit also writes a mark, its number and how many records were written
// so far, and now and then the mark is noted in a file of its own; in between it
// is jotted down (jot.go). A database whose mark lies below the noted one has lost
// commits.

// markEvery is how many commits pass between two notes: 4 kB are written for
// each.
const markEvery = 64

// mark is how far the database has come.
type mark struct {
	commits uint64 // that wrote something, ever
	records uint64 // written, ever
}

const (
	markBytes = 20
	// markSlot is the distance of the file's two places, which are written in
	// turn: a torn write spares the other one.
	markSlot = 4096
)

func (m mark) encode() []byte {
	b := be.AppendUint64(be.AppendUint64(nil, m.commits), m.records)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMark(b []byte) (m mark, err error) {
	if len(b) != markBytes || be.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return m, fmt.Errorf("%w: mark of the last commit", spool.ErrCorrupt)
	}
	return mark{be.Uint64(b), be.Uint64(b[8:])}, nil
}

// markIn reads the database's mark; a database without one has the zero mark.
func markIn(at moment) (m mark, err error) {
	rerr := at.get([]byte{classMark}, func(v []byte) error {
		m, err = decodeMark(v)
		return nil
	})
	if rerr != nil && !errors.Is(rerr, errNoKey) {
		return m, fmt.Errorf("read mark: %w", rerr)
	}
	return m, err
}

// highWater is the file of noted marks. Unlike other small files it is written
// in place, because a rename costs a card three times as much.
type highWater struct {
	f     file
	noted mark
	turn  int64
}

func openHighWater(on files, dir string) (*highWater, error) {
	path := guardFile(dir, "highwater")
	if err := on.mkdir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open high-water file: %w", err)
	}
	f, err := on.edit(path)
	if err != nil {
		return nil, fmt.Errorf("open high-water file: %w", err)
	}
	h := &highWater{f: f}
	if h.noted, h.turn, err = newestMark(f, markSlot); err != nil {
		return nil, errors.Join(fmt.Errorf("read high-water file: %w", err), f.Close())
	}
	return h, nil
}

// notedMark reads the file of a spool that may be in use.
func notedMark(dir string) (mark, error) {
	f, err := os.Open(guardFile(dir, "highwater"))
	if err != nil {
		return mark{}, fmt.Errorf("read high-water file: %w", err)
	}
	defer f.Close()
	m, _, err := newestMark(f, markSlot)
	if err != nil {
		return m, fmt.Errorf("read high-water file: %w", err)
	}
	if jotted, err := jottedMark(dir); err == nil && jotted.commits > m.commits {
		m = jotted
	}
	return m, nil
}

// note writes a mark that is durable in the database.
func (h *highWater) note(m mark) error {
	if m == h.noted {
		return nil
	}
	_, err := h.f.WriteAt(m.encode(), h.turn*markSlot)
	if err == nil {
		err = h.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write high-water file: %w", err)
	}
	h.noted, h.turn = m, 1-h.turn
	return nil
}

func (h *highWater) close() error { return h.f.Close() }

// compare tells when the database has not come as far as it once was.
func (s *Store) compare() error {
	at := s.engine.now()
	defer at.close()
	have, err := markIn(at)
	if err != nil && !errors.Is(err, spool.ErrCorrupt) {
		return err
	}
	s.mark = have
	noted := s.high.noted
	if s.jotted.commits > noted.commits {
		noted = s.jotted
	}
	if have.commits >= noted.commits {
		return nil
	}
	lost := noted.records - min(noted.records, have.records)
	s.stats.Lost += lost
	s.tell(troubleLost, fmt.Sprintf("the end of the log is gone: %d commits with %d messages that were confirmed are not on the disk",
		noted.commits-have.commits, lost))
	// Go on above both, so that the gap is told once.
	s.mark = mark{commits: noted.commits, records: max(noted.records, have.records)}
	return s.out.commit([]change{{[]byte{classMark}, s.mark.encode()}})
}
