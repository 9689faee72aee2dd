package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"leveret/spool"
)

// idleLook is how often the writer looks up by itself while something is
// pending: space that may have come back, memory that may be paged out.
const idleLook = time.Second

// Run writes until ctx ends; then it commits what is staged and returns nil. It
// returns early with ErrFailed when the disk cannot be trusted any more. It is
// called once.
func (s *Store) Run(ctx context.Context) error {
	now := s.opts.Now()
	c := &committer{Store: s, ended: now.Add(-s.opts.CommitWindow), settled: now.Add(settledAfter)}
	// What the last life had freed, and not given back, is done first.
	c.janitor.store, c.janitor.passes = s, reclaimPasses
	if c.janitor.freed = s.left; s.level.floor > 0 {
		c.janitor.freed = max(1, s.left)
	}
	if c.janitor.freed > 0 {
		c.janitor.since = now
	}
	err := c.run(ctx)
	if err = c.janitor.wait(err); err != nil {
		return s.fail(err)
	}
	return nil
}

// committer is the state of the one writer. The fields belong to its goroutine.
type committer struct {
	*Store
	ended   time.Time // of the last commit
	janitor janitor
	merger  merger
	strays  strays
	writers []*chunkWriter // buffers for chunks, used again

	waiting bool // for space on the volume; it was told

	pace     time.Time // small groups wait until then, see spend
	settled  time.Time // when the start will have been good; zero: it was
	defsDue  time.Time // when definitions are to be copied; zero: nothing changed
	defsDone time.Time // when they were last
}

func (c *committer) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		ends := ctx.Err() != nil // asked once, or what is staged could be left behind
		look, more, err := c.turn(ends)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if ends {
			return nil
		}
		var later <-chan time.Time
		if !look.IsZero() {
			timer.Reset(max(0, c.until(look)))
			later = timer.C
		}
		select {
		case <-c.wake:
		case <-later:
		case <-c.janitor.done: // the next turn looks after it
		case <-ctx.Done():
		}
	}
}

// turn does one piece of work, if there is one; otherwise it says when to look
// again, zero for not before something happens. At the end only what is staged is
// work.
func (c *committer) turn(ends bool) (look time.Time, more bool, err error) {
	now := c.opts.Now()
	if !ends {
		if err := c.follow(); err != nil {
			return look, false, err
		}
	}
	due, staged := c.due()
	if staged && (ends || !due.After(now)) {
		wait, err := c.noSpace()
		switch {
		case err != nil:
			return look, false, err
		case !wait:
			if err := c.commit(); err != nil {
				return look, false, err
			}
			_, err := c.engine.rest(now)
			return look, true, err
		case ends:
			return look, false, errNoSpace
		}
		due = now.Add(spaceLook) // meanwhile space is won back
	}
	if ends {
		return look, false, nil
	}
	if more, err := c.inBetween(); more || err != nil {
		return look, more, err
	}
	if look, err = c.tend(now); err != nil {
		return look, false, err
	}
	if staged && (look.IsZero() || due.Before(look)) {
		look = due
	}
	return look, false, nil
}

// noSpace reports whether the volume is so full that writing would end the
// process. What is staged keeps waiting then, and nothing of it is promised.
func (c *committer) noSpace() (wait bool, err error) {
	c.mu.Lock()
	bytes := c.nextLocked().bytes
	c.mu.Unlock()
	err = c.mayWrite(bytes)
	if !errors.Is(err, errNoSpace) {
		c.waiting = false
		return false, err
	}
	if !c.waiting {
		c.waiting = true
		c.opts.Log.Error("commits wait for space", "dir", c.opts.Dir, "err", err)
	}
	c.gate()
	return true, nil
}

// inBetween does one step of the work that goes on between commits.
func (c *committer) inBetween() (more bool, err error) {
	if more, err = c.resumePurges(); more || err != nil {
		return more, err
	}
	if more, err = c.merge(); more || err != nil {
		return more, err
	}
	if more, err = c.janitor.sweep(); more || err != nil {
		return more, err
	}
	if c.janitor.rewrote {
		c.janitor.rewrote = false
		c.strays.begin()
	}
	return c.dropStrays()
}

// due says when what is staged has to be committed, if anything is.
//
// Work that was cancelled, a sealed or full group and a group after a pause go at once.
// Otherwise the window since the last commit is waited for, which gathers a
// trickle into few writes. A peer that waits for each answer before it sends
// the next message would get one answer per window; so the window is not spent
// when, right after an answer, as many records come as it was given for:
// everyone is back. Nobody waits for a Leave, so leaves alone always take the
// window.
func (c *committer) due() (at time.Time, staged bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.nextLocked()
	switch {
	case g.last == 0:
		return time.Time{}, false
	case g != c.staged, g.idle(), g.bytes >= c.opts.CommitBytesMax:
		return g.begun, true
	case g.asking == 0:
		return later(g.begun, c.ended).Add(c.opts.CommitWindow), true
	case c.answered > 0 && g.asking >= c.answered && c.echo(g.begun):
		return later(g.begun, c.pace), true
	default:
		return later(c.ended.Add(c.opts.CommitWindow), c.pace), true
	}
}

// commitBurst is how many seconds' worth of commits may come at once.
const commitBurst = 10

// spend notes a commit. Each one puts the next off by its share of a second,
// on an account that may be overdrawn by a burst.
func (c *committer) spend(at time.Time) {
	n := c.opts.CommitsPerSecond
	if n <= 0 {
		return
	}
	full, share := at.Add(-commitBurst*time.Second), time.Second/time.Duration(n)
	c.pace = later(c.pace, full).Add(share)
	// Full groups do not wait, and what they spend is not owed: small ones
	// would wait for minutes after a burst.
	if next := at.Add(share); c.pace.After(next) {
		c.pace = next
	}
}

// echoMax is how soon after its answer a peer that waited for it has sent the
// next message.
const echoMax = 2 * time.Millisecond

func (c *committer) echo(begun time.Time) bool {
	d := begun.Sub(c.ended)
	return d >= 0 && d <= echoMax
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// take makes the next group the one in flight.
func (c *committer) take() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.nextLocked()
	c.inflight = g
	if g == c.staged {
		c.restageLocked()
	} else {
		c.sealed = slices.Delete(c.sealed, 0, 1)
	}
	return g
}

// commit brings the next group to the disk and moves the watermark.
func (c *committer) commit() error {
	g := c.take()
	if g.idle() {
		c.ended = c.opts.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settleLocked(g)
		return nil
	}
	if err := c.finishPurges(g); err != nil {
		return err
	}
	c.index.begin(c.snap.at) // only this goroutine replaces snap
	written, err := c.build(g)
	if err == nil {
		err = c.write(written)
	}
	c.index.end()
	if err != nil {
		return fmt.Errorf("commit up to %d: %w", g.last, err)
	}
	c.ended = c.opts.Now()
	c.spend(c.ended)
	if c.defsDue.IsZero() && slices.ContainsFunc(g.puts, copied) {
		c.defsDue = later(c.ended.Add(defCopySoon), c.defsDone.Add(defCopyEvery))
	}
	c.publish(func() {
		c.stats.Written += uint64(written)
		c.space.free -= twice(g.bytes) // until it is looked at again
		c.settleLocked(g)
	})
	c.index.evict()
	c.gate()
	return nil
}

// write brings the index's changes to the disk. It returns nil only when they
// are there.
func (c *committer) write(records int) error {
	if len(c.index.changes.list) == 0 {
		return nil
	}
	next := mark{c.mark.commits + 1, c.mark.records + uint64(records)}
	c.index.changes.set([]byte{classMark}, next.encode())
	begun := time.Now()
	if err := c.out.write(c.index.changes.list); err != nil {
		return err
	}
	c.mark = next
	if err := c.jots.jot(next); err != nil { // it is the notes that count
		c.opts.Log.Warn("marks are only noted now and then from here on", "dir", c.opts.Dir, "err", err)
	}
	if next.commits >= c.high.noted.commits+markEvery {
		// Without room the note waits for the next commit.
		if err := c.high.note(next); err != nil && !noRoom(err) {
			return err
		}
	}
	c.mu.Lock()
	c.stats.Commits++
	c.stats.BytesIn += uint64(c.index.changes.bytes)
	c.stats.SyncNanos += uint64(time.Since(begun))
	c.mu.Unlock()
	return nil
}

// publish shows readers what was just written.
func (c *committer) publish(more func()) {
	ix := c.index
	c.freedMore(ix.freed)
	c.refresh(func() {
		for _, q := range ix.touched {
			if qi := ix.queues[q]; qi != nil {
				c.heads[q] = qi.head
			} else {
				delete(c.heads, q)
			}
			if p, ok := ix.purging[q]; ok {
				c.purging[q] = p
			} else {
				delete(c.purging, q)
			}
		}
		c.stats.Records -= ix.removed
		c.stats.Corrupt += ix.corrupted
		more()
	})
}

// settleLocked makes a group's promises true and keeps its memory.
func (c *committer) settleLocked(g *group) {
	c.inflight = nil
	if c.failed != nil {
		return // nothing is promised any more
	}
	c.durable = g.last
	c.answered = g.asking
	c.stats.Skipped += uint64(g.skipped())
	close(c.moved)
	c.moved = make(chan struct{})
	c.letInLocked()
	if g.readers == 0 {
		g.reset()
		c.spare = g
	}
}

func (g *group) skipped() (n int) {
	for i := range g.records {
		if r := &g.records[i]; r.live == 0 {
			n++
		}
	}
	return n
}

// finishPurges brings purges to their end that a group would collide with: it
// uses positions anew, or purges the same queue once more.
func (c *committer) finishPurges(g *group) error {
	for _, q := range g.order {
		p, ok := c.index.purging[q.id]
		for ok && (len(q.purges) > 0 || len(q.enters) > q.head && q.enters[q.head].pos <= p.to) {
			if err := c.resumePurge(q.id); err != nil {
				return err
			}
			_, ok = c.index.purging[q.id]
		}
	}
	return nil
}

// resumePurges does one step of some purge.
func (c *committer) resumePurges() (more bool, err error) {
	if len(c.index.purging) == 0 {
		return false, nil
	}
	if wait, err := c.putOff(0); wait || err != nil {
		return false, err
	}
	for q := range c.index.purging {
		return true, c.resumePurge(q)
	}
	return false, nil
}

func (c *committer) resumePurge(q spool.QueueID) error {
	c.index.begin(c.snap.at)
	_, err := c.index.resume(q)
	if err == nil {
		c.index.flush()
		err = c.write(0)
	}
	c.index.end()
	if err != nil {
		return fmt.Errorf("purge queue %d: %w", q, err)
	}
	c.publish(func() {})
	c.index.evict()
	return nil
}
