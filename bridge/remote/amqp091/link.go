package amqp091

import (
	"errors"
	"fmt"
	"sync"
	"time"

	lib "github.com/rabbitmq/amqp091-go"

	"leveret/bridge"
)

// link is a channel in confirm mode on a connection of its own.
type link struct {
	target  *Target
	wire    *wire
	conn    *lib.Connection
	channel *lib.Channel
	answers chan bridge.Answer // room for all that may be unanswered: never blocks
	ended   chan struct{}      // closed when the listener has ended
	hangUp  func()             // once

	mu      sync.Mutex // protects the fields below
	pending pending
	held    string        // why publishers are held back
	freed   chan struct{} // closed when they no longer are; nil while held is ""
	err     error         // set once
}

// newLink takes over an open channel and starts the listener.
func newLink(t *Target, w *wire, conn *lib.Connection, channel *lib.Channel, window int) *link {
	l := &link{
		target: t, wire: w, conn: conn, channel: channel,
		answers: make(chan bridge.Answer, window), ended: make(chan struct{}),
	}
	l.pending.next = 1
	l.hangUp = sync.OnceFunc(func() {
		late := time.AfterFunc(closeTimeout, func() { _ = w.Close() })
		_ = conn.Close() // an error says that it was closed already
		late.Stop()
		_ = w.Close()
	})
	go l.listen(notices{
		confirms: channel.NotifyPublish(make(chan lib.Confirmation)),
		returns:  channel.NotifyReturn(make(chan lib.Return)),
		flows:    channel.NotifyFlow(make(chan bool)),
		blocks:   conn.NotifyBlocked(make(chan lib.Blocking)),
		closed:   channel.NotifyClose(make(chan *lib.Error, 1)),
		lost:     conn.NotifyClose(make(chan *lib.Error, 1)),
	})
	return l
}

// Send publishes a message, mandatory: one that no queue over there takes must
// come back.
func (l *link) Send(m *bridge.Message) error {
	if err := l.awaitFreed(); err != nil {
		return err
	}
	p, key := l.target.publishing(m)
	l.mu.Lock()
	l.pending.push(p.MessageId, key)
	l.mu.Unlock()
	l.wire.expect(len(p.Body))
	if err := l.channel.Publish(l.target.exchange, key, true, false, p); err != nil {
		return l.target.failed("send to", err)
	}
	return nil
}

var errClosed = errors.New("link is closed")

// awaitFreed waits while the far side holds publishers back. Writing on would
// fill the socket, and a full socket hides heartbeats.
func (l *link) awaitFreed() error {
	for {
		l.mu.Lock()
		freed := l.freed
		l.mu.Unlock()
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-l.ended:
			return l.target.failed("send to", errClosed)
		}
	}
}

func (l *link) Answers() <-chan bridge.Answer { return l.answers }

func (l *link) Held() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close says goodbye, for two seconds at most.
func (l *link) Close() {
	l.fail(errClosed)
	l.hangUp()
	<-l.ended
}

// notices are the library's channels. It closes them all with the channel or
// the connection. Those without buffer keep the order of the wire.
type notices struct {
	confirms chan lib.Confirmation
	returns  chan lib.Return
	flows    chan bool
	blocks   chan lib.Blocking
	closed   chan *lib.Error // the channel's end
	lost     chan *lib.Error // the connection's
}

// listen takes notices until the channel is gone, which is when confirms is
// closed. It waits for nothing else: the library's reader waits for it.
func (l *link) listen(n notices) {
	defer close(l.ended)
	for n.confirms != nil {
		select {
		case c, ok := <-n.confirms:
			if !ok {
				n.confirms = nil
			} else {
				l.confirmed(c)
			}
		case r, ok := <-n.returns:
			if !ok {
				n.returns = nil
			} else {
				l.returned(&r)
			}
		case b, ok := <-n.blocks:
			if !ok {
				n.blocks = nil
			} else {
				l.hold(b.Active, "connection.blocked: "+b.Reason)
			}
		case active, ok := <-n.flows:
			if !ok {
				n.flows = nil
			} else {
				l.hold(!active, "channel.flow")
			}
		case e, ok := <-n.closed:
			n.closed = nil
			l.gone(e, ok)
		case e, ok := <-n.lost:
			n.lost = nil
			l.gone(e, ok)
			_ = l.wire.Close() // frees a Publish, for which the library waits now
		}
	}
	l.lastWords(&n)
	close(l.answers)
	l.hangUp()
}

// lastWords takes the reason when the end came before it was read.
func (l *link) lastWords(n *notices) {
	for _, c := range [...]chan *lib.Error{n.closed, n.lost} {
		if c == nil {
			continue
		}
		select {
		case e, ok := <-c:
			l.gone(e, ok)
		default:
		}
	}
	l.fail(errors.New("the connection was lost"))
}

// gone notes why the channel or the connection ended.
func (l *link) gone(e *lib.Error, ok bool) {
	if ok && e != nil {
		l.fail(e)
	}
}

// fail notes why the link ends; the first reason counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = l.target.failed("link to", err)
	}
}

// distrust ends a link whose far side breaks the rules.
func (l *link) distrust(err error) {
	l.fail(err)
	_ = l.wire.Close()
}

// confirmed takes an ack or a nack. The library hands them over in the order
// of the messages, whatever order they came in. Of refusals the inspector knows
// better.
func (l *link) confirmed(c lib.Confirmation) {
	l.mu.Lock()
	number, answered, ok := l.pending.pop()
	l.mu.Unlock()
	refused := l.wire.answered(number)
	switch {
	case !ok || number != c.DeliveryTag:
		l.distrust(fmt.Errorf("the far side confirmed message %d, which was not under way", c.DeliveryTag))
	case answered: // returned before: its confirm means "handled", not "kept"
	case c.Ack && !refused:
		l.answer(bridge.Answer{Number: number, Outcome: bridge.Confirmed})
	default:
		l.answer(bridge.Answer{Number: number, Outcome: bridge.Refused, Reason: "basic.nack from " + l.target.String()})
	}
}

// returned takes a message that had no route.
func (l *link) returned(r *lib.Return) {
	l.mu.Lock()
	number, ok := l.pending.mark(r.MessageId, r.RoutingKey)
	l.mu.Unlock()
	if !ok {
		l.distrust(fmt.Errorf("the far side returned message %q, which was not under way", r.MessageId))
		return
	}
	l.answer(bridge.Answer{
		Number: number, Outcome: bridge.Returned,
		Reason: l.target.clean(fmt.Sprintf("%d %s for exchange %q with key %q", r.ReplyCode, r.ReplyText, l.target.exchange, r.RoutingKey)),
	})
}

// answer hands an answer on. There is room: each message is answered once, and
// no more than the window are unanswered.
func (l *link) answer(a bridge.Answer) {
	select {
	case l.answers <- a:
	default:
		l.distrust(fmt.Errorf("message %d is answered beyond the window", a.Number))
	}
}

// hold notes that the far side holds publishers back, or no longer.
func (l *link) hold(on bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && l.freed == nil:
		l.held, l.freed = l.target.clean(why), make(chan struct{})
	case !on && l.freed != nil:
		close(l.freed)
		l.held, l.freed = "", nil
	}
}
