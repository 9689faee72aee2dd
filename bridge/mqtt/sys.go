package mqtt

import (
	"context"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"leveret/amqp"
)

// The $SYS tree tells clients how the broker is, under the names that Mosquitto
// gave it. Its values never were messages: they go to who subscribed, with the
// retain flag at once and without it every sysEvery, and to nobody else; no
// queue of another protocol that asks for everything has them, and nothing is
// stored. While nobody asks, nothing is counted up.
const sysEvery = 10 * time.Second

const sysPrefix = "$SYS/"

// sysValue is one value of the tree.
type sysValue struct{ topic, payload string }

// aboutSys reports whether a filter can match the tree: a wildcard at the start
// does not [MQTT-4.7.2-1].
func aboutSys(filter string) bool { return strings.HasPrefix(filter, sysPrefix) }

// sysTree collects the values of this moment.
func (d *Door) sysTree() []sysValue {
	core, own := d.Broker.Status(), d.Stats()
	d.mu.Lock()
	connected, most, shares := len(d.clients), d.clientsMost, len(d.shares)
	d.mu.Unlock()
	sessions, waiting := 0, 0
	for _, q := range core.Queues {
		waiting += q.Ready
		if _, ok := clientOf(q.Name); ok && q.VHost == d.VHost && q.Durable && !q.Exclusive && q.Consumers == 0 {
			sessions++
		}
	}
	number := func(n int) string { return strconv.Itoa(n) }
	count := func(n uint64) string { return strconv.FormatUint(n, 10) }
	values := []sysValue{
		{"version", "leveret version " + d.Version},
		{"uptime", strconv.FormatInt(int64(time.Since(d.started)/time.Second), 10) + " seconds"},
		{"clients/connected", number(connected)},
		{"clients/disconnected", number(sessions)},
		{"clients/total", number(connected + sessions)},
		{"clients/maximum", number(most)},
		{"clients/expired", count(own.SessionsExpired)},
		{"publish/messages/received", count(sum(own.Received))},
		{"publish/messages/sent", count(sum(own.Sent))},
		{"publish/messages/dropped", count(own.Rejected + own.Expired + own.TooLarge)},
		{"retained messages/count", number(core.Retained)},
		{"subscriptions/count", number(core.Bindings)},
		{"shared_subscriptions/count", number(shares)},
		{"store/messages/count", number(waiting)},
		{"heap/current", count(heapBytes())},
		{"leveret/publish/throttled", count(own.Throttled)},
		{"leveret/wills/lost", count(own.WillsLost)},
		{"leveret/connections/refused", count(own.Refused)},
	}
	for i := range values {
		values[i].topic = sysPrefix + "broker/" + values[i].topic
	}
	return values
}

func sum(byQoS [3]uint64) uint64 { return byQoS[0] + byQoS[1] + byQoS[2] }

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// setSubscriptions is how all changes of a session's subscriptions become known.
func (c *conn) setSubscriptions(subs *subscriptions) {
	c.subs.Store(subs)
	for i := range subs.list {
		if aboutSys(subs.list[i].filter) {
			c.door.watch(c, true)
			return
		}
	}
	c.door.watch(c, false)
}

// watch keeps account of who is told of the tree.
func (d *Door) watch(c *conn, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !on {
		delete(d.watchers, c)
		return
	}
	d.watchers[c] = struct{}{}
	signal(d.watched)
}

// tellSys has the watchers told. It has a timer only while there are any.
func (d *Door) tellSys(ctx context.Context) {
	for {
		select {
		case <-d.watched:
		case <-ctx.Done():
			return
		}
		tick := time.NewTicker(sysEvery)
		for some := true; some; {
			select {
			case <-tick.C:
				some = d.tellWatchers()
			case <-ctx.Done():
				some = false
			}
		}
		tick.Stop()
	}
}

// tellWatchers reports whether there are any.
func (d *Door) tellWatchers() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.watchers {
		c.sysDue.Store(true)
		c.poke()
	}
	return len(d.watchers) > 0
}

// sysRound is the tree as it was at a time, for all who are told about then.
type sysRound struct {
	at     time.Time
	values []sysValue
}

const sysAgeMax = time.Second

func (d *Door) sysNow() []sysValue {
	now := time.Now()
	if r := d.sys.Load(); r != nil && now.Sub(r.at) < sysAgeMax {
		return r.values
	}
	r := &sysRound{at: now, values: d.sysTree()}
	d.sys.Store(r)
	return r.values
}

// sendSys tells the client what it is subscribed to of the tree, or, when it
// has just subscribed to a filter, what that matches.
func (w *writer) sendSys(filter string) error {
	subs := w.subs.Load()
	if filter != "" {
		s := subs.find(filter)
		if s == nil {
			return nil
		}
		subs = &subscriptions{list: []subscription{*s}}
	}
	for _, v := range w.door.sysNow() {
		g := subs.address(v.topic).others
		if g.subscriptions == 0 || w.may != nil && !w.may.MayReceive(v.topic) {
			continue
		}
		out := outgoing{msg: &amqp.Message{Body: []byte(v.payload)}, topic: v.topic, retain: filter != "", ids: g.ids}
		if _, err := w.append(&out); err != nil {
			return err
		}
	}
	return nil
}
