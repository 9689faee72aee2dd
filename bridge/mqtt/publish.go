package mqtt

import (
	"errors"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// publish takes a PUBLISH into the batch.
func (c *conn) publish(packet mqttwire.Packet) error {
	if err := c.throttle(); err != nil {
		return err
	}
	var p mqttwire.Publish
	if err := p.Decode(packet.Flags, packet.Body, c.version); err != nil {
		return err
	}
	if p.QoS > *c.limits.QoSMax { // 5.0, section 3.2.2.3.4
		return refusal(mqttwire.QoSNotSupported, "message of QoS %d, at most %d is taken", p.QoS, *c.limits.QoSMax)
	}
	t, err := c.resolve(&p)
	if err != nil {
		return err
	}
	if p.QoS > 0 {
		if err := c.admit(); err != nil {
			return err
		}
	}
	if p.QoS == 2 {
		if fresh, err := c.begin(p.PacketID); err != nil || !fresh {
			return err
		}
	}
	c.door.counts.received[p.QoS].Add(1)
	if t.long != "" {
		c.door.counts.longTopics.Add(1)
	}
	c.incoming.batch = append(c.incoming.batch, received{
		topic: t, id: p.PacketID, qos: p.QoS, retain: p.Retain, props: p.Props, payload: p.Payload,
	})
	if reason := c.acceptable(t, p.Props); reason.Failed() {
		return c.refuseLast(reason)
	}
	if len(c.incoming.batch) >= batchMax {
		return c.flush()
	}
	return nil
}

// admit keeps a client to ReceiveMax unanswered messages. MQTT 5 clients know
// the limit (section 4.9); others are not read from until they got answers.
func (c *conn) admit() error {
	for !c.acks.admit(c.limits.ReceiveMax) {
		if c.version == mqttwire.V5 {
			return refusal(mqttwire.ReceiveMaximumExceeded, "more than %d messages in flight", c.limits.ReceiveMax)
		}
		if err := c.flush(); err != nil {
			return err
		}
		if err := c.rest(); err != nil {
			return err
		}
	}
	return nil
}

// acceptable says what is wrong with a message before the core is asked.
func (c *conn) acceptable(t *topic, props mqttwire.Properties) mqttwire.ReasonCode {
	switch {
	case t.ours:
		return mqttwire.NotAuthorized
	case len(props) > 0 && tooMuch(props):
		return mqttwire.QuotaExceeded
	}
	return mqttwire.Success
}

// refuseLast takes the newest message out of the batch and refuses it, after
// those before it.
func (c *conn) refuseLast(reason mqttwire.ReasonCode) error {
	in := &c.incoming
	r := in.batch[len(in.batch)-1]
	in.batch = in.batch[:len(in.batch)-1]
	if err := c.flush(); err != nil {
		return err
	}
	return c.reject(&r, reason, reason.String())
}

// acknowledged takes a PUBACK. One for an identifier that is not in use is left
// over from an older connection; some clients send them.
func (c *conn) acknowledged(body []byte) error {
	var ack mqttwire.Ack
	if err := ack.Decode(mqttwire.TypePuback, body, c.version); err != nil {
		return err
	}
	switch s := c.inflight.free(ack.PacketID); s {
	case slotFree:
		if c.inflight.uses(ack.PacketID) {
			return wrongAnswer(mqttwire.TypePuback, ack.PacketID)
		}
	case slotRetained:
		c.due = true
	default:
		outcome := broker.Accepted
		if ack.Reason.Failed() {
			outcome = broker.Rejected
		}
		c.incoming.settled = append(c.incoming.settled, broker.Settlement{Tag: uint64(s), Outcome: outcome})
	}
	return nil
}

// flush hands what was collected to the core.
func (c *conn) flush() error {
	in := &c.incoming
	if err := c.settle(); err != nil {
		return err
	}
	if len(in.batch) == 0 {
		return nil
	}
	defer in.clear()
	waiting, err := c.slowDown()
	if err != nil {
		return err
	}
	return c.hand(in.batch, c.messages(), waiting)
}

// settle hands the collected acknowledgements to the core. Answers to them come
// when the change is safe.
func (c *conn) settle() error {
	in := &c.incoming
	if len(in.settled)+len(in.marks)+len(in.owed)+len(in.done) == 0 {
		return nil
	}
	lsn, err := c.session.SettleMarking(in.settled, in.marks)
	in.settled, in.marks = in.settled[:0], in.marks[:0]
	if err != nil {
		return err
	}
	for _, id := range in.done {
		c.inflight.complete(id)
	}
	in.done = in.done[:0]
	return c.promiseOwed(lsn) // and the window has room
}

// hand publishes a batch, and answers or refuses each of its messages. waiting
// is since when there is no room for it; zero if there is.
func (c *conn) hand(batch []received, ps []broker.Publish, waiting time.Time) error {
	for len(ps) > 0 {
		n, err := c.session.Publish(c.door.Now(), ps)
		if err := c.answer(batch[:n], ps[:n]); err != nil {
			return err
		}
		batch, ps = batch[n:], ps[n:]
		refused, ok := errors.AsType[*amqp.Error](err)
		switch {
		case err == nil:
		case ok:
			if err := c.reject(&batch[0], reasonOf(refused), refused.Text); err != nil {
				return err
			}
			batch, ps = batch[1:], ps[1:]
		case errors.Is(err, spool.ErrFull):
			if n > 0 || waiting.IsZero() {
				waiting = time.Now()
			}
			if patience := c.patience(); patience > 0 && time.Since(waiting) >= patience {
				return c.full(batch)
			}
			if err := c.awaitRoom(fullRetry); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// answer promises to say what became of the messages that the core took. One
// that a queue refused (x-overflow) is not safe there, whoever else has it.
func (c *conn) answer(batch []received, ps []broker.Publish) error {
	done := 0
	for i := range ps {
		if !ps[i].Refused {
			continue
		}
		c.promiseTaken(batch[done:i], ps[done:i])
		if err := c.reject(&batch[i], mqttwire.QuotaExceeded, "a queue is full"); err != nil {
			return err
		}
		done = i + 1
	}
	c.promiseTaken(batch[done:], ps[done:])
	return nil
}

// promiseTaken promises a PUBACK for each message of QoS 1 and a PUBREC for
// those of QoS 2. That nobody was subscribed is said also of one that is
// retained, as Mosquitto does (5.0, sections 3.4.2.1 and 3.5.2.1).
func (c *conn) promiseTaken(batch []received, ps []broker.Publish) {
	c.acks.mu.Lock()
	promised := false
	for i := range ps {
		if batch[i].id == 0 {
			continue
		}
		promised = true
		reason := mqttwire.Success
		if c.version == mqttwire.V5 && !ps[i].Routed {
			reason = mqttwire.NoMatchingSubscribers
		}
		c.acks.waiting.Push(ps[i].LSN, promise{kind: batch[i].answer(), id: batch[i].id, reason: reason})
	}
	c.acks.mu.Unlock()
	if promised {
		c.due = true
	}
}

// answer is the packet that takes a message over.
func (r *received) answer() mqttwire.Type {
	if r.qos == 2 {
		return mqttwire.TypePubrec
	}
	return mqttwire.TypePuback
}

// reject refuses one message. Only the answers of MQTT 5 can say so; before that
// the one honest answer to a message that is not taken is to end the connection
// (3.1.1, section 3.3.5). QoS 0 has no answer and is dropped.
func (c *conn) reject(r *received, reason mqttwire.ReasonCode, why string) error {
	c.door.counts.rejected.Add(1)
	switch {
	case r.id == 0:
	case c.version != mqttwire.V5:
		return refusal(reason, "message with routing key %q was refused: %s", r.topic.key, why)
	default:
		if r.qos == 2 { // a failed PUBREC ends the exchange (section 4.3.3)
			delete(c.incoming.taken, r.id)
		}
		c.acks.push(0, promise{kind: r.answer(), id: r.id, reason: reason})
		c.due = true
	}
	return nil
}

// full: the spool has no room for the batch, and will not have for a while.
func (c *conn) full(batch []received) error {
	if c.version != mqttwire.V5 {
		return refusal(mqttwire.QuotaExceeded, "spool is full, and the client's acknowledgements are behind its messages")
	}
	for i := range batch {
		if err := c.reject(&batch[i], mqttwire.QuotaExceeded, "the spool is full"); err != nil {
			return err
		}
	}
	return nil
}

// How long a client is not read from while the spool has no room. MQTT 5
// clients can be told afterwards. Others wait as long as it takes, unless they
// owe acknowledgements, which are what may make room.
const (
	patienceToTell = time.Second
	patienceToOwe  = 10 * time.Second
	// fullRetry is for a log that has room, but not for this message.
	fullRetry = 250 * time.Millisecond
)

func (c *conn) patience() time.Duration {
	switch {
	case c.version == mqttwire.V5:
		return patienceToTell
	case c.inflight.busy():
		return patienceToOwe
	}
	return 0
}

// slowDown keeps a publisher back while the log has more than it can write, and
// says since when if that is still so.
func (c *conn) slowDown() (waiting time.Time, err error) {
	log := c.door.Broker.Log()
	if log.Room() == nil {
		return time.Time{}, nil
	}
	waiting = time.Now()
	if err := c.awaitRoom(c.patience()); err != nil || log.Room() == nil {
		return time.Time{}, err
	}
	return waiting, nil
}

// patienceInPacket is how long a client is not read from in the middle of a large
// packet while memory is low. Then it must go, with its part of the packet: many
// such parts might be what memory is low for.
const patienceInPacket = 10 * time.Second

// reasoned is what a log may also be: one that says why there is no room if it is
// not for the disk's sake, which is for want of memory.
type reasoned interface{ NoRoom() string }

// awaitMemory waits while memory is low.
func (c *conn) awaitMemory() error {
	log, ok := c.door.Broker.Log().(reasoned)
	if !ok || log.NoRoom() == "" {
		return nil
	}
	if err := c.awaitRoom(patienceInPacket); err != nil {
		return err
	}
	if why := log.NoRoom(); why != "" {
		return refusal(mqttwire.QuotaExceeded, "%s, in the middle of a large packet", why)
	}
	return nil
}

// awaitRoom waits until the log may have room, for as long as limit if that is
// not 0.
func (c *conn) awaitRoom(limit time.Duration) error {
	c.poke()
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-c.door.Broker.Log().Room(): // nil, and never ready, when only this message does not fit
	case <-over:
	case <-c.ended:
		return errEnded
	}
	return nil
}
