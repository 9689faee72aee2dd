package disk

import (
	"errors"
	"fmt"
	"time"
)

// Badger gives space of deleted chunks back only after a compaction has seen
// the deletes, and with a few keys for each chunk its memtable would not be
// flushed for hours. So it is flushed by a trick: a key is written and its
// prefix dropped. That blocks writes for some milliseconds, hence the writer
// does it. Compaction takes longer; the janitor does it beside the writer, also
// where nothing was deleted and tables pile up. Then
// value log files are rewritten, one between two commits: Badger reads the
// newest version without a lock when it begins with one, so nothing may be
// written just then.

const (
	reclaimSoon  = 1 << 20 // deleted bytes worth an early look
	reclaimQuiet = 2 * time.Second
	reclaimMin   = 20 * time.Second
	reclaimLate  = 10 * time.Minute // for less than reclaimSoon
	// reclaimPasses bounds the value log files rewritten in one go.
	reclaimPasses = 256
	// Badger looks only at the file with most dead bytes and leaves it, and all
	// others, when less than a share of it is dead. A spool that is nearly full
	// does not go by that: it would never have room again.
	shareDead  = 0.5
	shareTight = 0.25
	shareFull  = 0.1
)

// janitor wins space back. The writer's goroutine owns the fields; compact runs
// in a goroutine of its own while done is not nil.
type janitor struct {
	store *Store
	freed int64     // stored bytes of chunks deleted since the last time
	since time.Time // when the first of them was
	last  time.Time // when space was won back last

	done   chan struct{} // closed when the compaction has ended
	failed error         // of the compaction
	again  time.Time     // not before then, after one that failed or had no room
	passes int           // value log files that may still be rewritten; 0: none is left
	// rewrote: some were, and what that brought back was not looked for yet.
	rewrote bool
}

// tend does what is due beside commits and says when to look again; the zero
// time stands for not before something happens.
func (c *committer) tend(now time.Time) (look time.Time, err error) {
	next := func(t time.Time) {
		if look.IsZero() || t.Before(look) {
			look = t
		}
	}
	c.mu.Lock()
	full, wanted, tight := c.level.floor > 0, c.wanted.bytes > 0, c.level.percent >= warnPercent
	c.mu.Unlock()
	if full || wanted {
		if err := c.engine.measure(); err != nil {
			return look, err
		}
		c.gate()
		next(now.Add(idleLook))
	}
	if err := c.takeNotes(now, next); err != nil {
		return look, err
	}
	if len(c.index.purging) > 0 || len(c.merger.queues) > 0 || c.strays.from != nil {
		next(now.Add(idleLook)) // they wait for space
	}
	c.merges(now, next)
	j := &c.janitor
	if wanted && j.freed == 0 && !now.Before(j.last.Add(reclaimMin)) {
		j.freed, j.since = 1, now // what a reader still held the last time
	}
	if at, err := c.engine.rest(now); err != nil {
		return look, err
	} else if !at.IsZero() {
		next(at)
	}
	if j.done != nil || j.passes > 0 || j.freed <= 0 {
		return look, nil
	}
	at := j.due(c, full || wanted || tight && j.freed >= reclaimSoon)
	if at = later(at, j.again); at.After(now) {
		next(at)
		return look, nil
	}
	if wait, err := c.cramped(); wait || err != nil {
		next(now.Add(idleLook))
		return look, err
	}
	return look, c.reclaim()
}

// due is when the next reclaim has to begin.
func (j *janitor) due(c *committer, now bool) time.Time {
	switch {
	case j.freed >= c.opts.ReclaimBytes, now:
		return j.since
	case j.freed < reclaimSoon:
		return j.since.Add(reclaimLate)
	case len(c.index.queues) == 0: // drained: now or never
		return c.ended.Add(reclaimQuiet)
	default:
		return j.since.Add(reclaimMin)
	}
}

// reclaim flushes the memtable and lets the janitor do the rest.
func (c *committer) reclaim() error {
	scratch := []byte{classScratch}
	if err := c.out.commit([]change{{scratch, scratch}}); err != nil {
		return fmt.Errorf("write scratch key: %w", err)
	}
	// Readers' snapshots keep what was deleted after them, so they move on.
	c.refresh(func() {})
	if err := c.engine.flush(scratch); errors.Is(err, errNoSpace) {
		c.janitor.again = c.opts.Now().Add(idleLook)
		return nil
	} else if err != nil {
		return fmt.Errorf("flush memtable: %w", err)
	}
	j := &c.janitor
	j.freed, j.since, j.last = 0, time.Time{}, c.opts.Now()
	return j.start()
}

// start begins a compaction beside the writer.
func (j *janitor) start() error {
	if err := j.store.engine.hold(); errors.Is(err, errNoSpace) {
		j.again = j.store.opts.Now().Add(idleLook)
		return nil
	} else if err != nil {
		return fmt.Errorf("begin compaction: %w", err)
	}
	j.done, j.failed = make(chan struct{}), nil
	go j.compact(j.done)
	return nil
}

// follow takes note of a compaction that has ended and begins one where tables
// pile up, also when commits leave no time for anything else.
func (c *committer) follow() error {
	j := &c.janitor
	select {
	case <-j.done:
		return j.compacted()
	default:
	}
	if j.done != nil || !c.engine.crowded() || c.opts.Now().Before(j.again) {
		return nil
	}
	if wait, err := c.cramped(); wait || err != nil {
		return err
	}
	return j.start()
}

// cramped reports whether a compaction would fill the volume. Where a commit waits
// for the space that it wins, the ballast is given up for it.
func (c *committer) cramped() (bool, error) {
	bytes := c.engine.compacts() / 2 // twice as many are asked for
	wait, err := c.putOff(bytes)
	return wait && !c.spendBallast(bytes), err
}

func (j *janitor) compact(done chan<- struct{}) {
	defer close(done)
	j.failed = j.store.engine.compact()
}

// compacted takes note of the end of the compaction.
func (j *janitor) compacted() error {
	j.done, j.passes = nil, reclaimPasses
	if j.failed != nil {
		j.again = j.store.opts.Now().Add(reclaimMin)
		j.store.opts.Log.Warn("spool was not compacted", "dir", j.store.opts.Dir, "err", j.failed)
	}
	return j.store.engine.prove()
}

// sweep rewrites one value log file, if there is one that is half dead, or less
// when space is wanted.
func (j *janitor) sweep() (more bool, err error) {
	if j.passes == 0 || j.done != nil { // a compaction may hide what is still used
		return false, nil
	}
	fits, err := j.store.mayRewrite()
	if !fits {
		j.passes = 0
		return false, err
	}
	more, err = j.store.engine.sweep(j.store.shares())
	if err != nil {
		return false, err
	}
	if j.passes--; !more {
		j.passes = 0
	} else {
		j.rewrote = true
	}
	j.store.gate()
	return j.passes > 0, nil
}

// shares of dead bytes that make a file worth rewriting, now.
func (s *Store) shares() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.level.floor > 0, s.wanted.bytes > 0:
		return []float64{shareDead, shareTight, shareFull}
	case s.level.percent >= warnPercent:
		return []float64{shareDead, shareTight}
	}
	return []float64{shareDead}
}

// wait waits for a compaction that is under way, and ends it when nothing has
// failed.
func (j *janitor) wait(failed error) error {
	if j.done == nil {
		return failed
	}
	<-j.done
	if failed != nil {
		return failed
	}
	return j.compacted()
}
