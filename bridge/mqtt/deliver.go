package mqtt

import (
	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// heldDelivery waits for room in the client's window, or, if it is of QoS 2,
// for the log to be durable up to safe.
type heldDelivery struct {
	broker.Delivery
	safe    spool.LSN
	blocked bool // another message had its packet identifier: that one's end must be safe first
}

// deliver sends what the core gave. Messages of QoS 1 and 2 that cannot go yet
// are held, in their order; QoS 0 passes them (5.0, section 4.9). moved is
// closed when the log may let the first of them go.
func (w *writer) deliver() (moved <-chan struct{}, err error) {
	if len(w.held)+len(w.deliveries) == 0 {
		return nil, nil
	}
	safe, moved, err := w.watermark()
	if err != nil {
		return nil, err
	}
	for len(w.held) > 0 {
		h := &w.held[0]
		if h.blocked && !w.inflight.uses(exactID(&h.Delivery)) {
			h.safe, h.blocked = safe, false
		}
		open, err := w.attempt(&h.Delivery, h.safe)
		if err != nil {
			return nil, err
		}
		if !open {
			h.blocked = h.blocked || w.blocked
			break
		}
		w.held[0] = heldDelivery{}
		w.held = w.held[1:]
	}
	for i := range w.deliveries {
		d := &w.deliveries[i]
		if d.Msg == nil {
			return nil, refusal(mqttwire.AdministrativeAction, "the session was deleted")
		}
		open, err := w.attempt(d, safe)
		if err != nil {
			return nil, err
		}
		if !open { // never more than the consumer's prefetch
			w.held = append(w.held, heldDelivery{*d, safe, w.blocked})
		}
	}
	if len(w.held) == 0 || w.held[0].safe <= w.durable {
		moved = nil
	}
	return moved, nil
}

// watermark sees how far the log is durable, and how far it must be for what is
// delivered now to be safe: a message of QoS 2 that a power cut could take back
// must not have been seen by a client that keeps its session, since the next one
// in its place would have its packet identifier.
func (w *writer) watermark() (safe spool.LSN, moved <-chan struct{}, err error) {
	if !w.session.durable {
		return 0, nil, nil
	}
	log := w.door.Broker.Log()
	if w.durable, moved, err = log.Durable(); err != nil {
		return 0, nil, err
	}
	safe, err = log.Append(&w.door.nothing)
	return safe, moved, err
}

// attempt sends one delivery, or drops it when it is not for this client. open
// is false when it must wait.
func (w *writer) attempt(d *broker.Delivery, safe spool.LSN) (open bool, err error) {
	w.blocked = false
	a := w.addresses.find(w.subs.Load(), d.Msg.Key, w.door.Dots, w.may)
	g := &a.others
	switch {
	case d.Consumer != w.session.consumer:
		var member bool
		if g, member = w.sharedGrant(d.Consumer.Tag, a.topic); !member {
			w.settled = append(w.settled, broker.Settlement{Tag: d.Tag, Outcome: broker.Returned})
			return true, nil
		}
	case a.own.subscriptions < g.subscriptions && publishedBy(d.Msg.Props, w.client):
		g = &a.own
	}
	switch {
	case !a.valid:
		w.door.counts.foreign.Add(1)
		w.drop(d)
		return true, nil
	case a.denied, g.subscriptions == 0:
		w.door.counts.unmatched.Add(1)
		w.drop(d)
		return true, nil
	}
	out := outgoing{msg: d.Msg, topic: a.topic, qos: min(qosOf(d.Msg), g.qos), ids: g.ids}
	out.retain = g.retainAsPublished && wasRetained(d.Msg.Props)
	if out.qos == 0 {
		w.drop(d) // settled before it is written, see flush
		_, err := w.append(&out)
		return true, err
	}
	if len(w.held) > 0 && d != &w.held[0].Delivery {
		return false, nil // not before those that came first
	}
	if open = w.number(&out, d, safe); !open {
		return false, nil
	}
	out.dup = d.Redelivered
	sent, err := w.append(&out)
	if !sent {
		w.inflight.release(out.id)
		w.drop(d)
	}
	return true, err
}

// sharedGrant is what a shared subscription grants to a topic. Not member means
// that the client has left the group: the message is for another.
func (w *writer) sharedGrant(filter, topic string) (g *grant, member bool) {
	s := w.subs.Load().find(filter)
	if s == nil {
		return nil, false
	}
	g = &grant{}
	if s.matches(topic) {
		g.add(s)
	}
	return g, true
}

// number gives a delivery of QoS 1 or 2 its packet identifier, if it may go.
func (w *writer) number(o *outgoing, d *broker.Delivery, safe spool.LSN) (ok bool) {
	switch {
	case o.qos == 1 && d.Consumer == w.session.consumer:
		o.id, ok = w.inflight.takeAt(d.Pos, slot(d.Tag))
		return ok
	case o.qos == 1: // of a group
		o.id, ok = w.inflight.take(slot(d.Tag))
		return ok
	}
	o.id = exactID(d)
	if safe > w.durable {
		return false
	}
	ok, w.blocked = w.inflight.takeExact(o.id, slot(d.Tag))
	return ok
}

// drop settles a delivery that the client will not acknowledge.
func (w *writer) drop(d *broker.Delivery) {
	w.settled = append(w.settled, broker.Settlement{Tag: d.Tag})
}

// qosOf is what the publisher chose. AMQP knows no more than QoS 1.
func qosOf(m *amqp.Message) byte {
	if !m.Persistent() {
		return 0
	}
	if m.Props.Has(amqp.HasHeaders) {
		v, _ := m.Props.Header(bridge.HeaderQoS)
		if n, ok := amqp.Int(v); ok && n == 2 {
			return 2
		}
	}
	return 1
}

// outgoing is a message on its way to the client.
type outgoing struct {
	msg         *amqp.Message
	topic       string
	qos         byte
	id          uint16
	dup, retain bool
	ids         []uint32 // subscription identifiers
}

// append puts a PUBLISH into the buffer. A message whose time is over, or that
// is larger than the client takes, is not sent, but counted.
func (w *writer) append(o *outgoing) (sent bool, err error) {
	seconds, forever, expired := w.door.remaining(o.msg)
	if expired {
		w.door.counts.expired.Add(1)
		return false, nil
	}
	p := mqttwire.PublishOut{
		Dup: o.dup, QoS: o.qos, Retain: o.retain, PacketID: o.id,
		Topic: o.topic, Payload: o.msg.Body, SizeMax: w.sizeMax,
	}
	alias, told := w.aliases.find(o.topic)
	if told {
		p.Topic = ""
	}
	if w.version == mqttwire.V5 {
		w.props.Reset()
		if alias != 0 {
			w.props.Number(mqttwire.TopicAlias, uint32(alias)) // the first, see aliasBytes
		}
		if !forever {
			w.props.Number(mqttwire.MessageExpiry, seconds)
		}
		for _, id := range o.ids {
			w.props.Number(mqttwire.SubscriptionID, id)
		}
		bridge.AppendMQTTProperties(&w.props, o.msg.Props, w.door.Dots)
		if p.Props, err = w.props.Properties(); err != nil {
			return false, err
		}
	}
	tooLarge := func() bool { return w.sizeMax > 0 && p.Size(w.version) > w.sizeMax }
	if alias != 0 && !told && tooLarge() { // not for an alias that can be told later
		p.Props, alias = p.Props[aliasBytes:], 0
	}
	if tooLarge() {
		w.door.counts.tooLarge.Add(1)
		return false, nil
	}
	w.open()
	if w.buf, err = mqttwire.AppendPublish(w.buf, w.version, &p); err != nil {
		return false, err
	}
	if alias != 0 && !told {
		w.aliases.tell(o.topic, alias)
	}
	w.sent[o.qos]++
	return true, w.spill()
}
