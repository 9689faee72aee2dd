package disk

import (
	"bytes"
	"errors"
	"fmt"

	"leveret/spool"
)

// seeker finds index entries in one snapshot. It belongs to one goroutine.
type seeker struct {
	at   moment
	back backward // nil until it is needed
}

func (s *seeker) close() {
	if s.back != nil {
		s.back.close()
		s.back = nil
	}
}

// floor reads the stored entry with the highest first position at or below
// pos. Entries below head are known to be gone.
func (s *seeker) floor(q spool.QueueID, pos, head spool.Pos) (*entry, error) {
	if s.back == nil {
		s.back = s.at.back([]byte{classEntry})
	}
	for pos >= head {
		key := s.back.floor(entryKey(q, pos))
		kq, first, ok := splitEntryKey(key)
		if !ok || kq != q || first < head {
			return nil, nil
		}
		e, err := readEntry(s.at, key)
		if e != nil || err != nil || first == 0 {
			return e, err
		}
		pos = first - 1
	}
	return nil, nil
}

// readEntry answers nil when there is no such entry.
func readEntry(at moment, key []byte) (e *entry, err error) {
	rerr := at.get(key, func(v []byte) error {
		e, err = decodeEntry(key, v)
		return nil
	})
	if rerr != nil && !errors.Is(rerr, errNoKey) {
		return nil, fmt.Errorf("read index entry %x: %w", key, rerr)
	}
	return e, err
}

func itemEntry(it item) (e *entry, err error) {
	rerr := it.Value(func(v []byte) error {
		e, err = decodeEntry(it.Key(), v)
		return nil
	})
	if rerr != nil {
		return nil, fmt.Errorf("read index entry %x: %w", it.Key(), rerr)
	}
	return e, err
}

// entries calls fn with the stored entries of a queue that begin at or above
// from, in order, until it answers false. Damaged ones come as errors.
func (s *seeker) entries(q spool.QueueID, from spool.Pos, fn func(*entry, error) bool) {
	s.at.each(queuePrefix(q), entryKey(q, from), func(it item) bool { return fn(itemEntry(it)) })
}

// parts lists the keys of a chunk's further parts.
func (s *seeker) parts(chunk uint64) (keys [][]byte) {
	s.at.each(chunkKey(chunk), nil, func(it item) bool {
		if k := it.Key(); len(k) > 9 {
			keys = append(keys, bytes.Clone(k))
		}
		return true
	})
	return keys
}
