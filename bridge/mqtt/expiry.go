package mqtt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
)

// expiries says when sessions whose clients are away end. Sessions that never
// do are not in it; the others are bounded by the core's limit of queues. It is
// protected by the door's mutex.
type expiries struct {
	due     map[string]time.Time // by client id
	changed chan struct{}        // 1 slot: there is an earlier end
}

func newExpiries() expiries {
	return expiries{due: make(map[string]time.Time), changed: make(chan struct{}, 1)}
}

func (e *expiries) add(client string, seconds uint32, now time.Time) {
	if seconds == expiryNever {
		return
	}
	e.due[client] = now.Add(time.Duration(seconds) * time.Second)
	signal(e.changed)
}

func (e *expiries) cancel(client string) { delete(e.due, client) }

// over takes out who is due and says when the next one is; zero is never.
func (e *expiries) over(now time.Time) (clients []string, next time.Time) {
	for client, at := range e.due {
		switch {
		case !at.After(now):
			clients = append(clients, client)
			delete(e.due, client)
		default:
			next = earlier(next, at)
		}
	}
	return clients, next
}

// expire sends wills and ends sessions when their time has come. It has a timer
// only while there is one to wait for.
func (d *Door) expire(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.away.changed:
		case <-ctx.Done():
			return
		}
		if next := earlier(d.sendWills(time.Now()), d.endSessions(time.Now())); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// endSessions holds the door's lock while it deletes: nobody takes a session up
// that is about to end.
func (d *Door) endSessions(now time.Time) (next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clients, next := d.away.over(now)
	for _, client := range clients {
		if _, err := d.endSessionLocked(client); err != nil {
			d.Log.Error("mqtt session cannot be ended", "client", client, "err", err)
			continue
		}
		d.counts.sessionsExpired.Add(1)
		d.Log.Info("mqtt session expired", "client", client)
	}
	return next
}

// The expiry of a session stands in the spool as a binding of its queue, since
// unlike a queue's arguments a binding may be exchanged for another. Its
// exchange is one that nothing is published to with such a key. The record is
// also what tells a session's queue from one of the same name that somebody
// else has made.
const (
	recordExchange = "amq.direct"
	argExpiry      = "x-mqtt-session-expiry"
	argOwner       = "x-mqtt-session-user"
)

// record is what stands in the spool of a session beside its subscriptions.
type record struct {
	expiry uint32 // seconds
	owner  string // see mayTake
}

func (r record) args() amqp.Table {
	args := amqp.Table{{Key: argExpiry, Value: int64(r.expiry)}}
	if r.owner != "" {
		args = append(args, amqp.Field{Key: argOwner, Value: r.owner})
	}
	return args
}

func recordOf(b broker.Binding) (r record, ok bool) {
	v, _ := b.Args.Get(argExpiry)
	n, ok := amqp.Int(v)
	if !ok || b.Source != recordExchange || n < 0 || n > expiryNever {
		return record{}, false
	}
	owner, _ := b.Args.Get(argOwner)
	r.expiry = uint32(n)
	r.owner, _ = owner.(string)
	return r, true
}

func isSession(b broker.Binding) bool {
	_, ok := recordOf(b)
	return ok
}

// holds says whether a queue of the door's own is there, which its record
// proves. A queue without is not ours to read or to delete.
func (d *Door) holds(queue string, record func(broker.Binding) bool) (bool, error) {
	bindings, err := d.keeper.Bindings(queue)
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.NotFound {
		return false, nil
	}
	if err != nil || slices.ContainsFunc(bindings, record) {
		return err == nil, err
	}
	return false, errForeign(queue)
}

func errForeign(queue string) error {
	return amqp.Errorf(amqp.AccessRefused, "queue '%s' was not made by the mqtt door", queue)
}

// recordExpiry brings the record of a session with a durable queue up to date.
// The new one comes before the old one goes: the session is never without.
func (c *conn) recordExpiry() (lsn spool.LSN) {
	now := record{c.expiry, c.owner}
	if c.recorded == now {
		return 0
	}
	queue, keeper := c.session.queue, c.door.keeper
	lsn, err := keeper.BindQueue(queue, recordExchange, queue, now.args())
	if err == nil {
		old := c.recorded
		c.recorded = now
		lsn, err = keeper.UnbindQueue(queue, recordExchange, queue, old.args())
	}
	if err != nil { // the session may be kept for longer than it should: no reason to refuse it
		c.log.Warn("expiry of the mqtt session cannot be recorded", "err", err)
	}
	return lsn
}

// findSessions counts the expiry of the sessions that the spool has from now:
// how long we were off is not known.
func (d *Door) findSessions(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.Broker.Status().Queues {
		client, ok := clientOf(q.Name)
		if !ok || q.VHost != d.VHost || !q.Durable || q.Exclusive {
			continue
		}
		bindings, err := d.keeper.Bindings(q.Name)
		if err == nil && !slices.ContainsFunc(bindings, isSession) {
			err = errForeign(q.Name)
		}
		if err != nil {
			d.Log.Warn("mqtt session cannot be looked at", "client", client, "err", err)
			continue
		}
		for _, b := range bindings {
			if r, ok := recordOf(b); ok {
				d.away.add(client, r.expiry, now)
			}
		}
		subs := d.subscriptionsOf(bindings)
		if err := d.reroute(q.Name, bindings, subs); err != nil {
			d.Log.Warn("mqtt subscriptions cannot follow the routes", "client", client, "err", err)
		}
		for _, s := range subs {
			if s.share != "" {
				d.shares[s.share]++
				d.rerouteShare(&s)
			}
		}
	}
	d.forgetSharesLocked()
}

// forgetSharesLocked deletes the queues of groups that had only members whose
// sessions ended with the power.
func (d *Door) forgetSharesLocked() {
	for _, q := range d.Broker.Status().Queues {
		if q.VHost != d.VHost || !strings.HasPrefix(q.Name, sharePrefix) || d.shares[q.Name] > 0 {
			continue
		}
		if _, err := d.holds(q.Name, isShare); err != nil {
			d.Log.Warn("queue has the name of a shared subscription and is left alone", "queue", q.Name, "err", err)
			continue
		}
		if _, _, err := d.keeper.DeleteQueue(q.Name, false, false); err != nil {
			d.Log.Error("mqtt shared subscription cannot be ended", "queue", q.Name, "err", err)
		}
	}
}
