package disk

import (
	"errors"
	"fmt"
	"time"

	"leveret/spool"
)

// How much of its budget the spool has used decides who may still publish. One
// sixteenth of it is kept for messages with a priority, the higher the more of
// it; the percentages below are of the rest.
const (
	// reserveShare is the part of the budget that is kept for priorities.
	reserveShare = 16
	priorityMax  = 9

	warnPercent = 80 // the operator is told
	calmPercent = 75 // and told that it is over
	slowPercent = 90 // publishers are slowed, more and more up to 100

	// paceBytes may be appended between two pauses of at most paceMax.
	paceBytes = 64 << 10
	paceMax   = 200 * time.Millisecond
)

// level is how full the spool is.
type level struct {
	percent int
	floor   int   // the lowest priority that is still taken; beyond priorityMax: none
	why     error // with a floor above 0
}

// refused reports whether a batch may not enter at this level.
func (l level) refused(b *spool.Batch) bool {
	if l.floor == 0 || b.Moves {
		return false
	}
	for i := range b.Enters {
		if int(b.Enters[i].Priority) < l.floor {
			return true
		}
	}
	return false
}

// pause is how long publishers wait for the next paceBytes.
func (l level) pause() time.Duration {
	if l.percent < slowPercent {
		return 0
	}
	return paceMax * time.Duration(min(l.percent, 100)-slowPercent+1) / (100 - slowPercent + 1)
}

// gate looks at the disk and decides what is taken. It opens again a little
// later than it closes.
func (s *Store) gate() {
	s.mu.Lock()
	was := s.level
	s.mu.Unlock()
	now, space := s.measureLevel(was.floor > 0)
	switch {
	case now.floor > 0 && was.floor == 0:
		s.opts.Log.Warn("spool is full", "dir", s.opts.Dir, "err", now.why)
	case now.floor == 0 && was.floor > 0:
		s.opts.Log.Info("spool has room again", "dir", s.opts.Dir)
	}
	s.mu.Lock()
	s.level = now
	s.seenLocked(space)
	text, changed := s.warnLocked()
	s.letInLocked()
	s.mu.Unlock()
	if changed {
		s.tell(TroubleBudget, text)
	}
}

// Full reports whether publishers of ordinary messages wait for space.
func (s *Store) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level.floor > 0
}

// warnLocked says what to tell the operator when it gets tight, and when that
// is over.
func (s *Store) warnLocked() (text string, changed bool) {
	now, was := s.level, s.warned
	switch {
	case now.floor > 0 && was < 100:
		s.warned = 100
		return now.why.Error() + ": publishers wait until something is consumed", true
	case now.floor == 0 && now.percent >= warnPercent && was != warnPercent:
		s.warned = warnPercent
		return fmt.Sprintf("the spool has used %d %% of its budget; publishers are slowed from %d %% on", now.percent, slowPercent), true
	case now.floor == 0 && now.percent < calmPercent && was > 0:
		s.warned = 0
		return "", true
	}
	return "", false
}

func (s *Store) measureLevel(was bool) (level, space) {
	l := s.budgetLevel(was)
	free, total, err := s.opts.on.volume(s.opts.Dir)
	if err != nil {
		return level{floor: priorityMax + 1, why: fmt.Errorf("%w: %w", spool.ErrFull, err)}, space{}
	}
	reserve := s.opts.reserve(total)
	// On a small volume tables can be more than that, and where they could not be
	// compacted any more what leaves would win nothing back.
	reserve = max(reserve, s.opts.compactable(s.engine.compacts(), total))
	held, taken := s.tendBallast(free, total, reserve)
	seen := space{free: free - taken, total: total, ballast: held}
	limit := reserve
	if was {
		limit += reserve / 8
	}
	if free >= limit {
		return l, seen
	}
	// The last part of the reserve is for nobody: Badger must never meet a full
	// volume.
	last := reserve * 3 / 4
	floor := 1 + int(max(0, reserve-free)*priorityMax/max(1, reserve-last))
	if floor <= l.floor {
		return l, seen
	}
	return level{percent: l.percent, floor: min(floor, priorityMax+1),
		why: fmt.Errorf("%w: only %d bytes are free on the volume", spool.ErrFull, free)}, seen
}

func (s *Store) budgetLevel(was bool) (l level) {
	budget := s.budget.Load()
	if budget <= 0 {
		return l
	}
	used := s.engine.used()
	kept := budget / reserveShare
	plain := max(1, budget-kept)
	l.percent = int(min(used*100/plain, 999))
	switch {
	case used >= plain:
		l.floor = int(min(1+(used-plain)*priorityMax/max(1, kept), priorityMax+1))
	case was && used+plain/16 >= plain:
		l.floor = 1
	}
	if l.floor > 0 {
		l.why = fmt.Errorf("%w: budget of %d bytes", spool.ErrFull, budget)
	}
	return l
}

// reserve must stay free on the volume, or nothing enters.
func (o *Options) reserve(total int64) int64 {
	if o.ReserveBytes != 0 {
		return o.ReserveBytes
	}
	return min(64<<20+2*o.ValueLogFileSize, total/10)
}

// pacedLocked reports whether publishers have to pause now, and begins the
// pause when they have to.
func (s *Store) pacedLocked() bool {
	pause := s.level.pause()
	if pause == 0 || s.allowed > 0 || s.level.floor > 0 {
		return false
	}
	if !s.pausing {
		s.pausing = true
		time.AfterFunc(pause, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pausing, s.allowed = false, paceBytes
			s.letInLocked()
		})
	}
	return true
}

// errNoSpace is a volume on which not even a commit fits.
var errNoSpace = errors.New("the volume is full")

// spaceLook is how often a volume that is full is looked at again.
const spaceLook = 250 * time.Millisecond

// mayWrite reports whether a commit of some bytes fits on the volume. Otherwise
// the ballast is given up first; a commit that still does not fit must wait, or
// the process would be killed.
func (s *Store) mayWrite(bytes int64) error {
	err := s.fits(bytes)
	if !errors.Is(err, errNoSpace) {
		return err
	}
	// Where it would not be enough either it is kept for what is smaller.
	if s.fits(bytes-ballastHeld(s.opts.on, s.opts.Dir)/2) != nil {
		return err
	}
	had, derr := dropBallast(s.opts.on, s.opts.Dir)
	if derr != nil {
		return derr
	}
	if !had {
		return err
	}
	s.opts.Log.Warn("the volume is full: ballast given up", "dir", s.opts.Dir, "err", err)
	return s.fits(bytes)
}

// fits reports whether some bytes fit on the volume with what Badger may flush
// because of them.
func (s *Store) fits(bytes int64) error {
	free, total, err := s.opts.on.volume(s.opts.Dir)
	if err != nil {
		return err
	}
	need := s.opts.need(bytes, total)
	if free >= need {
		return nil
	}
	return fmt.Errorf("%w: %d bytes are free, a commit needs %d", errNoSpace, free, need)
}

// spendBallast gives the ballast up for the work that wins space back, when a
// commit waits for that and nothing else can help it. It reports whether there is
// space for the work then, of some bytes.
func (c *committer) spendBallast(bytes int64) bool { return c.waiting && c.mayWrite(bytes) == nil }

// putOff reports whether work that nobody waits for has to wait for space. It
// leaves the ballast for commits and the next start.
func (s *Store) putOff(bytes int64) (bool, error) {
	err := s.fits(bytes)
	if !errors.Is(err, errNoSpace) {
		return false, err
	}
	s.gate()
	return true, nil
}
