package amqp091

import (
	"encoding/binary"
	"fmt"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/bridge"
)

// delivery is a message on its way in. Its strings and bytes are our own.
type delivery struct {
	stage         contentStage
	tag           uint64
	exchange, key string
	redelivered   bool
	props         amqp.Properties
	size          uint64 // of the body, as announced
	passed        uint64 // of it
	body          []byte
	unfit         error // why it cannot be taken; its body is passed over
}

// contentStage is which frame the channel waits for.
type contentStage uint8

const (
	noContent   contentStage = iota // a method
	wantsHeader                     // the header of a delivery
	wantsBody                       // more of its body
)

// bodyPassedMax bounds a body that is passed over: no broker keeps larger ones.
const bodyPassedMax = 1 << 30

// beginDelivery takes the method of a delivery.
func (r *reader) beginDelivery(args []byte) error {
	var m wire091.BasicDeliver
	r.args.Reset(args)
	if err := m.Decode(&r.args); err != nil {
		return err
	}
	r.mu.Lock()
	load, over := r.load, r.over
	r.mu.Unlock()
	switch {
	case m.ConsumerTag != r.source.consumer:
		return fmt.Errorf("the far side delivers to a consumer %q that we have not", m.ConsumerTag)
	case m.DeliveryTag <= r.lastTag:
		return fmt.Errorf("the far side delivers number %d after %d", m.DeliveryTag, r.lastTag)
	case load >= r.prefetch && over == nil && !r.source.isStream():
		return fmt.Errorf("the far side delivers more than the %d messages that it was asked for", r.prefetch)
	}
	r.lastTag = m.DeliveryTag
	r.content = delivery{stage: wantsHeader, tag: m.DeliveryTag, exchange: m.Exchange, key: m.RoutingKey, redelivered: m.Redelivered}
	return nil
}

// contentFrame takes a header or a piece of a body.
func (r *reader) contentFrame(f wire091.Frame) error {
	d := &r.content
	switch {
	case f.Channel == channelID && f.Type == wire091.FrameHeader && d.stage == wantsHeader:
		if err := d.header(f.Payload, r.source.bodyMax); err != nil {
			return err
		}
		if d.unfit != nil && !r.source.reject { // told at once: its body may be large, and the link slow
			r.end(fmt.Errorf("a message with key %q stands in the way: %w", d.key, d.unfit))
		}
	case f.Channel == channelID && f.Type == wire091.FrameBody && d.stage == wantsBody:
		if err := d.piece(f.Payload); err != nil {
			return err
		}
	default:
		return misplaced(f)
	}
	if d.passed < d.size {
		d.stage = wantsBody
		return nil
	}
	whole := r.content
	r.content = delivery{}
	return r.delivered(&whole)
}

// header takes a content header. Properties that make no sense to us are the
// message's fault alone, as long as the size of its body can be read.
func (d *delivery) header(payload []byte, bodyMax int) error {
	h, err := wire091.ParseContentHeader(payload)
	if err != nil {
		const sizeEnd = 12 // behind class, weight and body size
		if len(payload) < sizeEnd || binary.BigEndian.Uint16(payload) != wire091.ClassBasic {
			return err
		}
		h.BodySize = binary.BigEndian.Uint64(payload[4:])
		d.unfit = fmt.Errorf("its properties cannot be read: %w", err)
	}
	if h.BodySize > uint64(bodyMax) {
		d.unfit = fmt.Errorf("it has %d bytes, at most %d are taken here", h.BodySize, bodyMax)
	}
	if h.BodySize > bodyPassedMax {
		return fmt.Errorf("the far side announces a message of %d bytes", h.BodySize)
	}
	d.size = h.BodySize
	if d.unfit == nil {
		d.props = append(amqp.Properties(nil), h.Props...)
	}
	return nil
}

// piece takes a body frame. Memory is taken as the octets come in, not as they
// are announced.
func (d *delivery) piece(p []byte) error {
	d.passed += uint64(len(p))
	if d.passed > d.size || len(p) == 0 {
		return fmt.Errorf("the far side sent a body of %d bytes and announced %d", d.passed, d.size)
	}
	if d.unfit == nil {
		if d.body == nil && d.passed == d.size {
			d.body = make([]byte, 0, len(p)) // all of it in one frame, as most are
		}
		d.body = append(d.body, p...)
	}
	return nil
}

// delivered takes a whole message.
func (r *reader) delivered(d *delivery) error {
	if d.unfit != nil {
		return r.giveBack(d)
	}
	m := received(d)
	o := owed{tag: d.tag, bytes: len(d.body) + len(d.props) + messageOverhead, offset: -1}
	if r.source.isStream() {
		o.offset = streamOffset(&m)
		m.Redelivered = m.Redelivered || o.offset >= 0 && o.offset < r.source.unseen
		r.source.unseen = max(r.source.unseen, o.offset+1)
	}
	o.sight = r.source.name(d, &m)
	if bridge.ComesIn(&m, r.source.node(), r.source.o.Node) {
		r.enter(o, &m)
		return nil
	}
	o.state = settled
	r.enter(o, nil)
	r.source.ignored.Add(1)
	return r.acknowledge(nil)
}

// messageOverhead is about what a message takes beside its body and properties.
const messageOverhead = 256

// enter puts a message among the unsettled ones, and when it is taken into the
// inbox. When nothing is taken any more it will come again.
func (r *reader) enter(o owed, taken *bridge.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over != nil {
		return
	}
	r.owed = append(r.owed, o)
	r.load++
	r.bytes += o.bytes
	if taken != nil {
		r.inbox = append(r.inbox, *taken)
		note(r.arrived)
	}
}

// giveBack rejects a message that can never be taken, unless nothing is taken any
// more. Those before it can still be settled.
func (r *reader) giveBack(d *delivery) error {
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over != nil {
		return nil
	}
	s := r.source
	if quiet, yes := s.told.tell(time.Now()); yes {
		s.log.Warn("message is given back: it can never be taken", "key", d.key, "exchange", d.exchange, "reason", d.unfit, "others_untold", quiet)
	}
	s.rejected.Add(1)
	return r.reject(d.tag)
}

// quiet keeps what happens often from being logged each time.
type quiet struct {
	last   time.Time
	untold int
}

const tellEvery = time.Minute

// tell reports whether it is time to say something, and how much was not said.
func (q *quiet) tell(now time.Time) (untold int, yes bool) {
	if !q.last.IsZero() && now.Sub(q.last) < tellEvery {
		q.untold++
		return 0, false
	}
	untold, q.last, q.untold = q.untold, now, 0
	return untold, true
}
