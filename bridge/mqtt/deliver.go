package mqtt

import (
	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// deliver sends what the core gave. QoS 1 messages that find the client's
// window closed are held, in their order; QoS 0 passes them (5.0, section 4.9).
func (w *writer) deliver() error {
	for len(w.held) > 0 {
		if open, err := w.attempt(&w.held[0]); err != nil || !open {
			if err != nil {
				return err
			}
			break
		}
		w.held[0] = broker.Delivery{}
		w.held = w.held[1:]
	}
	for i := range w.deliveries {
		d := &w.deliveries[i]
		if d.Msg == nil {
			return refusal(mqttwire.AdministrativeAction, "the session was deleted")
		}
		open, err := w.attempt(d)
		if err != nil {
			return err
		}
		if !open { // never more than the consumer's prefetch
			w.held = append(w.held, *d)
		}
	}
	return nil
}

// attempt sends one delivery, or drops it when it is not for this client. open
// is false when it must wait for room in the client's window.
func (w *writer) attempt(d *broker.Delivery) (open bool, err error) {
	a := w.addresses.find(w.subs.Load(), d.Msg.Key)
	g := &a.others
	if a.own.subscriptions < g.subscriptions && publishedBy(d.Msg.Props, w.client) {
		g = &a.own
	}
	switch {
	case !a.valid:
		w.door.counts.foreign.Add(1)
		w.drop(d)
		return true, nil
	case g.subscriptions == 0:
		w.door.counts.unmatched.Add(1)
		w.drop(d)
		return true, nil
	}
	out := outgoing{msg: d.Msg, topic: a.topic, qos: qosOf(d.Msg, g), ids: g.ids}
	out.retain = g.retainAsPublished && wasRetained(d.Msg.Props)
	if out.qos == 0 {
		w.drop(d) // settled before it is written, see flush
		_, err := w.append(&out)
		return true, err
	}
	if len(w.held) > 0 && d != &w.held[0] {
		return false, nil // not before those that came first
	}
	if out.id, open = w.inflight.take(slot(d.Tag)); !open {
		return false, nil
	}
	out.dup = d.Redelivered
	sent, err := w.append(&out)
	if !sent {
		w.inflight.free(out.id)
		w.drop(d)
	}
	return true, err
}

// drop settles a delivery that the client will not acknowledge.
func (w *writer) drop(d *broker.Delivery) {
	w.settled = append(w.settled, broker.Settlement{Tag: d.Tag})
}

// qosOf is the lower of what the publisher chose and what was granted.
func qosOf(m *amqp.Message, g *grant) byte {
	if m.Persistent() {
		return g.qos
	}
	return 0
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
	if w.version == mqttwire.V5 {
		w.props.Reset()
		if !forever {
			w.props.Number(mqttwire.MessageExpiry, seconds)
		}
		for _, id := range o.ids {
			w.props.Number(mqttwire.SubscriptionID, id)
		}
		appendProperties(&w.props, o.msg.Props)
		if p.Props, err = w.props.Properties(); err != nil {
			return false, err
		}
	}
	if w.sizeMax > 0 && p.Size(w.version) > w.sizeMax {
		w.door.counts.tooLarge.Add(1)
		return false, nil
	}
	w.open()
	if w.buf, err = mqttwire.AppendPublish(w.buf, w.version, &p); err != nil {
		return false, err
	}
	w.sent[o.qos]++
	return true, w.spill()
}
