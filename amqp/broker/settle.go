package broker

import (
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// Outcome is what became of a delivery.
type Outcome uint8

const (
	Accepted Outcome = iota // the peer has it: gone
	Returned                // back to its place, to be delivered again
	Rejected                // the peer will not have it: gone
)

// Settlement settles a delivery tag, or with Multiple all unsettled ones up to
// it; then tag 0 means all that there are.
type Settlement struct {
	Tag      uint64
	Multiple bool
	Outcome  Outcome
}

// Settle settles deliveries in order. A tag that is unknown or settled already
// ends it with 406; what stood before it is settled.
func (s *Session) Settle(ops []Settlement) error {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.settleAllLocked(s, ops)
	v.finishLocked()
	return err
}

// settleAllLocked settles in order, up to the first tag that is not known.
func (v *VHost) settleAllLocked(s *Session, ops []Settlement) (err error) {
	for i := range ops {
		if err = v.settleLocked(s, &ops[i]); err != nil {
			break
		}
		v.cutLocked()
	}
	s.creditLocked()
	return err
}

// takesLocked asks the log whether it can take the running batch and what settling
// would add to it, as one change: what dies may go to another queue.
func (v *VHost) takesLocked(s *Session, ops []Settlement) error {
	all := spool.Batch{Moves: true, Enters: slices.Clip(v.batch.Enters), Leaves: slices.Clip(v.batch.Leaves), Puts: v.batch.Puts}
	add := func(u *unacked, o Outcome) {
		if u == nil || u.lane == nil {
			return
		}
		if q, m := u.lane.q, u.entry.msg; o != Accepted && q.args.deadLettering {
			dead := v.deadMessage(q, countedAttempt(m, 1), deathsOf(m.Props), reasonLimit) // at its largest
			all.Enters = append(all.Enters, spool.Enter{Record: (*stored)(dead), Size: len(m.Body)})
		}
		all.Leaves = append(all.Leaves, spool.Leave{Queue: u.lane.id, Pos: u.entry.pos})
	}
	for i := range ops {
		op := &ops[i]
		if !op.Multiple {
			add(s.at(op.Tag), op.Outcome)
			continue
		}
		for j := range s.unacked.len() {
			if u := s.unacked.at(j); op.Tag == 0 || u.tag <= op.Tag {
				add(u, op.Outcome)
			}
		}
	}
	return v.b.log.Takes(&all)
}

// known refuses a tag that is not there to be settled.
func (s *Session) known(op *Settlement) error {
	if op.Multiple && op.Tag == 0 || s.find(op.Tag) != nil {
		return nil
	}
	return amqp.Errorf(amqp.PreconditionFailed, "unknown delivery tag %d", op.Tag)
}

func (v *VHost) settleLocked(s *Session, op *Settlement) error {
	if err := s.known(op); err != nil {
		return err
	}
	if !op.Multiple {
		v.outcomeLocked(s, s.find(op.Tag), op.Outcome)
		s.trim()
		return nil
	}
	upTo := op.Tag
	if upTo == 0 {
		upTo = s.lastTag
	}
	v.outcomesLocked(s, upTo, op.Outcome)
	return nil
}

// outcomesLocked settles everything up to a tag, but for what a transaction
// has promised to settle.
func (v *VHost) outcomesLocked(s *Session, upTo uint64, o Outcome) {
	s.trim()
	for i := 0; i < s.unacked.len() && s.unacked.at(i).tag <= upTo; {
		if u := s.unacked.at(i); u.open() && !u.promised {
			v.outcomeLocked(s, u, o)
			v.cutLocked()
		}
		if i == 0 && !s.unacked.front().open() {
			s.unacked.popFront()
		} else {
			i++
		}
	}
}

// find gives the delivery of a tag that may be settled.
func (s *Session) find(tag uint64) *unacked {
	if u := s.at(tag); u != nil && !u.promised {
		return u
	}
	return nil
}

// at gives the unsettled delivery of a tag. Tags are mostly without gaps.
func (s *Session) at(tag uint64) *unacked {
	if s.unacked.len() == 0 || tag < s.unacked.front().tag {
		return nil
	}
	lo, hi := 0, s.unacked.len()
	if guess := int(min(tag-s.unacked.front().tag, uint64(hi-1))); s.unacked.at(guess).tag == tag {
		lo = guess
	} else {
		for lo < hi {
			if mid := (lo + hi) / 2; s.unacked.at(mid).tag < tag {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo == s.unacked.len() || s.unacked.at(lo).tag != tag {
			return nil
		}
	}
	if u := s.unacked.at(lo); u.open() {
		return u
	}
	return nil
}

// trim drops settled deliveries from the front.
func (s *Session) trim() {
	for s.unacked.len() > 0 && !s.unacked.front().open() {
		s.unacked.popFront()
	}
	if n := s.unacked.len(); n > trimMin && n > 2*s.trimmed {
		s.compact()
	}
}

// trimMin is how many places behind one that stays unsettled are let stand.
const trimMin = 1024

// compact drops the settled places between unsettled ones, so that one long job
// does not make the list of all others grow.
func (s *Session) compact() {
	var kept ring[unacked]
	for i := range s.unacked.len() {
		if u := s.unacked.at(i); u.open() {
			kept.pushBack(*u)
		}
	}
	s.unacked, s.trimmed = kept, max(kept.len(), trimMin/2)
}

func (v *VHost) outcomeLocked(s *Session, u *unacked, o Outcome) {
	if u.lapsed {
		v.settledLate(s, u)
		return
	}
	counts := !u.untaken && (u.consumer == nil || !u.consumer.Uncounted)
	untaken := u.untaken
	l, e := s.release(u)
	q := l.q
	switch {
	case q.deleted:
		if !e.stored {
			v.b.transient.Add(-footprint(e.msg))
		}
		return
	case o == Returned && untaken:
		q.giveBack(l, e)
	case o == Returned:
		v.returnLocked(l, e, counts)
	case o == Rejected:
		v.deadLetterLocked(q, l, e, reasonRejected)
	default:
		q.out++
		v.goneLocked(l.id, e)
	}
	v.touchLocked(q)
}

// returnLocked puts a message back at its old place, or, when it counts, buries
// it when it came back too often. A queue with a delivery limit shows consumers
// the count.
func (v *VHost) returnLocked(l *lane, e entry, counts bool) {
	q := l.q
	e.redelivered = true
	if counts {
		e.attempts++
	}
	if limit := q.args.deliveryLimit; counts && limit >= 0 {
		if int64(e.attempts) > limit {
			v.deadLetterLocked(q, l, e, reasonLimit)
			return
		}
		e.msg = countedAttempt(e.msg, e.attempts)
	}
	if q.args.retryMin > 0 {
		q.rest(l, e)
		return
	}
	q.giveBack(l, e)
}

// countedAttempt is the message with the header x-delivery-count.
func countedAttempt(m *amqp.Message, n uint32) *amqp.Message {
	list := m.Props.List()
	list.Headers = list.Headers.With("x-delivery-count", int64(n))
	list.Flags |= amqp.HasHeaders
	told := *m
	told.Props = list.Encode()
	return &told
}

// Recover gives all unsettled deliveries of the session back to their queues
// (0-9-1, basic.recover with requeue).
func (s *Session) Recover() {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	v.outcomesLocked(s, s.lastTag, Returned)
	s.creditLocked()
	v.finishLocked()
}

// creditLocked: something was settled. Credit that is shared lets any of the
// session's consumers go on.
func (s *Session) creditLocked() {
	if s.prefetch > 0 || s.strained {
		s.strained = false
		s.touchAllLocked()
	}
}

// returnAllLocked puts everything unsettled back, what a transaction would have
// settled included.
func (s *Session) returnAllLocked() {
	for i := range s.unacked.len() {
		s.unacked.at(i).promised = false
	}
	s.conn.v.outcomesLocked(s, s.lastTag, Returned)
}
