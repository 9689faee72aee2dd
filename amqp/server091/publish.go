package server091

import (
	"errors"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool"
)

const (
	publishesMax = 256 // collected before they go to the core
	// ownBodyMin is the size from which a body has memory of its own. Smaller
	// ones share a slab with their batch, which lives as long as one of them.
	ownBodyMin = 16 << 10
)

// incoming is a complete message that may still lie in the read buffer.
type incoming struct {
	exchange, key string
	mandatory     bool
	props         amqp.Properties
	body          []byte
	lent          bool // body lies in the read buffer
}

// flushPublishes hands the collected messages to the core. The log may be full
// in between: then nothing is read until there is room.
func (c *conn) flushPublishes() error {
	if err := c.awaitMemory(); err != nil {
		return err
	}
	w := c.scratch
	ch := w.from
	w.seal()
	defer w.unseal()
	if ch.tx != nil {
		return c.publishInTx(ch)
	}
	for at := 0; at < len(w.batch); {
		n, err := ch.session.Publish(c.s.o.Now(), w.batch[at:])
		c.s.counts.published.Add(uint64(n))
		c.receipts(ch, w.sealed[at:at+n], w.batch[at:at+n])
		at += n
		switch {
		case errors.Is(err, spool.ErrFull):
			if err := c.awaitRoom(true); err != nil {
				return err
			}
		case err != nil:
			return c.refuse(ch.id, wire091.MethodBasicPublish, err)
		}
	}
	return c.awaitRoom(false)
}

// seal makes messages of what was collected: one slab holds all properties and
// bodies that have no memory of their own, one the messages.
func (w *scratch) seal() {
	w.sealed, w.publishes = w.publishes, w.sealed[:0]
	size := 0
	for i := range w.sealed {
		in := &w.sealed[i]
		size += len(in.props)
		if in.lent && len(in.body) < ownBodyMin {
			size += len(in.body)
		}
	}
	slab := make([]byte, 0, size)
	messages := make([]amqp.Message, len(w.sealed))
	for i := range w.sealed {
		in, m := &w.sealed[i], &messages[i]
		m.Exchange, m.Key, m.Body = in.exchange, in.key, in.body
		slab, m.Props = carve(slab, in.props)
		switch {
		case in.lent && len(in.body) < ownBodyMin:
			slab, m.Body = carve(slab, in.body)
		case in.lent:
			m.Body = append([]byte(nil), in.body...)
		}
		w.batch = append(w.batch, broker.Publish{Msg: m, Retain: retains(m.Props)})
	}
}

// retainHeader (true) makes a message its routing key's last value, which MQTT
// clients are given when they subscribe.
const retainHeader = "x-mqtt-retain"

func retains(p amqp.Properties) bool {
	if !p.Has(amqp.HasHeaders) {
		return false
	}
	v, _ := p.Header(retainHeader)
	yes, _ := v.(bool)
	return yes
}

// carve copies b into a slab that has room for it.
func carve(slab, b []byte) (rest, copied []byte) {
	at := len(slab)
	slab = append(slab, b...)
	return slab, slab[at:len(slab):len(slab)]
}

// unseal lets go of the messages.
func (w *scratch) unseal() {
	clear(w.sealed)
	clear(w.batch)
	w.sealed, w.batch = w.sealed[:0], w.batch[:0]
}

// receipts owes the publisher what it is to hear of messages that the core has
// taken. A returned message comes before its confirm; a message that one of its
// queues would not have is confirmed by a nack.
func (c *conn) receipts(ch *channel, ins []incoming, ps []broker.Publish) {
	if !ch.confirms && !anyMandatory(ins) {
		return
	}
	run := promise{kind: promiseAck, channel: ch.id}
	var lsn spool.LSN
	give := func() {
		if run.count > 0 {
			c.push(lsn, run)
			run.count = 0
		}
	}
	for i := range ps {
		if ins[i].mandatory && !ps[i].Routed {
			give()
			c.owe(0, returned(ch, ps[i].Msg))
			c.s.counts.returned.Add(1)
		}
		if !ch.confirms {
			continue
		}
		kind := promiseAck
		if ps[i].Refused {
			kind = promiseNack
		}
		if ps[i].LSN != lsn || kind != run.kind {
			give()
			lsn, run.kind = ps[i].LSN, kind
		}
		ch.published++
		run.tag = ch.published
		run.count++
	}
	give()
}

func anyMandatory(ins []incoming) bool {
	for i := range ins {
		if ins[i].mandatory {
			return true
		}
	}
	return false
}

func returned(ch *channel, m *amqp.Message) promise {
	return promise{kind: promiseContent, channel: ch.id, reply: &reply{
		method: &wire091.BasicReturn{
			ReplyCode: uint16(amqp.NoRoute), ReplyText: amqp.NoRoute.String(), Exchange: m.Exchange, RoutingKey: m.Key,
		},
		msg: m,
	}}
}
