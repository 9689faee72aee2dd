package mqtt

import (
	"errors"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
)

// A will with a delay (5.0, section 3.1.3.2.2) waits in a durable queue of its
// own, mqtt.will.<client id>, so that a restart does not forget it. When its
// time has come, or the session ends, it is published and taken out of the
// queue as one change. A client that comes back in time has the queue deleted.
// A binding marks the queue, as it does those of sessions.
const (
	willPrefix = "mqtt.will."
	argWill    = "x-mqtt-will"
)

var willMark = amqp.Table{{Key: argWill, Value: true}}

func isWill(b broker.Binding) bool {
	_, ok := b.Args.Get(argWill)
	return ok && b.Source == recordExchange
}

// Headers of a waiting will: what it is to be when it is published.
const (
	headerWillKey    = "x-mqtt-will-key"
	headerWillQoS    = "x-mqtt-will-qos"
	headerWillDelay  = "x-mqtt-will-delay" // seconds
	headerWillExpiry = "x-mqtt-will-expiry"
)

// willRetry is for a will that the spool has no room for.
const willRetry = 10 * time.Second

// delayWill keeps the client's will for later.
func (c *conn) delayWill(seconds uint32) error {
	d, queue := c.door, willPrefix+c.client
	if m := c.will.Msg; !c.allows(broker.Write, m.Exchange, m.Key) {
		return amqp.Errorf(amqp.AccessRefused, "user '%s' may not publish with key '%s' to exchange '%s'", c.user, m.Key, m.Exchange)
	}
	there, err := d.holds(queue, isWill)
	if err != nil {
		return err
	}
	if !there {
		if _, err := d.keeper.DeclareBound(broker.QueueSpec{Name: queue, Durable: true}, recordExchange, queue, willMark); err != nil {
			return err
		}
	}
	waiting := broker.Publish{Msg: waitingWill(c.will.Msg, queue, seconds)}
	if err := publishOne(d.keeping, d.Now(), waiting); err != nil {
		_, _, undone := d.keeper.DeleteQueue(queue, false, false)
		return errors.Join(err, undone)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wills.add(c.client, seconds, time.Now())
	return nil
}

// waitingWill is a will as it stands in its queue. Its own expiry begins when
// it is published.
func waitingWill(m *amqp.Message, queue string, seconds uint32) *amqp.Message {
	list := m.Props.List()
	list.Headers = append(list.Headers,
		amqp.Field{Key: headerWillKey, Value: m.Key},
		amqp.Field{Key: headerWillQoS, Value: int32(list.DeliveryMode)},
		amqp.Field{Key: headerWillDelay, Value: int64(seconds)},
		amqp.Field{Key: headerWillExpiry, Value: list.Expiration},
	)
	list.Flags &^= amqp.HasExpiration
	list.DeliveryMode, list.Expiration = 2, ""
	return &amqp.Message{Key: queue, Props: list.Encode(), Body: m.Body}
}

// dueWill is the way back.
func (d *Door) dueWill(m *amqp.Message) broker.Publish {
	list := m.Props.List()
	take := func(name string) any {
		v, _ := list.Headers.Get(name)
		list.Headers = list.Headers.Without(name)
		return v
	}
	key, _ := take(headerWillKey).(string)
	mode, _ := amqp.Int(take(headerWillQoS))
	list.Expiration, _ = take(headerWillExpiry).(string)
	take(headerWillDelay)
	list.DeliveryMode = uint8(mode)
	if len(list.Headers) == 0 {
		list.Flags &^= amqp.HasHeaders
	}
	will := &amqp.Message{Exchange: d.exchangeOf(d.Dots.Topic(key)), Key: key, Props: list.Encode(), Body: m.Body}
	return broker.Publish{Msg: will, Retain: wasRetained(will.Props)}
}

// publishWill publishes the will that waits for a client, if there is one.
func (d *Door) publishWill(client string) error {
	queue := willPrefix + client
	if there, err := d.holds(queue, isWill); err != nil || !there {
		return err
	}
	waiting, _, ok, err := d.keeping.Get(queue, false)
	if err != nil {
		return err
	}
	if ok {
		_, err = d.keeping.Commit(d.Now(), []broker.Publish{d.dueWill(waiting.Msg)}, []broker.Settlement{{Tag: waiting.Tag}})
		if errors.Is(err, spool.ErrFull) {
			return errors.Join(err, d.keeping.Settle([]broker.Settlement{{Tag: waiting.Tag, Outcome: broker.Returned}}))
		}
	}
	_, _, deleted := d.keeper.DeleteQueue(queue, false, false)
	return errors.Join(err, deleted)
}

// cancelWill: the client is back in time.
func (d *Door) cancelWill(client string) {
	d.mu.Lock()
	d.wills.cancel(client)
	d.mu.Unlock()
	there, err := d.holds(willPrefix+client, isWill)
	if there {
		_, _, err = d.keeper.DeleteQueue(willPrefix+client, false, false)
	}
	if err != nil {
		d.Log.Error("will of the mqtt client cannot be taken back", "client", client, "err", err)
	}
}

// sendWills publishes the wills whose time has come.
func (d *Door) sendWills(now time.Time) (next time.Time) {
	d.mu.Lock()
	clients, next := d.wills.over(now)
	d.mu.Unlock()
	for _, client := range clients {
		err := d.publishWill(client)
		switch {
		case err == nil:
		case errors.Is(err, spool.ErrFull):
			d.mu.Lock()
			d.wills.add(client, uint32(willRetry/time.Second), now)
			d.mu.Unlock()
			next = earlier(next, now.Add(willRetry))
		default:
			d.lostWill(client, err)
		}
	}
	return next
}

func (d *Door) lostWill(client string, err error) {
	d.counts.willsLost.Add(1)
	d.Log.Warn("will of the mqtt client cannot be published", "client", client, "err", err)
}

// findWills takes over the wills that waited when the power went.
func (d *Door) findWills(now time.Time) {
	for _, q := range d.Broker.Status().Queues {
		client, ok := strings.CutPrefix(q.Name, willPrefix)
		if !ok || q.VHost != d.VHost {
			continue
		}
		if _, err := d.holds(q.Name, isWill); err != nil {
			d.Log.Warn("queue has the name of a will and is left alone", "queue", q.Name, "err", err)
			continue
		}
		waiting, _, ok, err := d.keeping.Get(q.Name, false)
		if err != nil || !ok {
			d.wills.add(client, 0, now)
			continue
		}
		v, _ := waiting.Msg.Props.Header(headerWillDelay)
		seconds, _ := amqp.Int(v)
		left := time.Duration(seconds)*time.Second - d.age(waiting.Msg.Stamp)
		d.wills.add(client, uint32(max(0, left/time.Second)), now)
		if err := d.keeping.Settle([]broker.Settlement{{Tag: waiting.Tag, Outcome: broker.Returned}}); err != nil {
			d.Log.Error("waiting will cannot be put back", "client", client, "err", err)
		}
	}
}

// earlier is the first of two moments; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
