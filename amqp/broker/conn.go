package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// Conn is a peer: it owns sessions and exclusive queues, and one outbox in
// which deliveries for all its sessions wait for its writer.
type Conn struct {
	v      *VHost
	who    Identity
	topics TopicAccess // of who's access; nil when all topics are allowed
	wake   func()
	opened amqp.Instant
	// impersonates: its messages may carry any user's id.
	impersonates bool

	// Guarded by the vhost's lock.
	sessions    []*Session
	exclusive   map[*queue]struct{}
	outbox      []Delivery
	outboxBytes int
	starved     []*queue // would deliver when the outbox has room again
	thirsty     []*lane  // this connection's writer is asked to read their cold messages
	// unackedBytes and txBytes are of all sessions; see Limits.ConnUnackedBytesMax.
	unackedBytes int
	txBytes      int
	strained     bool // a consumer waits for unackedBytes
	closed       bool
	traffic      Traffic
	listening    bool // the watcher is told of the next message
}

// Delivery is something for a peer: a message, or, when Msg is nil, the news
// that a consumer was ended because its queue is gone.
type Delivery struct {
	Session     *Session
	Consumer    *Consumer
	Tag         uint64 // delivery tag within the session; 0 when nothing is to be settled
	Msg         *amqp.Message
	Redelivered bool
	// Queue and Pos name the message for ever, together with Msg.Stamp.Boot:
	// the same message has the same three at each delivery.
	Queue spool.QueueID
	Pos   spool.Pos

	lane     *lane
	stored   bool
	deadline amqp.Instant
}

// Identity is what Connect was told.
func (c *Conn) Identity() Identity { return c.who }

// VHost is the name of the connection's vhost.
func (c *Conn) VHost() string { return c.v.name }

// Open starts a session.
func (c *Conn) Open() *Session { return c.OpenChannel(0) }

// OpenChannel starts a session that operators see as the channel of a number.
func (c *Conn) OpenChannel(number int) *Session {
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	s := &Session{conn: c, number: number, consumers: make(map[string]*Consumer)}
	c.sessions = append(c.sessions, s)
	return s
}

// Describe has operators see what its door knows of a channel. state may be called
// by anybody, with no lock held.
func (s *Session) Describe(state func() ChannelState) {
	s.conn.v.mu.Lock()
	defer s.conn.v.mu.Unlock()
	s.state = state
}

// Close ends the connection: what was not settled goes back to its queues at
// its old place, consumers end, exclusive queues are deleted. The LSN covers
// all of it. It may be called twice.
func (c *Conn) Close() spool.LSN {
	lsn, first := c.close()
	if first {
		c.v.b.left(c)
	}
	return lsn
}

// left: a connection has ended.
func (b *Broker) left(c *Conn) {
	b.mu.Lock()
	user := c.who.User
	if b.users[user]--; b.users[user] == 0 {
		delete(b.users, user)
	}
	b.mu.Unlock()
	if b.watcher != nil && c.who.Peer != "" {
		b.watcher.Closed(c)
	}
}

func (c *Conn) close() (lsn spool.LSN, first bool) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.closed {
		return 0, false
	}
	c.closed = true
	for len(c.sessions) > 0 {
		v.closeSessionLocked(c.sessions[len(c.sessions)-1])
	}
	for q := range c.exclusive {
		v.deleteQueueLocked(q)
	}
	c.thirsty, c.starved, c.outbox = nil, nil, nil
	delete(v.conns, c)
	return v.finishLocked(), true
}

// Take gives what is waiting for the peer and reads from the spool what its
// consumers want next, so it may wait for the disk. dst's memory is reused:
// calling with the last answer swaps two slices for ever. An answer of length
// zero means that there is nothing until the next wake.
func (c *Conn) Take(dst []Delivery) []Delivery {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for n := 0; n < readsMax && len(c.thirsty) > 0; n++ {
		l := c.thirsty[0]
		c.thirsty = c.thirsty[1:]
		v.refillLocked(l)
		v.finishLocked()
	}
	clear(dst)
	out := c.outbox
	c.outbox, c.outboxBytes = dst[:0], 0
	v.sentLocked(c, out)
	for _, q := range c.starved {
		v.touchLocked(q)
	}
	c.starved = nil
	v.finishLocked()
	if len(c.outbox) > 0 || len(c.thirsty) > 0 {
		c.wake()
	}
	return out
}

// sentLocked counts what goes to the peer, and takes from the spool what nobody
// will settle: consumers without acknowledgements have had it when their writer
// has.
func (v *VHost) sentLocked(c *Conn, out []Delivery) {
	for i := range out {
		d := &out[i]
		if d.Msg == nil {
			continue
		}
		c.traffic.sent(d.Msg)
		if d.Consumer.NoAck {
			v.goneLocked(d.Queue, entry{pos: d.Pos, msg: d.Msg, stored: d.stored})
		}
	}
}

// roomLocked reports whether the outbox takes one more.
func (c *Conn) roomLocked() bool {
	l := &c.v.b.limits
	return len(c.outbox) < l.OutboxMessages && c.outboxBytes < l.OutboxBytes
}

func (c *Conn) pushLocked(d Delivery) {
	if d.Msg != nil {
		c.outboxBytes += len(d.Msg.Body) + messageOverhead
	}
	c.outbox = append(c.outbox, d)
	if len(c.outbox) == 1 {
		c.wake()
	}
}
