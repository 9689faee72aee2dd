package server091

import (
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
)

const settlementsMax = 512 // collected before they go to the core

// settle collects an acknowledgement. A run is of one method, so that the
// refusal of a tag can say which method it was.
func (c *conn) settle(ch *channel, id wire091.MethodID, args []byte) error {
	c.args.Reset(args)
	op, err := settlement(id, &c.args)
	if err != nil {
		return c.refuse(ch.id, id, err)
	}
	w := c.work()
	full := len(w.publishes) > 0 || len(w.settlements) >= settlementsMax || w.settledBy != id
	if err := c.collect(ch, full); err != nil || ch.gone {
		return err
	}
	w.settledBy = id
	w.settlements = append(w.settlements, op)
	return nil
}

func settlement(id wire091.MethodID, r *wire091.Reader) (op broker.Settlement, err error) {
	requeue := false
	switch id {
	case wire091.MethodBasicAck:
		var m wire091.BasicAck
		err = m.Decode(r)
		return broker.Settlement{Tag: m.DeliveryTag, Multiple: m.Multiple, Outcome: broker.Accepted}, err
	case wire091.MethodBasicNack:
		var m wire091.BasicNack
		err = m.Decode(r)
		op, requeue = broker.Settlement{Tag: m.DeliveryTag, Multiple: m.Multiple}, m.Requeue
	default:
		var m wire091.BasicReject
		err = m.Decode(r)
		op, requeue = broker.Settlement{Tag: m.DeliveryTag}, m.Requeue
	}
	op.Outcome = broker.Rejected
	if requeue {
		op.Outcome = broker.Returned
	}
	return op, err
}

func (c *conn) flushSettlements() error {
	w := c.scratch
	ch, ops := w.from, w.settlements
	w.settlements = w.settlements[:0]
	settle := ch.session.Settle
	if ch.tx != nil {
		settle = ch.tx.core.Settle
	}
	if err := settle(ops); err != nil {
		return c.refuse(ch.id, w.settledBy, err)
	}
	return nil
}
