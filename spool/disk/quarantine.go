package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
)

// What is damaged is kept as it was read, for whoever wants to save a part of
// it by hand.
const (
	quarantineName     = "quarantine"
	quarantineFilesMax = 128
	quarantineBytesMax = 8 << 20
)

// quarantine is the folder of damaged things. When it is full, damage is only
// counted and told.
type quarantine struct {
	on  files
	dir string

	mu    sync.Mutex
	there map[string]int64 // sizes by name; nil until the first
	bytes int64
}

// put keeps raw under a name, once. It reports whether it is new.
func (q *quarantine) put(name string, raw []byte) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.there == nil {
		if q.there, _ = q.on.list(q.dir); q.there == nil { // none yet
			q.there = make(map[string]int64)
		}
		for _, size := range q.there {
			q.bytes += size
		}
	}
	size := int64(len(raw))
	if _, known := q.there[name]; known || len(q.there) >= quarantineFilesMax || q.bytes+size > quarantineBytesMax {
		return false, nil
	}
	if err := q.write(name, raw); err != nil {
		return false, fmt.Errorf("quarantine: %w", err)
	}
	q.there[name] = size
	q.bytes += size
	return true, nil
}

// write does not sync: it is evidence, and nobody waits for it.
func (q *quarantine) write(name string, raw []byte) error {
	if err := q.on.mkdir(q.dir); err != nil {
		return err
	}
	f, err := q.on.create(filepath.Join(q.dir, name))
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Close())
}

// bury keeps something damaged and tells of it.
func (s *Store) bury(name string, raw []byte) {
	kept, err := s.grave.put(name, raw)
	if err != nil {
		s.opts.Log.Warn("damaged data was not kept", "name", name, "err", err)
	}
	if !kept {
		return
	}
	s.mu.Lock()
	s.stats.Quarantined++
	n := s.stats.Quarantined
	s.mu.Unlock()
	s.tell(troubleDamage, fmt.Sprintf("%d damaged pieces were set aside in %s, the last is %s", n, s.grave.dir, name))
}
