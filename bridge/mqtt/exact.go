package mqtt

import (
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// QoS 2 (5.0, section 4.3.3) needs a memory on both sides of a connection, and
// for a session that is kept it must survive a power cut. It is written as
// marks of the session's queue (see broker.Mark).
//
// From the client: the packet identifier is marked in one change with the
// message, PUBREC waits for both, and repeats are not published. PUBREL takes
// the mark away, and PUBCOMP waits for that: a client may use the identifier
// again at once, and its next message must not be taken for a repeat.
//
// To the client: a message is sent when it is durable itself, under an
// identifier made of its position in the queue (see exactID), so that it keeps
// the identifier whatever happens. PUBREC takes the message out of the queue
// and marks the identifier in one change, PUBREL waits for that, and PUBCOMP
// takes the mark away.
const (
	markTaken  uint32 = 0       // + packet identifier: the client's message is here
	markHanded uint32 = 1 << 16 // + packet identifier: the client has ours
)

// Packet identifiers of what we send, by use. The lowest are those of QoS 1.
const (
	exactFromStore uint16 = 1 << 14 // QoS 2, retained messages
	exactFromQueue uint16 = 1 << 15 // QoS 2, deliveries
	receiveMaxMost        = int(exactFromStore) - 1
)

// exactID is the packet identifier of a delivery of QoS 2. Two of them are the
// same only if 32,768 messages lie between: the second one waits.
func exactID(d *broker.Delivery) uint16 { return exactFromQueue | uint16(d.Pos) }

func (c *conn) mark(base uint32, id uint16, clear bool) broker.Mark {
	return broker.Mark{Queue: c.session.queue, Number: base + uint32(id), Clear: clear}
}

// resumeExact takes over how far QoS 2 had come when the client was last here.
func (c *conn) resumeExact() error {
	marks, err := c.core.Marks(c.session.queue)
	if err != nil {
		return err
	}
	// What the older connection did last may not be safe yet.
	if c.resumed, err = c.door.Broker.Log().Append(&c.door.nothing); err != nil {
		return err
	}
	for _, n := range marks {
		id := uint16(n)
		if n < markHanded {
			c.incoming.take(id)
			continue
		}
		c.inflight.resume(id)
		c.incoming.owed = append(c.incoming.owed, promise{kind: mqttwire.TypePubrel, id: id})
	}
	return nil
}

// begin says whether a PUBLISH of QoS 2 is new. A repeat is answered as the
// first one was, after it.
func (c *conn) begin(id uint16) (fresh bool, err error) {
	in := &c.incoming
	if _, repeat := in.taken[id]; repeat {
		if err := c.flush(); err != nil {
			return false, err
		}
		if _, still := in.taken[id]; still { // else it was refused just now
			c.acks.push(c.resumed, promise{kind: mqttwire.TypePubrec, id: id})
			c.poke()
			return false, nil
		}
	}
	if c.version == mqttwire.V5 && len(in.taken) >= c.limits.ReceiveMax {
		return false, refusal(mqttwire.ReceiveMaximumExceeded, "more than %d messages of QoS 2 in flight", c.limits.ReceiveMax)
	}
	if len(in.owed) > 0 { // the identifier may be one that was just released
		if err := c.flush(); err != nil {
			return false, err
		}
	}
	in.take(id)
	return true, nil
}

// released takes a PUBREL: the client may use the identifier again.
func (c *conn) released(body []byte) error {
	var rel mqttwire.Ack
	if err := rel.Decode(mqttwire.TypePubrel, body, c.version); err != nil {
		return err
	}
	in := &c.incoming
	if len(in.batch) > 0 { // the message may be among them
		if err := c.flush(); err != nil {
			return err
		}
	}
	comp := promise{kind: mqttwire.TypePubcomp, id: rel.PacketID, reason: mqttwire.PacketIDNotFound}
	if _, known := in.taken[rel.PacketID]; known {
		delete(in.taken, rel.PacketID)
		comp.reason = mqttwire.Success
		if c.session.durable {
			in.marks = append(in.marks, c.mark(markTaken, rel.PacketID, true))
		}
	}
	return c.owe(comp)
}

// handed takes a PUBREC: the client has our message, or refuses it.
func (c *conn) handed(body []byte) error {
	var rec mqttwire.Ack
	if err := rec.Decode(mqttwire.TypePubrec, body, c.version); err != nil {
		return err
	}
	in, id := &c.incoming, rec.PacketID
	if c.inflight.awaitsPuback(id) {
		return wrongAnswer(mqttwire.TypePubrec, id)
	}
	if rec.Reason.Failed() {
		if s := c.inflight.complete(id); s.delivered() {
			in.settled = append(in.settled, broker.Settlement{Tag: uint64(s), Outcome: broker.Rejected})
		}
		c.poke()
		return nil
	}
	s := c.inflight.hand(id)
	rel := promise{kind: mqttwire.TypePubrel, id: id}
	switch {
	case s == slotFree:
		rel.reason = mqttwire.PacketIDNotFound
	case s == slotHanded: // a repeat
	default:
		if s.delivered() {
			in.settled = append(in.settled, broker.Settlement{Tag: uint64(s)})
		}
		if c.session.durable {
			in.marks = append(in.marks, c.mark(markHanded, id, false))
		}
	}
	return c.owe(rel)
}

// completed takes a PUBCOMP: the identifier is free again.
func (c *conn) completed(body []byte) error {
	var comp mqttwire.Ack
	if err := comp.Decode(mqttwire.TypePubcomp, body, c.version); err != nil {
		return err
	}
	in, id := &c.incoming, comp.PacketID
	switch {
	case c.inflight.handed(id):
	case c.inflight.uses(id), c.inflight.awaitsPuback(id):
		return wrongAnswer(mqttwire.TypePubcomp, id) // before our PUBREL, or to QoS 1
	default: // left over from an older connection
		return nil
	}
	if c.session.durable {
		in.marks = append(in.marks, c.mark(markHanded, id, true))
	}
	in.done = append(in.done, id) // free when the log has the change
	return nil
}

// wrongAnswer refuses an acknowledgement that does not belong to the QoS, or to
// the step, of the message that has its identifier (5.0, section 4.3).
func wrongAnswer(kind mqttwire.Type, id uint16) error {
	return refusal(mqttwire.ProtocolError, "%s for message %d, which waits for another answer", kind, id)
}

// owe collects an answer that is true when the marks before it are.
func (c *conn) owe(p promise) error {
	c.incoming.owed = append(c.incoming.owed, p)
	if len(c.incoming.owed) < promisesMax {
		return nil
	}
	return c.flush()
}

// promiseOwed hands the collected answers to the writer.
func (c *conn) promiseOwed(lsn spool.LSN) error {
	in := &c.incoming
	for len(in.owed) > 0 && c.acks.crowded() {
		if err := c.rest(); err != nil {
			return err
		}
	}
	for _, p := range in.owed {
		c.acks.push(max(lsn, c.resumed), p)
	}
	in.owed = in.owed[:0]
	c.due = true
	return nil
}
