package mqtt

import (
	"cmp"
	"errors"
	"strings"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// subscribe answers a SUBSCRIBE. Each filter has an answer of its own; retained
// messages follow the SUBACK.
func (c *conn) subscribe(body []byte) error {
	var m mqttwire.Subscribe
	if err := m.Decode(body, c.version); err != nil {
		return err
	}
	id, _ := m.Props.Uint32(mqttwire.SubscriptionID)
	r := &reply{}
	lsn, err := c.needQueue(r)
	if err != nil {
		return err
	}
	ack := mqttwire.Suback{PacketID: m.PacketID}
	for i := range m.Filters {
		f := &m.Filters[i]
		known := c.subs.Load().find(f.Filter) != nil
		reason, at, err := c.subscribeOne(f, id, r)
		if err != nil {
			return err
		}
		lsn = max(lsn, at)
		ack.Reasons = append(ack.Reasons, reason)
		if !reason.Failed() && !isShared(f.Filter) && (f.RetainHandling == 0 || f.RetainHandling == 1 && !known) {
			r.retained = append(r.retained, f.Filter)
		}
	}
	if r.packet, err = mqttwire.AppendSuback(nil, c.version, &ack); err != nil {
		return err
	}
	if err := c.fits(r.packet, mqttwire.TypeSuback); err != nil {
		return err
	}
	return c.reply(lsn, r)
}

// needQueue makes the queue of a session that ends with its connection: most
// such clients only publish and never need one.
func (c *conn) needQueue(r *reply) (lsn spool.LSN, err error) {
	if c.session.consumer != nil {
		return 0, nil
	}
	_, lsn, err = c.core.DeclareQueue(broker.QueueSpec{
		Name:      c.session.queue,
		Exclusive: true,
		Args:      c.limits.queueArgs(cmp.Or(c.limits.QueuedMax, queuedDefault)),
	})
	if err != nil {
		return 0, err
	}
	if err := c.consume(); err != nil {
		return 0, err
	}
	r.start = append(r.start, c.session.consumer)
	return lsn, nil
}

// subscribeOne subscribes to one filter and says with which outcome. An error
// is the connection's end.
func (c *conn) subscribeOne(f *mqttwire.Subscription, id uint32, r *reply) (mqttwire.ReasonCode, spool.LSN, error) {
	subs := c.subs.Load()
	old := subs.find(f.Filter)
	switch {
	case levels(f.Filter) > topicLevelsMax:
		return mqttwire.TopicFilterInvalid, 0, nil
	case old == nil && len(subs.list) >= c.limits.SubscriptionsMax:
		return mqttwire.QuotaExceeded, 0, nil
	case isShared(f.Filter): // in 3.1.1 just a topic, but nobody means that
		return c.subscribeShared(f, id, r)
	}
	s := subscription{
		filter:            f.Filter,
		qos:               min(f.QoS, *c.limits.QoSMax),
		noLocal:           f.NoLocal || c.bridge,
		retainAsPublished: f.RetainAsPublished || c.bridge,
		id:                id,
		dots:              c.door.Dots,
	}
	// The writer must know it before the first message comes.
	c.setSubscriptions(subs.with(s))
	lsn, err := c.door.bind(c.core, c.session.queue, s.filter, s.key(), s.args())
	if err != nil {
		c.setSubscriptions(subs)
		return c.refused(f.Filter, err)
	}
	if old != nil && *old != s {
		unbound, err := c.door.unbind(c.core, c.session.queue, old.filter, old.key(), old.args())
		if err != nil {
			return c.refused(f.Filter, err)
		}
		lsn = max(lsn, unbound)
	}
	c.incoming.forget()
	return mqttwire.ReasonCode(s.qos), lsn, nil
}

// refused turns a refusal by the core into the outcome for one filter.
func (c *conn) refused(filter string, err error) (mqttwire.ReasonCode, spool.LSN, error) {
	e, ok := errors.AsType[*amqp.Error](err)
	if !ok {
		return 0, 0, err
	}
	c.log.Warn("mqtt subscription refused", "filter", filter, "reason", e.Text)
	return reasonOf(e), 0, nil
}

// unsubscribe answers an UNSUBSCRIBE.
func (c *conn) unsubscribe(body []byte) error {
	var m mqttwire.Unsubscribe
	if err := m.Decode(body, c.version); err != nil {
		return err
	}
	var lsn spool.LSN
	ack := mqttwire.Unsuback{PacketID: m.PacketID}
	for _, filter := range m.Filters {
		reason, at, err := c.unsubscribeOne(filter)
		if err != nil {
			return err
		}
		lsn = max(lsn, at)
		ack.Reasons = append(ack.Reasons, reason)
	}
	packet, err := mqttwire.AppendUnsuback(nil, c.version, &ack)
	if err != nil {
		return err
	}
	if err := c.fits(packet, mqttwire.TypeUnsuback); err != nil {
		return err
	}
	return c.reply(lsn, &reply{packet: packet})
}

func (c *conn) unsubscribeOne(filter string) (mqttwire.ReasonCode, spool.LSN, error) {
	subs := c.subs.Load()
	s := subs.find(filter)
	if s == nil {
		return mqttwire.NoSubscriptionExisted, 0, nil
	}
	unbind := c.unsubscribePlain
	if s.share != "" {
		unbind = c.unsubscribeShared
	}
	lsn, err := unbind(s)
	if err != nil {
		return c.refused(filter, err)
	}
	c.setSubscriptions(subs.without(filter))
	c.incoming.forget()
	return mqttwire.Success, lsn, nil
}

func (c *conn) unsubscribePlain(s *subscription) (spool.LSN, error) {
	return c.door.unbind(c.core, c.session.queue, s.filter, s.key(), s.args())
}

func isShared(filter string) bool { return strings.HasPrefix(filter, "$share/") }

// levels counts the levels of a topic or filter.
func levels(topic string) int { return 1 + strings.Count(topic, "/") }
