package disk

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"leveret/spool"
)

// Store is an open spool. Open makes it, Run drives it, Close ends it.
type Store struct {
	opts   Options
	engine engine
	lock   io.Closer
	zip    *zipper
	out    writer
	cache  *chunkCache
	index  *index // the writer's
	grave  quarantine
	high   *highWater // the writer's, as mark is
	mark   mark       // of the last commit
	jots   jotter     // the writer's, too
	jotted mark       // by the last life
	starts *starts    // the writer's

	torn   bool  // definitions may be missing; set by Open
	left   int64 // bytes of deleted chunks that the last life did not give back; set by Open
	opened time.Time
	writes writes       // when opened
	budget atomic.Int64 // as in opts; tests change it

	snaps sync.WaitGroup // snapshots that are in use
	wake  chan struct{}  // has one place: the writer looks again

	mu       sync.Mutex
	staged   *group   // never nil
	sealed   []*group // before it, complete and not yet taken; mostly none
	inflight *group   // taken, not yet durable; nil when there is none
	spare    *group   // for the next group; may be nil
	snap     *snapshot
	heads    map[spool.QueueID]spool.Pos // queues with something stored: no entry begins below
	purging  map[spool.QueueID]span      // everything stored in it is gone
	last     spool.LSN
	durable  spool.LSN
	moved    chan struct{} // closed and replaced whenever durable moves; closed for good by a failure
	room     chan struct{} // nil: nobody asked, or there is room
	level    level         // how full it is
	space    space         // what the volume has, see room.go
	wanted   wanted        // what was refused for want of it
	allowed  int64         // bytes before the next pause of publishers
	pausing  bool          // a timer will end the pause
	urgent   bool          // a message with a priority was seen
	warned   int           // percent that the operator was told of
	failed   error         // set once; nothing is promised after it
	stats    spool.Stats
	depths   []spool.Depth // what Open found, until Load
	answered int           // what the last commit's group was asking
}

var _ spool.Log = (*Store)(nil)

// defKeyMax bounds the name of a definition.
const defKeyMax = 4 << 10

// Append implements spool.Log.
func (s *Store) Append(b *spool.Batch) (spool.LSN, error) {
	if err := s.check(b); err != nil {
		return 0, err
	}
	weight := weigh(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.takesLocked(b, weight); err != nil {
		return 0, err
	}
	if b.Empty() {
		return s.last, nil
	}
	s.sealLocked(weight)
	g := s.staged
	idle, asking, bytes := g.last == 0, g.asking, g.bytes
	if idle {
		g.begun = s.opts.Now()
	}
	s.last++
	g.last = s.last
	s.stageLocked(g, b)
	// The writer is woken when what it waits for changes, not for each batch.
	if idle || g.idle() || (asking == 0) != (g.asking == 0) ||
		(asking < s.answered) != (g.asking < s.answered) ||
		(bytes < s.opts.CommitBytesMax) != (g.bytes < s.opts.CommitBytesMax) {
		s.signal()
	}
	return s.last, nil
}

// Takes implements spool.Log.
func (s *Store) Takes(b *spool.Batch) error {
	if err := s.check(b); err != nil {
		return err
	}
	weight := weigh(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takesLocked(b, weight)
}

func (s *Store) takesLocked(b *spool.Batch, weight int64) error {
	if s.failed != nil {
		return s.failed
	}
	if err := s.possibleLocked(b, weight); err != nil {
		return err
	}
	if s.level.refused(b) {
		return s.level.why
	}
	return s.roomLocked(b, weight)
}

func (s *Store) stageLocked(g *group, b *spool.Batch) {
	if len(b.Puts) > 0 || len(b.Purges) > 0 {
		g.asking++
	}
	for i := range b.Enters {
		e := &b.Enters[i]
		g.enter(e)
		s.allowed -= int64(e.Record.Size())
		if e.Priority > 0 && !s.urgent {
			s.urgent = true
			s.letInLocked()
		}
		s.stats.Records += int64(len(e.To))
		if !e.Volatile {
			g.asking++
		}
	}
	for i := range b.Leaves {
		if g.leave(&b.Leaves[i]) {
			s.stats.Records--
		}
	}
	for _, p := range b.Puts {
		g.puts = append(g.puts, p)
		g.bytes += putCost(&p)
	}
	for _, p := range b.Purges {
		s.stats.Records -= int64(g.clear(p.Queue, span{p.From, p.To}))
	}
}

// check refuses what could never be written, before anything is taken.
func (s *Store) check(b *spool.Batch) error {
	for i := range b.Enters {
		e := &b.Enters[i]
		if n := e.Record.Size(); n > recordBytesMax {
			return fmt.Errorf("append record: %w: %d bytes, %d are possible", spool.ErrLarge, n, recordBytesMax)
		}
		for _, d := range e.To {
			if d.Pos == spool.MaxPos {
				return fmt.Errorf("append to queue %d: position %d is reserved", d.Queue, d.Pos)
			}
		}
	}
	for _, p := range b.Puts {
		if len(p.Key) > defKeyMax || len(p.Value) > s.opts.partMax() {
			return fmt.Errorf("define %.40q: %w: key of %d and value of %d bytes, %d and %d are possible",
				p.Key, spool.ErrLarge, len(p.Key), len(p.Value), defKeyMax, s.opts.partMax())
		}
	}
	return nil
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Durable implements spool.Log.
func (s *Store) Durable() (spool.LSN, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable, s.moved, s.failed
}

// Room implements spool.Log.
func (s *Store) Room() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == nil && s.failed == nil && s.tightLocked() {
		s.room = make(chan struct{})
	}
	return s.room
}

// tightLocked reports whether publishers have to wait. Where some messages have
// a priority that is still taken they are not held up: then only Append refuses.
func (s *Store) tightLocked() bool {
	full := s.level.floor > 0
	if full && s.urgent && s.level.floor <= priorityMax {
		full = false
	}
	return full || s.stagedBytesLocked() > s.opts.StageBytesMax || s.narrowLocked() || s.pacedLocked()
}

func (s *Store) stagedBytesLocked() int64 {
	n := s.staged.bytes
	for _, g := range s.sealed {
		n += g.bytes
	}
	if s.inflight != nil {
		n += s.inflight.bytes
	}
	return n
}

// letInLocked wakes publishers when half of the bound is free again.
func (s *Store) letInLocked() {
	if s.room != nil && (s.failed != nil ||
		!s.tightLocked() && s.stagedBytesLocked() <= s.opts.StageBytesMax/2) {
		close(s.room)
		s.room = nil
	}
}

// Stats implements spool.Log. Records counts places: a message in three queues
// counts three times.
func (s *Store) Stats() spool.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.StagedBytes = s.stagedBytesLocked()
	st.BudgetBytes = s.budget.Load()
	st.DiskBytes = s.engine.used()
	return st
}

// Load implements spool.Log.
func (s *Store) Load(def func(string, []byte) error, queue func(spool.Depth) error) error {
	snap, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(snap)
	if s.torn {
		if err := def("", nil); err != nil {
			return err
		}
	}
	err = list(snap.at, classDef, func(it item) error {
		name := string(it.Key()[1:])
		stored, err := valueOf(it)
		if err != nil {
			return fmt.Errorf("read definition %q: %w", name, err)
		}
		value, err := decodeDef(name, stored)
		if err != nil {
			value, err = s.restoreDef(name, stored)
		}
		if err != nil {
			return err
		}
		return def(name, value)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	depths := s.depths
	s.depths = nil
	s.mu.Unlock()
	for _, d := range depths {
		if err := queue(d); err != nil {
			return err
		}
	}
	return nil
}

// fail ends all promises. The first cause stays.
func (s *Store) fail(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", spool.ErrFailed, cause)
		close(s.moved)
		s.letInLocked()
		s.opts.Log.Error("spool failed", "dir", s.opts.Dir, "err", cause)
	}
	return s.failed
}

// Close ends the store. Run must have returned; what it did not commit is lost.
func (s *Store) Close() error {
	s.mu.Lock()
	sound := s.failed == nil
	if sound {
		s.failed = fmt.Errorf("%w: closed", spool.ErrFailed)
		close(s.moved)
		s.letInLocked()
	}
	snap := s.snap
	s.snap = nil
	s.mu.Unlock()
	if snap != nil {
		s.release(snap)
	}
	s.snaps.Wait() // readers that have begun may end
	// Badger flushes at its end, which a full volume would make a crash. Without
	// an end it is as after a power cut: what was promised is there.
	err := s.mayWrite(0)
	if errors.Is(err, errNoSpace) {
		return fmt.Errorf("close spool %s: left as it is: %w", s.opts.Dir, err)
	}
	if err == nil && sound && s.engine.fault() == nil { // else nobody knows what is true
		err = s.leaveNotes()
	}
	err = errors.Join(err, s.closeFiles(sound && err == nil))
	if !errors.Is(err, errClosing) { // else Badger still writes
		err = errors.Join(err, s.lock.Close()) // gives the lock back
	}
	if err != nil {
		return fmt.Errorf("close spool %s: %w", s.opts.Dir, err)
	}
	return nil
}

// leaveNotes writes, at a clean stop, what the next start compares with. Where
// there is no room the older ones stay, which say less and nothing that is wrong.
func (s *Store) leaveNotes() (err error) {
	for _, note := range []func() error{func() error { return s.high.note(s.mark) }, s.copyDefs, s.starts.good} {
		if e := note(); noRoom(e) {
			s.opts.Log.Warn("no room for a note of the spool's end", "dir", s.opts.Dir, "err", e)
		} else {
			err = errors.Join(err, e)
		}
	}
	return err
}

// snapshot is the database as of one commit, shared by readers.
type snapshot struct {
	at   moment
	uses int // under the store's lock; one is the store's own
}

func (s *Store) acquire() (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failed
	}
	return s.acquireLocked(), nil
}

func (s *Store) acquireLocked() *snapshot {
	s.snap.uses++
	return s.snap
}

func (s *Store) release(n *snapshot) {
	s.mu.Lock()
	n.uses--
	unused := n.uses == 0
	s.mu.Unlock()
	if unused {
		n.at.close()
		s.snaps.Done()
	}
}

// refresh makes the database as it is now the snapshot of readers; publish
// changes what else they see in the same moment.
func (s *Store) refresh(publish func()) {
	next := &snapshot{at: s.engine.now(), uses: 1}
	s.snaps.Add(1)
	s.mu.Lock()
	old := s.snap
	s.snap = next
	publish()
	s.mu.Unlock()
	if old != nil {
		s.release(old)
	}
}

// until is how long it takes to t.
func (s *Store) until(t time.Time) time.Duration { return t.Sub(s.opts.Now()) }
