package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// A compaction of Badger drops the error of a table that it could not write: it
// puts the others into the manifest, deletes what all of them were made of, and
// says nothing. So tables are counted: Badger's log announces each one before it
// is written, and the manifest names those that were. Until both numbers are
// even, all that was replaced is kept (anchor.go) and the copy of the manifest
// stays as it was before. When they are not even the store fails, and the next
// start goes back to the copy; it does the same when the process ended before
// anybody had counted (manifest.back).
//
// Nothing is written from the moment when the manifest has a compaction's word
// until that is proven: keys may be hidden, and what somebody decided in the
// meantime, that a chunk is in no queue any more, say, would stay.
//
// Badger compacts only when it is asked to, one compaction at a time.

// Texts of Badger's log, as they are given to its Debugf.
const (
	logTable = "[%d] LOG Compact. Added %d keys." // and a table is begun, if there were any
	logEnded = "[Compactor: %d] Compaction for level: %d DONE"
)

// tally counts tables that compactions write. It is used by the writer and by
// Badger's goroutines.
type tally struct {
	dir string

	mu        sync.Mutex
	announced int           // since the last proof
	proven    manifestState // what the manifest said then
	seen      stamp         // of a manifest that has no newer word
	moved     chan struct{} // closed and replaced with each proof
}

// manifestState is what compactions change in a manifest.
type manifestState struct {
	built   int    // tables that compactions have made
	deleted int    // tables that are named no more
	last    uint64 // the newest table
}

// stamp tells one state of Badger's manifest from another.
type stamp struct {
	size    int64
	changed int64 // nanoseconds
}

func stampOf(dir string) (stamp, error) {
	info, err := os.Stat(filepath.Join(dir, manifestName))
	if err != nil {
		return stamp{}, fmt.Errorf("look at manifest: %w", err)
	}
	return stamp{info.Size(), info.ModTime().UnixNano()}, nil
}

// announce notes that Badger begins to write a table.
func (t *tally) announce() {
	t.mu.Lock()
	t.announced++
	t.mu.Unlock()
}

// begin takes the manifest as it is when Badger has just been opened.
func (t *tally) begin() error {
	m, err := readManifest(filepath.Join(t.dir, manifestName))
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proven, t.moved = m.state(), make(chan struct{})
	return nil
}

// prove is called when no compaction is between its word in the manifest and its
// end. It answers an error when a table is missing.
func (t *tally) prove() error {
	at, err := stampOf(t.dir)
	if err != nil {
		return err
	}
	m, err := readManifest(filepath.Join(t.dir, manifestName))
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.moved == nil {
		return nil // Badger is still being opened, and nothing is compacted
	}
	now := m.state()
	built := now.built - t.proven.built
	if now.deleted < t.proven.deleted { // Badger has written it anew, and with it all
		built = m.newer(t.proven.last)
	}
	if built != t.announced {
		return fmt.Errorf("a compaction wrote %d tables and began %d; what they were made of is kept, and the next start goes back to it", built, t.announced)
	}
	t.announced, t.proven, t.seen = 0, now, at
	close(t.moved)
	t.moved = make(chan struct{})
	return nil
}

// open reports whether the manifest has the word of a compaction that is not
// proven. proven is closed when one is.
func (t *tally) open() (open bool, proven <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err := stampOf(t.dir)
	if err != nil || at == t.seen {
		return false, nil, err
	}
	m, err := readManifest(filepath.Join(t.dir, manifestName))
	if err != nil {
		return false, nil, err
	}
	if m.state().deleted != t.proven.deleted {
		return true, t.moved, nil
	}
	if m.whole {
		t.seen = at
	}
	return false, nil, nil
}
