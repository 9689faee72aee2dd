package mqtt

import (
	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// setWill keeps the message that is sent when the client does not take its
// leave. CONNECT's size bounds it.
func (c *conn) setWill(m *mqttwire.Connect) error {
	if !m.HasWill {
		return nil
	}
	t, err := c.topicOf([]byte(m.Will.Topic))
	if err != nil {
		return err
	}
	defer c.incoming.forget() // the session's subscriptions are not known yet
	if reason := c.acceptable(t, m.Will.Props); reason.Failed() {
		return refusal(reason, "will to topic %q", m.Will.Topic)
	}
	c.willDelay, _ = m.Will.Props.Uint32(mqttwire.WillDelay)
	c.will = &broker.Publish{
		Msg: &amqp.Message{
			Exchange: t.exchange,
			Key:      t.key,
			Props:    bridge.PropertiesFromMQTT(m.Will.Props, m.Will.QoS, m.Will.Retain, bridge.Told{Topic: t.long, Path: c.node, Dots: c.door.Dots}),
			Body:     append([]byte(nil), m.Will.Payload...),
		},
		Retain: m.Will.Retain,
	}
	return nil
}

// sendWill publishes the will with the client's own rights, or has it wait: not
// for longer than the session lives. Nobody waits for it: a will that the spool
// has no room for is lost, and counted.
func (c *conn) sendWill() {
	if c.will == nil {
		return
	}
	c.markWill()
	send := c.publishWill
	if seconds := min(c.willDelay, c.expiry); c.kept && seconds > 0 {
		send = func() error { return c.delayWill(seconds) }
	}
	if err := send(); err != nil {
		c.door.lostWill(c.client, err)
	}
}

func (c *conn) publishWill() error {
	return publishOne(c.session.Session, c.door.Now(), *c.will)
}

var errWillRefused = amqp.Errorf(amqp.PreconditionFailed, "a queue is full and refuses it")

// publishOne publishes a will. What a queue refused (x-overflow) counts as lost,
// though others may have it.
func publishOne(s *broker.Session, now amqp.Instant, will broker.Publish) error {
	ps := []broker.Publish{will}
	if _, err := s.Publish(now, ps); err != nil {
		return err
	}
	if ps[0].Refused {
		return errWillRefused
	}
	return nil
}

// markWill says who it is from, if that is to be known: the client may have
// asked for nothing of its own.
func (c *conn) markWill() {
	m := c.will.Msg
	if c.door.NamePublisher || c.subs.Load().echoes(c.door.Dots.Topic(m.Key)) {
		list := m.Props.List()
		list.Headers = list.Headers.With(bridge.HeaderPublisher, c.client)
		m.Props = list.Encode()
	}
}
