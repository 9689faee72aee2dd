package broker

import (
	"slices"

	"leveret/amqp"
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
	var err error
	for i := range ops {
		if err = v.settleLocked(s, &ops[i]); err != nil {
			break
		}
	}
	v.settledLocked()
	v.refreshLocked(s)
	return err
}

func (v *VHost) settleLocked(s *Session, op *Settlement) error {
	upTo := op.Tag
	if op.Multiple && op.Tag == 0 {
		upTo = s.lastTag
	} else {
		u := s.find(op.Tag)
		if u == nil {
			return amqp.Errorf(amqp.PreconditionFailed, "unknown delivery tag %d", op.Tag)
		}
		if !op.Multiple {
			v.outcomeLocked(s, u, op.Outcome)
			s.trim()
			return nil
		}
	}
	for s.unacked.len() > 0 && s.unacked.front().tag <= upTo {
		if u := s.unacked.front(); u.queue != nil {
			v.outcomeLocked(s, u, op.Outcome)
		}
		s.unacked.popFront()
	}
	return nil
}

// find gives the unsettled delivery of a tag. Tags are mostly without gaps.
func (s *Session) find(tag uint64) *unacked {
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
	if u := s.unacked.at(lo); u.queue != nil {
		return u
	}
	return nil
}

// trim drops settled deliveries from the front.
func (s *Session) trim() {
	for s.unacked.len() > 0 && s.unacked.front().queue == nil {
		s.unacked.popFront()
	}
}

func (v *VHost) outcomeLocked(s *Session, u *unacked, o Outcome) {
	q, e := s.release(u)
	if q.deleted {
		if !e.stored {
			v.b.transient.Add(-footprint(e.msg))
		}
		return
	}
	if o == Returned {
		e.redelivered = true
		q.giveBack(e)
	} else {
		q.out++
		v.goneLocked(q.id, e)
	}
	v.touchLocked(q)
}

// touchLocked remembers a queue whose consumers may go on at the end of the
// call, see refreshLocked.
func (v *VHost) touchLocked(q *queue) {
	if !q.touched {
		q.touched = true
		v.touched = append(v.touched, q)
	}
}

// refreshLocked lets queues deliver after credit or messages came back.
func (v *VHost) refreshLocked(s *Session) {
	for _, q := range v.touched {
		q.touched = false
		q.deliver()
	}
	v.touched = v.touched[:0]
	if s != nil && s.prefetch > 0 { // credit is shared: any of them may go on
		s.deliverLocked()
	}
}

// Recover gives all unsettled deliveries of the session back to their queues
// (0-9-1, basic.recover with requeue).
func (s *Session) Recover() {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, q := range s.returnAllLocked() {
		q.deliver()
	}
}

// returnAllLocked puts everything unsettled back and says into which queues.
func (s *Session) returnAllLocked() (touched []*queue) {
	for s.unacked.len() > 0 {
		u := s.unacked.front()
		if u.queue != nil {
			q, e := s.release(u)
			if !q.deleted {
				e.redelivered = true
				q.giveBack(e)
				if !slices.Contains(touched, q) {
					touched = append(touched, q)
				}
			} else if !e.stored {
				s.conn.v.b.transient.Add(-footprint(e.msg))
			}
		}
		s.unacked.popFront()
	}
	return touched
}
