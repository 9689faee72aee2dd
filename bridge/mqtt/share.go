package mqtt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// A shared subscription (5.0, section 4.8.2; MQTT 3.1.1 clients may use it,
// too) is a durable queue of its own, and its subscribers are competing
// consumers of it. What one of them has not acknowledged when its connection
// ends goes to another. QoS 1 is the most that is granted: exactly once is a
// matter between one client and us, and here the next client may be another.
//
// The queue lives as long as some session, connected or kept, is subscribed.
// That a kept session is, stands in the spool as a binding of the session's own
// queue to an exchange that nothing is published to with such a key.
const (
	sharePrefix = "mqtt.share."
	argShare    = "x-mqtt-share" // marks the group's own queue, as argWill does
)

var shareMark = amqp.Table{{Key: argShare, Value: true}}

func isShare(b broker.Binding) bool {
	_, ok := b.Args.Get(argShare)
	return ok && b.Source == recordExchange
}

// groupMax is the longest group name that is written out in a queue's name.
const groupMax = 128

// shareQueue names the queue of a group for a filter.
func shareQueue(group, filter string) string {
	if len(group) > groupMax {
		group = digest(group)
	}
	return sharePrefix + group + "." + digest(filter)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// subscribeShared makes the client a member of a group.
func (c *conn) subscribeShared(f *mqttwire.Subscription, id uint32, r *reply) (mqttwire.ReasonCode, spool.LSN, error) {
	group, filter, ok := mqttwire.SplitShare(f.Filter)
	switch {
	case !ok:
		return mqttwire.TopicFilterInvalid, 0, nil
	case !c.mayRead(filter):
		return mqttwire.NotAuthorized, 0, nil
	}
	s := subscription{
		filter: f.Filter, qos: min(f.QoS, 1, *c.limits.QoSMax), retainAsPublished: f.RetainAsPublished, id: id,
		share: shareQueue(group, filter), dots: c.door.Dots,
	}
	subs := c.subs.Load()
	old := subs.find(s.filter)
	lsn, err := c.door.joinShare(s.share, filter, old == nil)
	if err != nil {
		return c.refused(f.Filter, err)
	}
	c.setSubscriptions(subs.with(s))
	if old == nil {
		if err := c.consumeShare(&s, r); err != nil {
			c.setSubscriptions(subs)
			c.door.leaveShares([]subscription{s})
			return c.refused(f.Filter, err)
		}
	}
	if c.session.durable && (old == nil || *old != s) {
		at, err := c.recordShare(&s, old)
		if err != nil {
			return c.refused(f.Filter, err)
		}
		lsn = max(lsn, at)
	}
	return mqttwire.ReasonCode(s.qos), lsn, nil
}

// consumeShare begins to take messages for the group when r goes out. The
// window is one for all queues of the session. What the client may not be given,
// though it may subscribe, another member gets.
func (c *conn) consumeShare(s *subscription, r *reply) error {
	c.session.SetPrefetch(c.window + heldMax)
	spec := broker.ConsumerSpec{Tag: s.filter}
	if may, dots := c.may, c.door.Dots; may != nil {
		spec.Refuses = func(key string) bool { return !may.MayReceive(dots.Topic(key)) }
	}
	consumer, err := c.session.Consume(s.share, spec)
	if err != nil {
		return err
	}
	r.start = append(r.start, consumer)
	return nil
}

// recordShare writes a membership of a kept session down, in place of old.
func (c *conn) recordShare(s, old *subscription) (spool.LSN, error) {
	keeper := c.door.keeper
	lsn, err := keeper.BindQueue(c.session.queue, recordExchange, s.share, s.args())
	if err != nil || old == nil {
		return lsn, err
	}
	unbound, err := keeper.UnbindQueue(c.session.queue, recordExchange, old.share, old.args())
	return max(lsn, unbound), err
}

// unsubscribeShared ends a membership. What the client has in hand it may still
// acknowledge.
func (c *conn) unsubscribeShared(s *subscription) (lsn spool.LSN, err error) {
	c.session.Cancel(s.filter)
	if c.session.durable {
		return c.leaveShare(s)
	}
	c.door.leaveShares([]subscription{*s})
	return 0, nil
}

// leaveShare ends a membership of a session that is kept.
func (c *conn) leaveShare(s *subscription) (spool.LSN, error) {
	lsn, err := c.door.keeper.UnbindQueue(c.session.queue, recordExchange, s.share, s.args())
	if err != nil {
		return 0, err
	}
	c.door.leaveShares([]subscription{*s})
	return lsn, nil
}

// resumeShares consumes again for the groups of a session that was kept.
func (c *conn) resumeShares(r *reply) error {
	for i := range c.subs.Load().list {
		s := &c.subs.Load().list[i]
		if s.share == "" {
			continue
		}
		_, filter, _ := mqttwire.SplitShare(s.filter)
		if _, err := c.door.joinShare(s.share, filter, false); err != nil { // an operator may have deleted it
			return err
		}
		if err := c.consumeShare(s, r); err != nil {
			return err
		}
	}
	return nil
}

// joinShare makes sure that a group's queue is there, and counts a new member.
func (d *Door) joinShare(queue, filter string, member bool) (spool.LSN, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	there, err := d.holds(queue, isShare)
	var lsn spool.LSN
	if err == nil && !there {
		lsn, err = d.keeper.DeclareBound(broker.QueueSpec{Name: queue, Durable: true}, recordExchange, queue, shareMark)
	}
	if err != nil {
		return 0, err
	}
	bound, err := d.bind(d.keeper, queue, filter, d.Dots.Pattern(filter), nil)
	switch {
	case err != nil && d.shares[queue] == 0:
		_, _, undone := d.keeper.DeleteQueue(queue, false, false)
		return 0, errors.Join(err, undone)
	case err != nil:
		return 0, err
	}
	if member {
		d.shares[queue]++
	}
	return max(lsn, bound), nil
}

// leaveShares ends memberships. A group without members is no more.
func (d *Door) leaveShares(subs []subscription) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaveSharesLocked(subs)
}

func (d *Door) leaveSharesLocked(subs []subscription) {
	for i := range subs {
		queue := subs[i].share
		if queue == "" {
			continue
		}
		if d.shares[queue]--; d.shares[queue] > 0 {
			continue
		}
		delete(d.shares, queue)
		if _, _, err := d.keeper.DeleteQueue(queue, false, false); err != nil {
			d.Log.Error("mqtt shared subscription cannot be ended", "queue", queue, "err", err)
		}
	}
}

func (d *Door) endSession(client string) (spool.LSN, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endSessionLocked(client)
}

// endSessionLocked deletes a kept session's queue and ends its memberships.
func (d *Door) endSessionLocked(client string) (spool.LSN, error) {
	queue := sessionQueue(client)
	bindings, err := d.keeper.Bindings(queue)
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.NotFound {
		return 0, nil
	}
	if err == nil && !slices.ContainsFunc(bindings, isSession) {
		err = errForeign(queue)
	}
	if err != nil {
		return 0, err
	}
	_, lsn, err := d.keeper.DeleteQueue(queue, false, false)
	if err != nil {
		return 0, err
	}
	d.leaveSharesLocked(d.subscriptionsOf(bindings))
	return lsn, nil
}

// subscriptionsOf reads the subscriptions of a session out of its bindings.
func (d *Door) subscriptionsOf(bindings []broker.Binding) (list []subscription) {
	for _, b := range bindings {
		s, ok := d.subscriptionOf(b)
		same := func(of subscription) bool { return of.filter == s.filter } // in another exchange
		if ok && (b.Source == recordExchange) == (s.share != "") && !slices.ContainsFunc(list, same) {
			list = append(list, s)
		}
	}
	return list
}

// Names of queues that are no sessions begin with these, so that a client
// identifier that does is escaped.
var notSessions = []string{"share.", "will.", "%"}

// sessionQueue names the queue of a client's session.
func sessionQueue(client string) string {
	for _, prefix := range notSessions {
		if strings.HasPrefix(client, prefix) {
			return queuePrefix + "%" + client
		}
	}
	return queuePrefix + client
}

// clientOf is the way back. Not ok means that the queue is no session's.
func clientOf(queue string) (client string, ok bool) {
	client, ok = strings.CutPrefix(queue, queuePrefix)
	client = strings.TrimPrefix(client, "%")
	return client, ok && sessionQueue(client) == queue
}
