package amqp091

import (
	"fmt"
	"sync"

	"leveret/amqp/wire091"
	"leveret/bridge"
)

// link is a target's connection, its channel in confirm mode.
type link struct {
	target  *Target
	conn    *conn
	answers chan bridge.Answer // room for all that may be unanswered: never blocks
	working sync.WaitGroup

	out       []byte     // of Send alone: memory for frames
	returning *returning // of the listener alone: a return on its way; nil when there is none

	mu      sync.Mutex // protects the fields below
	pending pending
	held    string        // why publishers are held back
	freed   chan struct{} // closed when they no longer are; nil while held is ""
	leaving bool          // we have said goodbye, or are about to
}

// outKeptMax is how much memory for frames is kept for the next message.
const outKeptMax = 64 << 10

func newLink(t *Target, c *conn, window int) *link {
	l := &link{target: t, conn: c, answers: make(chan bridge.Answer, window)}
	l.pending.oldest = 1
	return l
}

func (l *link) start() {
	l.working.Go(l.listen)
	l.working.Go(func() { l.conn.pulse(func() bool { return false }) })
}

// Send publishes a message, mandatory: one that no queue over there takes must
// come back.
func (l *link) Send(m *bridge.Message) error {
	if err := l.awaitFreed(); err != nil {
		return err
	}
	props, key := l.target.publishing(m)
	l.mu.Lock()
	l.pending.push(sent{id: props.MessageID, key: key, bytes: len(m.Body)})
	l.mu.Unlock()
	b := wire091.AppendMethod(l.out[:0], channelID, &wire091.BasicPublish{Exchange: l.target.exchange, RoutingKey: key, Mandatory: true})
	b = wire091.AppendContentHeader(b, channelID, uint64(len(m.Body)), props.Encode())
	b = wire091.AppendBody(b, channelID, m.Body, l.conn.frameMax)
	if l.out = nil; cap(b) <= outKeptMax {
		l.out = b
	}
	if l.conn.write(b) != nil {
		return l.conn.lost("send to")
	}
	return nil
}

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
		case <-l.conn.gone:
			return l.conn.lost("send to")
		}
	}
}

func (l *link) Answers() <-chan bridge.Answer { return l.answers }

func (l *link) Held() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *link) Err() error { return l.conn.lost("link to") }

// Close says goodbye, for two seconds at most.
func (l *link) Close() {
	l.mu.Lock()
	l.leaving = true
	l.mu.Unlock()
	l.conn.leave()
	l.working.Wait()
}

// listen reads until the connection ends, which is the end of answers.
func (l *link) listen() {
	defer close(l.answers)
	for {
		f, err := l.conn.frames.Next()
		if err == nil {
			err = l.handle(f)
		}
		if err != nil {
			l.conn.fail(err)
			return
		}
	}
}

// handle takes a frame.
func (l *link) handle(f wire091.Frame) error {
	switch {
	case f.Type == wire091.FrameHeartbeat:
		return nil
	case f.Channel > channelID || f.Type != wire091.FrameMethod && f.Channel != channelID:
		return misplaced(f)
	case f.Type != wire091.FrameMethod:
		return l.contentFrame(f)
	case f.Channel == channelID && l.returning != nil:
		return errWithin
	}
	m, err := methodIn(f)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire091.BasicAck:
		return l.confirmed(m.DeliveryTag, m.Multiple, bridge.Answer{Outcome: bridge.Confirmed})
	case *wire091.BasicNack:
		return l.confirmed(m.DeliveryTag, m.Multiple, bridge.Answer{Outcome: bridge.Refused, Reason: "basic.nack from " + l.target.String()})
	case *wire091.BasicReturn:
		l.returning = &returning{BasicReturn: *m}
		return nil
	case *wire091.ConnectionBlocked:
		l.hold(true, "connection.blocked: "+m.Reason)
		return nil
	case *wire091.ConnectionUnblocked:
		l.hold(false, "")
		return nil
	case *wire091.ChannelFlow:
		l.hold(!m.Active, "channel.flow")
		return l.conn.send(channelID, &wire091.ChannelFlowOk{Active: m.Active})
	case *wire091.ConnectionCloseOk:
		if l.isLeaving() {
			return errClosedByUs
		}
	}
	return l.conn.ending(m, f.Channel)
}

func (l *link) isLeaving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// confirmed takes an ack or a nack. Of what was returned before it means
// "handled", not "kept".
func (l *link) confirmed(tag uint64, multiple bool, a bridge.Answer) error {
	l.mu.Lock()
	numbers, err := l.pending.take(tag, multiple)
	l.mu.Unlock()
	for _, a.Number = range numbers {
		if err := l.answer(a); err != nil {
			return err
		}
	}
	return err
}

// returning is a message that had no route, on its way back.
type returning struct {
	wire091.BasicReturn
	begun bool
	id    string
	left  uint64 // of the body
}

// contentFrame takes what follows a return. The body was ours.
func (l *link) contentFrame(f wire091.Frame) error {
	r := l.returning
	switch {
	case r != nil && f.Type == wire091.FrameHeader && !r.begun:
		h, err := wire091.ParseContentHeader(f.Payload)
		if err != nil {
			return err
		}
		l.mu.Lock()
		longest := l.pending.longest
		l.mu.Unlock()
		if h.BodySize > uint64(longest) {
			return fmt.Errorf("the far side returns a message of %d octets; the longest sent has %d", h.BodySize, longest)
		}
		r.begun, r.id, r.left = true, h.Props.MessageID(), h.BodySize
	case r != nil && f.Type == wire091.FrameBody && r.begun && uint64(len(f.Payload)) <= r.left && len(f.Payload) > 0:
		r.left -= uint64(len(f.Payload))
	default:
		return misplaced(f)
	}
	if r.left > 0 {
		return nil
	}
	l.returning = nil
	return l.returned(r)
}

// returned answers for a message that had no route.
func (l *link) returned(r *returning) error {
	l.mu.Lock()
	number, ok := l.pending.mark(r.id, r.RoutingKey)
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("the far side returned message %q, which was not under way", r.id)
	}
	return l.answer(bridge.Answer{
		Number: number, Outcome: bridge.Returned,
		Reason: l.target.clean(fmt.Sprintf("%d %s for exchange %q with key %q", r.ReplyCode, r.ReplyText, l.target.exchange, r.RoutingKey)),
	})
}

// answer hands an answer on. There is room: each message is answered once, and
// no more than the window are unanswered.
func (l *link) answer(a bridge.Answer) error {
	select {
	case l.answers <- a:
		return nil
	default:
		return fmt.Errorf("message %d is answered beyond the window", a.Number)
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
