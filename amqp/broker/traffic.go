package broker

import "leveret/amqp"

// Watcher is told of the peers that come and go. A peer is a connection whose
// Identity has a Peer; the product's own are not.
type Watcher interface {
	// Opened and Closed are called once for each peer, in this order, by the
	// goroutine that opens and the one that closes it.
	Opened(*Conn)
	Closed(*Conn)
	// Heard tells of the first message after a call of Listen. It is called
	// with the core's lock held and must only leave a note.
	Heard(*Conn)
}

// Traffic is what has gone over a connection so far: messages, and the bytes of
// their bodies.
type Traffic struct {
	In, InBytes   uint64 // taken from the peer
	Out, OutBytes uint64 // handed to its writer from queues; retained values are none
	LastIn        amqp.Instant
	LastKey       string // routing key of the last message taken; it came at LastIn if In > 0
}

// Traffic is what has gone over the connection.
func (c *Conn) Traffic() Traffic {
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	return c.traffic
}

// Opened is when the connection was made.
func (c *Conn) Opened() amqp.Stamp { return amqp.Stamp{Boot: c.v.b.boots.current, At: c.opened} }

// Listen has the watcher told when the next message comes, once.
func (c *Conn) Listen() {
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	c.listening = c.v.b.watcher != nil
}

// receivedLocked counts messages that were taken.
func (c *Conn) receivedLocked(now amqp.Instant, ps []Publish) {
	if len(ps) == 0 {
		return
	}
	t := &c.traffic
	for i := range ps {
		t.InBytes += uint64(len(ps[i].Msg.Body))
	}
	t.In += uint64(len(ps))
	t.LastIn, t.LastKey = now, ps[len(ps)-1].Msg.Key
	if c.listening {
		c.listening = false
		c.v.b.watcher.Heard(c)
	}
}

// sent counts a message for the peer.
func (t *Traffic) sent(m *amqp.Message) {
	t.Out++
	t.OutBytes += uint64(len(m.Body))
}
