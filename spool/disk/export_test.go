package disk

import (
	"errors"
	"path/filepath"
)

// Private doors for tests.

// Raced: the race detector is on, and everything takes its time.
const Raced = raced

// MarkEvery is how far the high-water file may lag behind.
const MarkEvery = markEvery

// Abandon makes Run stop without its last commit, as a power cut would.
func (s *Store) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staged, s.sealed = newGroup(), nil
	if s.failed == nil {
		s.failed = errors.New("abandoned")
		close(s.moved)
	}
}

// Badger is how Badger's logger is reached.
func (s *Store) Badger() interface {
	Errorf(string, ...any)
	Warningf(string, ...any)
} {
	return s.engine.(*badgerEngine).latch
}

// SetBudget changes the budget and looks at it.
func (s *Store) SetBudget(n int64) {
	s.budget.Store(n)
	s.gate()
	s.signal()
}

// Fail is what a failed commit does.
func (s *Store) Fail(err error) error { return s.fail(err) }

// Measure looks at the files and answers what they occupy.
func (s *Store) Measure() (int64, error) {
	err := s.engine.(*badgerEngine).files.measure()
	return s.engine.used(), err
}

// SchemaValue is the format record of some version.
func SchemaValue(version byte) []byte { return schemaValue(version) }

// CutPlace says where a record of a test with power cuts goes: bytes of a file.
func CutPlace(dir string, number uint64) (path string, at int64, size int) {
	way, k := cutPlace(number)
	w := cutWays[way]
	file, at := w.place(k)
	return w.path(filepath.Join(dir, cutFolder), file), at, w.bytes
}

// CutFolder is the folder of such a test.
const CutFolder = cutFolder

// Most is the largest batch that is possible here.
func (s *Store) Most() int64 { return s.opts.possible(s.space.total) }
