package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// Session is what one 0-9-1 channel, MQTT session or shovel holds: consumers
// and unsettled deliveries. Delivery tags count from 1 in each session.
type Session struct {
	conn *Conn

	// Guarded by the vhost's lock.
	consumers    map[string]*Consumer
	lastTag      uint64
	unacked      ring[unacked] // by rising tag
	unackedOf    int           // those of them that are not settled and count for prefetch
	unackedBytes int
	prefetch     int // for all consumers together; 0 is no limit
	closed       bool

	// The exchange published to last, so that a run of messages to one exchange
	// asks once.
	lastExchange *exchange
	lastGen      uint64
}

// unacked is a delivery that waits to be settled. A settled one stays in its
// place, empty, until all before it are settled.
type unacked struct {
	tag      uint64
	queue    *queue    // nil: settled
	consumer *Consumer // nil: came by Get
	entry    entry
}

// Conn is the connection that the session belongs to.
func (s *Session) Conn() *Conn { return s.conn }

// SetPrefetch bounds the unsettled deliveries of all consumers together; 0 is
// no bound but the broker's own.
func (s *Session) SetPrefetch(n int) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	s.prefetch = n
	s.deliverLocked()
}

// Close ends the session: consumers end, what is unsettled goes back to its
// queues at its old place and counts as redelivered.
func (s *Session) Close() spool.LSN {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.closed {
		return 0
	}
	v.closeSessionLocked(s)
	return v.settledLocked()
}

func (v *VHost) closeSessionLocked(s *Session) {
	s.closed = true
	c := s.conn
	for i := range c.sessions {
		if c.sessions[i] == s {
			c.sessions = append(c.sessions[:i], c.sessions[i+1:]...)
			break
		}
	}
	v.recallLocked(s)
	touched := s.returnAllLocked()
	for _, consumer := range s.consumers {
		v.endConsumerLocked(consumer)
	}
	for _, q := range touched {
		q.deliver()
	}
}

// recallLocked takes what is still in the outbox for s back: a consumer
// without acknowledgements has not had it.
func (v *VHost) recallLocked(s *Session) {
	kept := s.conn.outbox[:0]
	for _, d := range s.conn.outbox {
		if d.Session != s {
			kept = append(kept, d)
			continue
		}
		if d.Msg == nil {
			continue
		}
		s.conn.outboxBytes -= len(d.Msg.Body) + messageOverhead
		if d.Consumer.NoAck && !d.Consumer.queue.deleted {
			d.Consumer.queue.out--
			d.Consumer.queue.giveBack(entry{pos: d.Pos, msg: d.Msg, stored: d.stored, redelivered: d.Redelivered})
		}
	}
	clear(s.conn.outbox[len(kept):])
	s.conn.outbox = kept
}

// deliverLocked lets all queues of the session's consumers go on.
func (s *Session) deliverLocked() {
	for _, c := range s.consumers {
		c.queue.deliver()
	}
}

// hold remembers a delivery until it is settled.
func (s *Session) hold(u unacked) {
	s.unacked.pushBack(u)
	s.unackedBytes += len(u.entry.msg.Body)
	u.queue.unacked++
	if u.consumer != nil {
		u.consumer.unacked++
		s.unackedOf++
	}
}

// release forgets a delivery and gives its credit back.
func (s *Session) release(u *unacked) (q *queue, e entry) {
	q, e = u.queue, u.entry
	s.unackedBytes -= len(e.msg.Body)
	q.unacked--
	if u.consumer != nil {
		u.consumer.unacked--
		s.unackedOf--
	}
	*u = unacked{tag: u.tag}
	return q, e
}

// Get takes one message from a queue without subscribing (0-9-1, basic.get).
// left is how many are ready after it; ok is false when there is none. It may
// wait for the disk.
func (s *Session) Get(queueName string, noAck bool) (d Delivery, left int, ok bool, err error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	q, err := v.queueLocked(s.conn, queueName)
	if err != nil {
		return d, 0, false, err
	}
	if err := s.conn.allow(Read, "queue", q.name); err != nil {
		return d, 0, false, err
	}
	l := &v.b.limits
	if !noAck && s.unacked.len() >= l.UnackedMax {
		return d, 0, false, amqp.Errorf(amqp.PreconditionFailed, "limit of %d unacknowledged messages is reached", l.UnackedMax)
	}
	e, found, dry := q.pop()
	for dry && !q.deleted {
		if q.filling {
			v.filled.Wait() // somebody is reading already
		} else {
			v.refillLocked(q)
		}
		e, found, dry = q.pop()
	}
	if !found {
		return d, 0, false, nil
	}
	s.lastTag++
	d = Delivery{Session: s, Tag: s.lastTag, Msg: e.msg, Redelivered: e.redelivered, Queue: q.id, Pos: e.pos}
	if noAck {
		q.out++
		v.goneLocked(q.id, e)
		v.settledLocked()
	} else {
		s.hold(unacked{tag: s.lastTag, queue: q, entry: e})
	}
	return d, q.waiting(), true, nil
}
