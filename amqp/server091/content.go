package server091

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

// contentStage is which frame a channel waits for.
type contentStage uint8

const (
	contentNone   contentStage = iota // a method
	contentHeader                     // the header of a publish
	contentBody                       // more of its body
)

// content is a message on its way in. Names are strings of our own; props and
// body may still lie in the read buffer.
type content struct {
	stage         contentStage
	exchange, key string
	mandatory     bool
	size          int // of the body, as announced
	props         amqp.Properties
	propsLent     bool   // props lie in the read buffer
	body          []byte // always our own while it is not complete
}

// contentBytesMin is what a connection may always hold of bodies that are not
// complete; see contentBytesMax.
const contentBytesMin = 1 << 20

// contentBytesMax bounds the memory of bodies that are not complete, of all
// channels of a connection: two of the largest messages.
func (c *conn) contentBytesMax() int {
	return max(contentBytesMin, 2*c.s.o.Broker.Limits().MessageBytesMax)
}

// contentBytesMax is the same for all connections together; see Options.
func (s *Server) contentBytesMax() int {
	if most := s.o.ContentBytesMax; most != 0 {
		return most
	}
	return max(contentBytesMin, 4*s.o.Broker.Limits().MessageBytesMax)
}

var (
	errNoMethod = amqp.Errorf(amqp.UnexpectedFrame, "expected method frame, got non method frame instead")
	errNoHeader = amqp.Errorf(amqp.UnexpectedFrame, "expected content header for class 60, got non content header frame instead")
	errNoBody   = amqp.Errorf(amqp.UnexpectedFrame, "expected content body, got non content body frame instead")
)

// unexpected is the error for a frame of the wrong kind.
func (t *content) unexpected() error {
	switch t.stage {
	case contentHeader:
		return errNoHeader
	case contentBody:
		return errNoBody
	}
	return errNoMethod
}

// keepProps copies the properties before the read buffer is filled again.
func (t *content) keepProps() {
	if t.propsLent {
		t.props, t.propsLent = append(amqp.Properties(nil), t.props...), false
	}
}

// beginPublish takes the method of a publish.
func (c *conn) beginPublish(ch *channel, args []byte) error {
	const at = wire091.MethodBasicPublish
	m := &c.publish
	c.args.Reset(args)
	if err := m.Decode(&c.args); err != nil {
		return c.refuse(ch.id, at, err)
	}
	if m.Immediate {
		return c.refuse(ch.id, at, amqp.Errorf(amqp.NotImplemented, "immediate=true"))
	}
	ch.content = content{stage: contentHeader, exchange: m.Exchange, key: m.RoutingKey, mandatory: m.Mandatory}
	return nil
}

// contentFrame takes a header or a piece of a body.
func (c *conn) contentFrame(f wire091.Frame) error {
	ch := c.channel(f.Channel)
	if ch == nil {
		return c.strayContent(f.Channel)
	}
	t := &ch.content
	switch {
	case t.stage == contentHeader && f.Type == wire091.FrameHeader:
		return c.contentHeader(ch, f.Payload)
	case t.stage == contentBody && f.Type == wire091.FrameBody:
		return c.contentBody(ch, f.Payload)
	case t.stage == contentNone:
		return c.refuse(0, 0, errNoMethod)
	}
	return c.refuse(ch.id, wire091.MethodBasicPublish, t.unexpected())
}

// strayContent is content for no open channel: what was under way when we
// closed one is dropped.
func (c *conn) strayContent(channel uint16) error {
	if _, closing := c.closing[channel]; closing {
		return nil
	}
	return c.refuse(0, 0, errNoMethod)
}

func (c *conn) contentHeader(ch *channel, payload []byte) error {
	h, err := wire091.ParseContentHeader(payload)
	if err == nil {
		err = c.acceptable(ch, h)
	}
	if err != nil {
		return c.refuse(ch.id, wire091.MethodBasicPublish, err)
	}
	t := &ch.content
	t.size = int(h.BodySize)
	t.props, t.propsLent = h.Props, true
	if !c.client.node {
		t.props, t.propsLent = withoutPath(h.Props)
	}
	if t.size == 0 {
		return c.completed(ch, false)
	}
	t.stage = contentBody
	w := c.work()
	w.lent = append(w.lent, ch)
	return nil
}

// pathHeader is where a message has been, which keeps it from going round between
// brokers of our kind: they do not take what has been with them. From others it
// is left out, lest a client has its messages vanish somewhere on their way.
const pathHeader = "x-leveret-path"

// withoutPath says whether the properties are still those it was given.
func withoutPath(p amqp.Properties) (without amqp.Properties, same bool) {
	if !p.Has(amqp.HasHeaders) {
		return p, true
	}
	if _, has := p.Header(pathHeader); !has {
		return p, true
	}
	list := p.List()
	list.Headers = list.Headers.Without(pathHeader)
	return list.Encode(), false
}

// acceptable checks what a message says of itself, before anything is
// allocated for it.
func (c *conn) acceptable(ch *channel, h wire091.ContentHeader) error {
	if most := c.s.o.Broker.Limits().MessageBytesMax; h.BodySize > uint64(most) {
		return amqp.Errorf(amqp.PreconditionFailed, "message size %d is larger than configured max size %d", h.BodySize, most)
	}
	return ch.session.CheckHeader(ch.content.exchange, h.Props)
}

func (c *conn) contentBody(ch *channel, piece []byte) error {
	t := &ch.content
	if got := len(t.body) + len(piece); got > t.size {
		return c.refuse(0, wire091.MethodBasicPublish,
			amqp.Errorf(amqp.FrameError, "content body of at least %d octets, but %d were announced", got, t.size))
	}
	if len(piece) == t.size { // all of it in one frame, as most are: not copied yet
		t.body = piece
		return c.completed(ch, true)
	}
	if len(t.body)+len(piece) > cap(t.body) {
		if err := c.awaitMemory(); err != nil {
			return err
		}
	}
	if err := c.grow(t, len(piece)); err != nil {
		return c.refuse(ch.id, wire091.MethodBasicPublish, err)
	}
	t.body = append(t.body, piece...)
	if len(t.body) < t.size {
		return nil
	}
	c.hold(-cap(t.body))
	return c.completed(ch, false)
}

// grow makes room for n more octets of a body. It doubles, up to the announced
// size: announcing much and sending little costs us little.
func (c *conn) grow(t *content, n int) error {
	need := len(t.body) + n
	if need <= cap(t.body) {
		return nil
	}
	size := min(t.size, max(need, 2*cap(t.body)))
	if most := c.contentBytesMax(); c.holding+size-cap(t.body) > most {
		return amqp.Errorf(amqp.ContentTooLarge, "messages under way on this connection would take more than %d bytes", most)
	}
	if most := c.s.contentBytesMax(); c.hold(size-cap(t.body)) > int64(most) && c.holding > c.s.contentShare() {
		c.hold(cap(t.body) - size)
		return amqp.Errorf(amqp.ContentTooLarge, "messages under way on all connections would take more than %d bytes", most)
	}
	t.body = append(make([]byte, 0, size), t.body...)
	return nil
}

// hold counts memory of bodies that are not complete, and says how much it is
// on all connections.
func (c *conn) hold(n int) (all int64) {
	was := c.holding
	c.holding += n
	switch {
	case was == 0 && c.holding > 0:
		c.s.holders.Add(1)
	case was > 0 && c.holding == 0:
		c.s.holders.Add(-1)
	}
	return c.s.holding.Add(int64(n))
}

// sharesSpare are kept for those who come when others have taken all there is.
const sharesSpare = 16

// contentShare is what a connection may hold whatever the others do: two that
// begin large messages and never end them must not stop everybody's. The shares
// grow smaller with the number of those who hold something, so that all of them
// add up to a few times the bound.
func (s *Server) contentShare() int {
	return s.contentBytesMax() / (int(s.holders.Load()) + sharesSpare)
}

// completed collects a whole message for the core. lent says that its body lies
// in the read buffer.
func (c *conn) completed(ch *channel, lent bool) error {
	t := ch.content
	ch.content = content{}
	w := c.work()
	if err := c.collect(ch, len(w.settlements) > 0 || len(w.publishes) >= publishesMax); err != nil || ch.gone {
		return err
	}
	w.publishes = append(w.publishes, incoming{
		exchange: t.exchange, key: t.key, mandatory: t.mandatory, props: t.props, body: t.body, lent: lent,
	})
	return nil
}
