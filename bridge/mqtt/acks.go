package mqtt

import (
	"sync"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// acks is what a connection owes its client. The reader pushes, the writer
// gives out what the log is durable up to, in order.
type acks struct {
	mu         sync.Mutex // protects the fields below
	waiting    spool.Waiting[promise]
	unanswered int  // PUBLISHes of the client that have no PUBACK or PUBREC yet
	pings      int  // PINGRESPs, which promise nothing and wait for CONNACK alone
	greeted    bool // CONNACK, the first promise, was given
}

// promise is an acknowledgement, or the reply that it points to.
type promise struct {
	kind   mqttwire.Type
	id     uint16
	reason mqttwire.ReasonCode
	reply  *reply
}

// reply is any other packet that is a promise, and what may start once it is
// on its way.
type reply struct {
	packet   []byte
	start    []*broker.Consumer
	retained []string // filters whose retained messages come next
}

// Bounds of what may be owed beside PUBACKs and PUBRECs, which ReceiveMax
// bounds.
const (
	promisesMax = 64
	pingsMax    = 64
)

// admit counts one more PUBLISH, or reports that there are too many.
func (a *acks) admit(limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unanswered >= limit {
		return false
	}
	a.unanswered++
	return true
}

func (a *acks) push(lsn spool.LSN, p promise) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting.Push(lsn, p)
}

// crowded reports that no more replies are taken for now.
func (a *acks) crowded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting.Len()-a.unanswered >= promisesMax
}

// ping owes a PINGRESP. One who asks without end and reads nothing gets fewer.
func (a *acks) ping() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pings = min(a.pings+1, pingsMax)
}

// give appends to ready what may be said now. moved is closed when more may
// follow; it is nil when nothing is held back. err is the log's failure: then
// nothing that waits will ever be said.
func (a *acks) give(log spool.Log, ready []promise) (_ []promise, pings int, moved <-chan struct{}, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() {
		if a.greeted { // before anything else comes CONNACK (5.0, section 3.2)
			pings, a.pings = a.pings, 0
		}
	}()
	if a.waiting.Len() == 0 {
		return ready, 0, nil, nil
	}
	upTo, moved, err := log.Durable()
	if err != nil {
		return ready, 0, nil, err
	}
	for {
		p, ok := a.waiting.Pop(upTo)
		if !ok {
			break
		}
		if p.kind == mqttwire.TypePuback || p.kind == mqttwire.TypePubrec {
			a.unanswered--
		}
		ready = append(ready, p)
		a.greeted = true
	}
	if a.waiting.Len() == 0 {
		moved = nil
	}
	return ready, 0, moved, nil
}

// reply owes a packet that is true when the log is durable up to lsn.
func (c *conn) reply(lsn spool.LSN, r *reply) error {
	for c.acks.crowded() {
		if err := c.rest(); err != nil {
			return err
		}
	}
	c.acks.push(lsn, promise{reply: r})
	c.due = true
	return nil
}

// rest waits until the writer has given something out.
func (c *conn) rest() error {
	c.poke()
	select {
	case <-c.eased:
		return nil
	case <-c.ended:
		return errEnded
	}
}
