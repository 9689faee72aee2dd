package broker

import (
	"slices"

	"leveret/amqp"
)

// Consumer is a subscription of a session to a queue.
type Consumer struct {
	ConsumerSpec
	// Queue is the name of the queue.
	Queue string

	session *Session
	queue   *queue
	started bool
	unacked int
	ended   bool
}

// ConsumerSpec describes a consumer.
type ConsumerSpec struct {
	Tag       string // unique in its session; made up when empty
	NoAck     bool   // deliveries count as settled once the writer has them
	Exclusive bool   // nobody else may consume
	Priority  int    // higher ones are served first while they have credit
	Prefetch  int    // unsettled deliveries at most; 0 is the session's bound
	// Uncounted returns are no attempts: a link that went down says nothing
	// about the messages that were under way (see x-delivery-limit).
	Uncounted bool
	// Refuses keeps from the consumer what it may not be given, by routing key: it
	// goes to another, or to this one after all if none may be given it, for it to
	// settle. Nil refuses nothing. It is called with the core's lock held.
	Refuses func(key string) bool
	Args    amqp.Table
}

// Consume subscribes. The consumer gets nothing before Start: so the protocol's
// reply can go out before the first delivery.
func (s *Session) Consume(queueName string, spec ConsumerSpec) (*Consumer, error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if spec.Tag == "" {
		spec.Tag = newName("amq.ctag-")
	}
	if s.consumers[spec.Tag] != nil {
		return nil, amqp.Errorf(amqp.NotAllowed, "attempt to reuse consumer tag '%s'", spec.Tag)
	}
	if most := v.b.limits.ConsumersMax; len(s.consumers) >= most {
		return nil, amqp.Errorf(amqp.NotAllowed, "reached maximum (%d) of consumers per channel", most)
	}
	q, err := v.consumableLocked(s, queueName, spec)
	if err != nil {
		return nil, err
	}
	// A queue that itself chooses its one consumer lets none choose (RabbitMQ's rule).
	if n := len(q.consumers); n > 0 && q.consumers[0].Exclusive || spec.Exclusive && (n > 0 || q.args.singleActive) {
		return nil, amqp.Errorf(amqp.AccessRefused, "%s in exclusive use", v.named("queue", q.name))
	}
	c := &Consumer{ConsumerSpec: spec, Queue: q.name, session: s, queue: q}
	s.consumers[spec.Tag] = c
	q.enlist(c)
	return c, nil
}

// consumableLocked finds the queue to consume from.
func (v *VHost) consumableLocked(s *Session, name string, spec ConsumerSpec) (*queue, error) {
	if name == ReplyTo {
		return v.replyQueueLocked(s, spec)
	}
	q, err := v.queueLocked(s.conn, name)
	if err != nil {
		return nil, err
	}
	return q, s.conn.allow(Read, "queue", name)
}

// Start lets deliveries flow.
func (c *Consumer) Start() {
	v := c.session.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.started = true; !c.ended {
		v.touchLocked(c.queue)
		v.finishLocked()
	}
}

// SetPrefetch changes how many unsettled deliveries the consumer may have;
// 0 is the session's bound.
func (c *Consumer) SetPrefetch(n int) {
	v := c.session.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.Prefetch = n; !c.ended {
		v.touchLocked(c.queue)
		v.finishLocked()
	}
}

// Session is the session that the consumer belongs to.
func (c *Consumer) Session() *Session { return c.session }

// Cancel ends a consumer; what it has unsettled stays with the session. An
// unknown tag is no error. What is already in the outbox is still delivered.
func (s *Session) Cancel(tag string) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := s.consumers[tag]; c != nil {
		v.endConsumerLocked(c)
		v.finishLocked()
	}
}

// endConsumerLocked unsubscribes; an auto-delete queue goes with its last
// consumer.
func (v *VHost) endConsumerLocked(c *Consumer) {
	c.ended = true
	delete(c.session.consumers, c.Tag)
	q := c.queue
	q.dismiss(c)
	q.lastUsed = v.b.now()
	if q.deleted {
		return
	}
	if len(q.consumers) == 0 {
		if q.spec.AutoDelete {
			v.deleteQueueLocked(q)
			return
		}
		v.settleNotesLocked(q)
	}
	v.touchLocked(q) // another may take over, or the queue begins to expire
}

// enlist adds a consumer behind those of the same priority.
func (q *queue) enlist(c *Consumer) {
	i := len(q.consumers)
	for i > 0 && q.consumers[i-1].Priority < c.Priority {
		i--
	}
	q.consumers = append(q.consumers, nil)
	copy(q.consumers[i+1:], q.consumers[i:])
	q.consumers[i] = c
	if q.active == nil {
		q.active = c
	}
}

func (q *queue) dismiss(c *Consumer) {
	i := slices.Index(q.consumers, c)
	if i < 0 {
		return
	}
	q.consumers = slices.Delete(q.consumers, i, i+1)
	if q.turn > i {
		q.turn--
	}
	if q.active == c { // the one that has waited for longest takes over
		if q.active = nil; len(q.consumers) > 0 {
			q.active = q.consumers[0]
		}
	}
}

// deliver hands messages to consumers, in turn among those of the highest
// priority that can take one, until there are no more messages or takers.
func (q *queue) deliver() {
	if q.holding != nil {
		q.holding.arm()
		return
	}
	q.rouse()
	for q.count > 0 && !q.stopped() {
		l := q.front()
		q.expire(l, false)
		if l.waiting() == 0 {
			continue
		}
		c := q.takerOf(l.head())
		if c == nil {
			break
		}
		if l.head() == nil {
			q.askForMore(l)
			break
		}
		c.give(l, q.take(l))
	}
	q.arm()
}

// askForMore has cold messages read. Every connection with a consumer that
// could take one is asked, and the first to come reads: the writer of one may
// be stuck on a slow peer, and the others shall not wait for it.
func (q *queue) askForMore(l *lane) {
	if l.filling {
		return
	}
	for _, c := range q.consumers {
		if conn := c.session.conn; c.canTake() && !slices.Contains(conn.thirsty, l) {
			conn.thirsty = append(conn.thirsty, l)
			conn.wake()
		}
	}
}

// takerOf is who is to get a message, or nil. One that all refuse is for the one
// whose turn it is: it is not to stop those behind it.
func (q *queue) takerOf(e *entry) *Consumer {
	c := q.taker(e)
	if c == nil && e != nil && !slices.ContainsFunc(q.consumers, func(c *Consumer) bool { return !c.refuses(e) }) {
		c = q.taker(nil)
	}
	return c
}

// refuses says so only of a message that is in memory.
func (c *Consumer) refuses(e *entry) bool {
	return c.Refuses != nil && e != nil && c.Refuses(e.msg.Key)
}

// taker is whose turn it is, or nil. Consumers stand by falling priority, and
// within one priority the turn goes round, past those who refuse the message.
func (q *queue) taker(e *entry) *Consumer {
	n := len(q.consumers)
	var best *Consumer
	at := 0
	for i := range n {
		j := q.turn + i
		if j >= n {
			j -= n
		}
		c := q.consumers[j]
		if (best == nil || c.Priority > best.Priority) && !c.refuses(e) && c.canTake() {
			best, at = c, j
			if c.Priority == q.consumers[0].Priority {
				break
			}
		}
	}
	if best != nil {
		q.turn = at + 1
		if q.turn >= n {
			q.turn = 0
		}
	}
	return best
}

// canTake reports whether the consumer may be sent one more message. When only
// the outbox is in the way, the queue is remembered for when it has room.
func (c *Consumer) canTake() bool {
	if !c.started || c.queue.args.singleActive && c.queue.active != c || !c.NoAck && !c.hasCredit() {
		return false
	}
	conn := c.session.conn
	if conn.roomLocked() {
		return true
	}
	if !slices.Contains(conn.starved, c.queue) {
		conn.starved = append(conn.starved, c.queue)
	}
	return false
}

func (c *Consumer) hasCredit() bool {
	s, conn, l := c.session, c.session.conn, &c.session.conn.v.b.limits
	if c.Prefetch > 0 && c.unacked >= c.Prefetch || s.prefetch > 0 && s.unackedOf >= s.prefetch {
		return false
	}
	switch {
	case s.unackedOf >= l.UnackedMax, s.unackedBytes >= l.UnackedBytesMax && s.unackedOf > 0:
		s.strained = true
	case conn.unackedBytes >= l.ConnUnackedBytesMax: // something is unsettled then
		conn.strained = true
	default:
		return true
	}
	return false
}

// give sends a message.
func (c *Consumer) give(l *lane, e entry) {
	s := c.session
	s.lastTag++
	s.conn.v.deliveredLocked(l, &e)
	if !c.NoAck {
		s.hold(unacked{tag: s.lastTag, lane: l, consumer: c, entry: e})
	} else {
		c.queue.out++
	}
	s.conn.pushLocked(Delivery{
		Session: s, Consumer: c, Tag: s.lastTag, Msg: e.msg, Redelivered: e.redelivered,
		Queue: l.id, Pos: e.pos, lane: l, stored: e.stored, deadline: e.deadline,
	})
}
