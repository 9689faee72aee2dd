package disk

import (
	"fmt"
	"time"

	"leveret/spool"
)

// What is taken must be written one day, and a batch is written as a whole: one
// that does not fit on the volume would hold up all that comes after it, what
// makes room included. So a batch is refused that, together with all that waits
// before it, could not be written now (ErrFull), and one that could not even when
// all else had left (ErrLarge): whoever waits for room would wait for ever.
//
// What waits is cut into groups, each of whole batches. One is small enough to be
// written where the ballast was, so that it gets through when somebody else fills
// the volume meanwhile; where there is no ballast, or the volume is full, they are
// smaller. Groups are written in order, each as soon as there is space for it.

const (
	// pieceBytes is where a group is closed when there is hardly space for one.
	pieceBytes = 64 << 10
	// leastShare: on a volume that is too small for its files a batch may still
	// have this part of it.
	leastShare = 32
	// valueLogShare is the part of a small volume that one value log may have, as
	// Badger gives space back by whole files; half of valueLogLeast still holds the
	// largest definition there is.
	valueLogShare = 32
	valueLogLeast = 6 << 20
	// wantedFor is how long the writer looks for room for a batch that was
	// refused and has not come again.
	wantedFor = 5 * time.Second
)

// space is what the volume had when it was looked at last, less what was written
// since.
type space struct {
	free, total int64
	ballast     int64 // can be free, too
}

// wanted is a batch that was refused for want of space. Where the store is not
// full otherwise the writer would not hurry to win some back.
type wanted struct {
	bytes int64 // 0: there is none
	asked time.Time
}

// twice is what a commit of some bytes may occupy until tables are compacted.
func twice(bytes int64) int64 { return 2 * bytes }

// need is what must be free for a commit: its own, and what Badger may flush
// because of it. On a small volume the memtables never grow to their full size.
func (o *Options) need(bytes, total int64) int64 {
	return twice(bytes) + min(2*o.MemTableSize, total/16)
}

// compactable is what must stay free beside tables of some bytes, so that they can be
// compacted even when what leaves has made one more: as much again, twice the new one,
// and what Badger may flush meanwhile.
func (o *Options) compactable(tables, total int64) int64 {
	return tables + 2*min(o.MemTableSize, total/16) + o.need(0, total)
}

// fit makes value logs small enough for the volume: what is dead in the last one
// stays until it is full.
func (o *Options) fit(total int64) {
	o.ValueLogFileSize = min(o.ValueLogFileSize, max(total/valueLogShare, valueLogLeast))
}

// possible is the largest batch for which there is space on a volume when
// everything has left. Then the ballast is there, what is in the last value log
// stays, and so do the logs of the memtables.
func (o *Options) possible(total int64) int64 {
	stays := o.ballastSize(total) + o.ValueLogFileSize + min(int64(o.NumMemtables+1)*o.MemTableSize, total/16)
	return max((total-stays-o.need(0, total))/2, total/leastShare)
}

// writable is the largest group that the engine takes with the effect of one
// commit: then no more chunks and redo parts come about than one commit may
// hold, even if there is three times as much to redo.
func (w writer) writable() int64 { return max(1, w.max.changes/4) * chunkBytes }

// possibleLocked refuses what can never be taken.
func (s *Store) possibleLocked(b *spool.Batch, weight int64) error {
	most, of := s.out.writable(), "one commit"
	if total := s.space.total; total > 0 {
		if n := s.opts.possible(total); n < most {
			most, of = n, fmt.Sprintf("a volume of %d bytes", total)
		}
	}
	// What moves is within the budget already, or was when that was larger.
	if budget := s.budget.Load(); budget > 0 && len(b.Enters) > 0 && !b.Moves {
		if n := budget - budget/reserveShare; n < most {
			most, of = n, fmt.Sprintf("a budget of %d bytes", budget)
		}
	}
	if weight <= most {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, %d are possible with %s", spool.ErrLarge, weight, most, of)
}

// roomLocked refuses what could not be written now. What makes room, or has a
// right to it, is taken all the same, and waits.
func (s *Store) roomLocked(b *spool.Batch, weight int64) error {
	if b.Moves || len(b.Enters) == 0 {
		return nil
	}
	waiting := s.stagedBytesLocked()
	if s.fitsLocked(waiting + weight) {
		return nil
	}
	if s.wanted.bytes == 0 {
		s.signal()
	}
	s.wanted = wanted{bytes: weight, asked: s.opts.Now()}
	return fmt.Errorf("%w: no space for %d bytes: %d are free on the volume and %d wait to be written",
		spool.ErrFull, weight, s.space.free, waiting)
}

func (s *Store) fitsLocked(bytes int64) bool {
	return s.space.total == 0 || s.space.free >= s.opts.need(bytes, s.space.total)
}

// narrowLocked reports whether what waits has used up the space for more, so
// that publishers are better off waiting for a commit.
func (s *Store) narrowLocked() bool {
	waiting := s.stagedBytesLocked()
	return waiting > 0 && !s.fitsLocked(waiting+pieceBytes)
}

// seenLocked takes note of what the volume has now.
func (s *Store) seenLocked(now space) {
	s.space = now
	w := &s.wanted
	if w.bytes > 0 && (s.fitsLocked(s.stagedBytesLocked()+w.bytes) || s.opts.Now().Sub(w.asked) > wantedFor) {
		*w = wanted{}
	}
}

// sealLocked closes the staged group when a batch of some weight would make it
// too large.
func (s *Store) sealLocked(weight int64) {
	if g := s.staged; g.last > 0 && g.bytes+weight > s.groupMaxLocked() {
		s.sealed = append(s.sealed, g)
		s.restageLocked()
	}
}

// groupMaxLocked is where a group is closed. As a rule that is beyond where
// publishers are asked to wait: one commit for all is the cheapest.
func (s *Store) groupMaxLocked() int64 {
	o := &s.opts
	most := min(o.StageBytesMax, s.out.writable())
	flush := o.need(0, s.space.total)
	if s.space.ballast > flush {
		most = min(most, (s.space.ballast-flush)/2)
	} else {
		most = min(most, o.CommitBytesMax)
	}
	if !s.fitsLocked(most) {
		most = min(most, pieceBytes)
	}
	return most
}

// restageLocked begins a group.
func (s *Store) restageLocked() {
	if s.staged = s.spare; s.staged == nil {
		s.staged = newGroup()
	}
	s.spare = nil
}

// nextLocked is the group that is written next.
func (s *Store) nextLocked() *group {
	if len(s.sealed) > 0 {
		return s.sealed[0]
	}
	return s.staged
}
