package disk

import (
	"fmt"
	"os"
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
	dir string

	mu     sync.Mutex
	listed bool
	files  int
	bytes  int64
}

// put keeps raw under a name, once. It reports whether it is new.
func (q *quarantine) put(name string, raw []byte) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.listed {
		q.listed = true
		list, _ := os.ReadDir(q.dir) // none yet
		for _, f := range list {
			if info, err := f.Info(); err == nil {
				q.files++
				q.bytes += info.Size()
			}
		}
	}
	path := filepath.Join(q.dir, name)
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}
	if q.files >= quarantineFilesMax || q.bytes+int64(len(raw)) > quarantineBytesMax {
		return false, nil
	}
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return false, fmt.Errorf("quarantine: %w", err)
	}
	// Not synced: it is evidence, and nobody waits for it.
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return false, fmt.Errorf("quarantine: %w", err)
	}
	q.files++
	q.bytes += int64(len(raw))
	return true, nil
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
