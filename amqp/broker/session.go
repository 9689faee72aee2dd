package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// Session is what one 0-9-1 channel, MQTT session or shovel holds: consumers
// and unsettled deliveries. Delivery tags count from 1 in each session.
type Session struct {
	conn   *Conn
	number int // for operators; 0 is no channel

	// Guarded by the vhost's lock.
	consumers    map[string]*Consumer
	lastTag      uint64
	unacked      ring[unacked] // by rising tag
	unackedOf    int           // those of them that are not settled and count for prefetch
	unackedBytes int
	held         int  // deliveries that the peer may still settle, those of Get included
	txBytes      int  // of messages in its transaction
	trimmed      int  // length of unacked when it was last compacted
	strained     bool // a consumer waits for the bounds of all unsettled together
	prefetch     int  // for all consumers together; 0 is no limit
	closed       bool
	tx           *Tx                 // the one it has begun; nil before
	state        func() ChannelState // what its door knows of it; nil is nothing
	answers      *queue              // of its consumer of answers, see ReplyTo

	// The exchange published to last, so that a run of messages to one exchange
	// asks once.
	lastExchange *exchange
	lastGen      uint64
}

// unacked is a delivery that waits to be settled. A settled one stays in its
// place, empty, until all before it are settled.
type unacked struct {
	tag      uint64
	lane     *lane     // nil: settled, or lapsed
	consumer *Consumer // nil: came by Get
	entry    entry
	at       amqp.Instant // when it was sent, if its queue has a consumer timeout
	promised bool         // a transaction will settle it, see Tx
	lapsed   bool         // taken back by the timeout; lane is nil then
	untaken  bool         // the peer never had it: it goes back as if nothing had been
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
	s.touchAllLocked()
	v.finishLocked()
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
	return v.finishLocked()
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
	s.returnAllLocked()
	c.txBytes -= s.txBytes
	s.txBytes = 0
	for _, consumer := range s.consumers {
		v.endConsumerLocked(consumer)
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
		v.recallOneLocked(s, &d)
	}
	clear(s.conn.outbox[len(kept):])
	s.conn.outbox = kept
}

func (v *VHost) recallOneLocked(s *Session, d *Delivery) {
	q := d.lane.q
	switch {
	case !d.Consumer.NoAck:
		if u := s.find(d.Tag); u != nil {
			u.untaken = true
		}
	case !q.deleted:
		q.out--
		q.giveBack(d.lane, entry{pos: d.Pos, msg: d.Msg, stored: d.stored, redelivered: d.Redelivered, deadline: d.deadline})
		v.touchLocked(q)
	case !d.stored:
		v.b.transient.Add(-footprint(d.Msg))
	}
}

// touchAllLocked lets all queues of the session's consumers go on.
func (s *Session) touchAllLocked() {
	for _, c := range s.consumers {
		s.conn.v.touchLocked(c.queue)
	}
}

// hold remembers a delivery until it is settled.
func (s *Session) hold(u unacked) {
	u.clock(u.lane.q)
	s.unacked.pushBack(u)
	s.held++
	s.weighLocked(len(u.entry.msg.Body))
	u.lane.q.unacked++
	if u.consumer != nil {
		u.consumer.unacked++
		s.unackedOf++
	}
}

// release forgets a delivery and gives its credit back.
func (s *Session) release(u *unacked) (l *lane, e entry) {
	l, e = u.lane, u.entry
	s.held--
	s.weighLocked(-len(e.msg.Body))
	l.q.unacked--
	if u.consumer != nil {
		u.consumer.unacked--
		s.unackedOf--
	}
	*u = unacked{tag: u.tag}
	return l, e
}

// weighLocked counts bytes of unsettled deliveries. When the connection has too
// many no more, the consumers of all its sessions may go on.
func (s *Session) weighLocked(n int) {
	c := s.conn
	s.unackedBytes += n
	c.unackedBytes += n
	if !c.strained || c.unackedBytes >= c.v.b.limits.ConnUnackedBytesMax {
		return
	}
	c.strained = false
	for _, other := range c.sessions {
		other.touchAllLocked()
	}
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
	if !noAck {
		if err := s.mayHoldLocked(); err != nil {
			return d, 0, false, err
		}
	}
	q.lastUsed = v.b.now()
	l, found := v.headLocked(q)
	if !found {
		v.finishLocked()
		return d, 0, false, nil
	}
	e := q.take(l)
	v.deliveredLocked(l, &e)
	s.lastTag++
	d = Delivery{Session: s, Tag: s.lastTag, Msg: e.msg, Redelivered: e.redelivered, Queue: l.id, Pos: e.pos}
	if noAck {
		q.out++
		v.goneLocked(l.id, e)
	} else {
		s.hold(unacked{tag: s.lastTag, lane: l, entry: e})
		v.touchLocked(q) // it may have a consumer timeout
	}
	s.conn.traffic.sent(d.Msg)
	v.finishLocked()
	return d, q.count, true, nil
}

// mayHoldLocked refuses one more message by Get where a consumer would have to
// wait.
func (s *Session) mayHoldLocked() error {
	l := &s.conn.v.b.limits
	if s.held >= l.UnackedMax {
		return amqp.Errorf(amqp.PreconditionFailed, "limit of %d unacknowledged messages is reached", l.UnackedMax)
	}
	if s.conn.unackedBytes >= l.ConnUnackedBytesMax {
		return amqp.Errorf(amqp.PreconditionFailed, "limit of %d bytes of unacknowledged messages is reached", l.ConnUnackedBytesMax)
	}
	return nil
}

// headLocked finds the lane with the next message of a queue and has it in
// memory. It may give the lock up to read.
func (v *VHost) headLocked(q *queue) (*lane, bool) {
	for q.count > 0 && !q.deleted && !q.stopped() {
		l := q.front()
		q.expire(l, true)
		switch {
		case l.waiting() == 0:
		case l.head() != nil:
			return l, true
		case l.filling:
			v.finishLocked() // nothing may be half done while the lock is given up
			v.filled.Wait()  // somebody is reading already
		default:
			v.finishLocked()
			v.refillLocked(l)
		}
	}
	return nil, false
}
