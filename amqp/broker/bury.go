package broker

import "leveret/amqp"

// HeaderRefused is why a message that a shovel's far side never took was dead
// lettered, in the far side's words.
const HeaderRefused = "x-leveret-refused"

// Bury settles a delivery that nobody beyond its consumer will ever take: it
// goes to its queue's dead letter exchange as rejected, with the reason in
// HeaderRefused. Where that would lose it, because there is no such exchange or
// no queue behind it, nothing happens and the answer is false.
func (s *Session) Bury(tag uint64, why string) (buried bool, err error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := s.known(&Settlement{Tag: tag}); err != nil {
		return false, err
	}
	u := s.find(tag)
	if u.lapsed {
		return false, nil // its queue has it again
	}
	q := u.lane.q
	told := withReason(u.entry.msg, why)
	if q.deleted || !v.findsGraveLocked(q, told) {
		return false, nil
	}
	l, e := s.release(u)
	v.goneLocked(l.id, e) // as it was counted; told has grown
	q.out++
	v.buryLocked(q, told, reasonRejected)
	v.batch.Moves = true
	s.trim()
	v.touchLocked(q)
	s.creditLocked()
	v.finishLocked()
	return true, nil
}

// findsGraveLocked reports whether a message of the queue that is rejected now
// would come into another queue.
func (v *VHost) findsGraveLocked(q *queue, m *amqp.Message) bool {
	x := v.exchanges[q.args.deadExchange]
	if !q.args.deadLettering || x == nil {
		return false
	}
	dead := v.deadMessage(q, m, deathsOf(m.Props), reasonRejected)
	for _, t := range v.gravesLocked(x, dead) {
		if t.queue != q {
			return true
		}
	}
	return false
}

// withReason is the message with HeaderRefused.
func withReason(m *amqp.Message, why string) *amqp.Message {
	list := m.Props.List()
	list.Headers = list.Headers.With(HeaderRefused, why)
	list.Flags |= amqp.HasHeaders
	told := *m
	told.Props = list.Encode()
	return &told
}
