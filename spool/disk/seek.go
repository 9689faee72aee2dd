package disk

import (
	"errors"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"

	"leveret/spool"
)

// seeker finds index entries in one snapshot. It belongs to one goroutine.
type seeker struct {
	txn  *badger.Txn
	back *badger.Iterator
}

func (s *seeker) close() {
	if s.back != nil {
		s.back.Close()
		s.back = nil
	}
}

// floor reads the stored entry with the highest first position at or below
// pos. Entries below head are known to be gone.
//
// The iterator walks over all versions, deleted ones too: otherwise one seek
// would run through every deleted entry in front of a queue's head.
func (s *seeker) floor(q spool.QueueID, pos, head spool.Pos) (*entry, error) {
	if s.back == nil {
		o := badger.IteratorOptions{Reverse: true, AllVersions: true, Prefix: []byte{classEntry}}
		s.back = s.txn.NewIterator(o)
	}
	for pos >= head {
		s.back.Seek(entryKey(q, pos))
		if !s.back.Valid() {
			return nil, nil
		}
		key := s.back.Item().KeyCopy(nil)
		kq, first, ok := splitEntryKey(key)
		if !ok || kq != q || first < head {
			return nil, nil
		}
		e, err := readEntry(s.txn, key)
		if e != nil || err != nil || first == 0 {
			return e, err
		}
		pos = first - 1
	}
	return nil, nil
}

// readEntry answers nil when there is no such entry.
func readEntry(txn *badger.Txn, key []byte) (*entry, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read index entry %x: %w", key, err)
	}
	return itemEntry(item)
}

func itemEntry(item *badger.Item) (e *entry, err error) {
	verr := item.Value(func(v []byte) error {
		e, err = decodeEntry(item.Key(), v)
		return nil
	})
	if verr != nil {
		return nil, fmt.Errorf("read index entry %x: %w", item.Key(), verr)
	}
	return e, err
}

// entries calls fn with the stored entries of a queue that begin at or above
// from, in order, until it answers false. Damaged ones come as errors.
func (s *seeker) entries(q spool.QueueID, from spool.Pos, fn func(*entry, error) bool) {
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: queuePrefix(q)})
	defer it.Close()
	for it.Seek(entryKey(q, from)); it.Valid(); it.Next() {
		if !fn(itemEntry(it.Item())) {
			return
		}
	}
}

// parts lists the keys of a chunk's further parts.
func (s *seeker) parts(chunk uint64) (keys [][]byte) {
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: chunkKey(chunk)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if k := it.Item().KeyCopy(nil); len(k) > 9 {
			keys = append(keys, k)
		}
	}
	return keys
}
