package broker

import (
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// Reasons of a death, as x-death names them.
const (
	reasonRejected = "rejected"
	reasonExpired  = "expired"
	reasonMaxLen   = "maxlen"
	reasonLimit    = "delivery_limit"
)

// deadLetterLocked: a message that was taken out of q dies. When the queue has a
// dead letter exchange it goes there, in the same batch in which it leaves: it
// is never lost between and never in both.
func (v *VHost) deadLetterLocked(q *queue, l *lane, e entry, reason string) {
	v.goneLocked(l.id, e)
	q.out++
	v.buryLocked(q, e.msg, reason)
	v.batch.Moves = true
}

// buryLocked publishes a dead message to the queue's dead letter exchange; a
// missing one drops it (RabbitMQ's rule).
func (v *VHost) buryLocked(q *queue, m *amqp.Message, reason string) {
	if !q.args.deadLettering {
		return
	}
	x := v.exchanges[q.args.deadExchange]
	if x == nil {
		return
	}
	deaths := deathsOf(m.Props)
	dead := v.deadMessage(q, m, deaths, reason)
	v.b.counts.deadLettered.Add(1)
	targets := v.gravesLocked(x, dead)
	if round := func(t target) bool { return circle(deaths, t.queue.name, reason) }; slices.ContainsFunc(targets, round) {
		targets = slices.DeleteFunc(slices.Clone(targets), round)
	}
	v.deliverToLocked(dead, targets)
}

// gravesLocked finds the queues that a dead message goes to. It is nobody's way to
// put something into a reserved queue by its name.
func (v *VHost) gravesLocked(x *exchange, dead *amqp.Message) []target {
	targets := v.routeMessageLocked(x, dead)
	if x.Name != "" {
		return targets
	}
	return slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return hasReservedName(t.queue.name) })
}

// circle reports whether a message would go round for ever: it died in that
// queue before, and since then nobody rejected it. Deaths stand newest first;
// older rejections, and what a client made up, do not count.
func circle(deaths amqp.Array, queue, reason string) bool {
	if reason == reasonRejected {
		return false
	}
	for _, d := range deaths {
		t, _ := d.(amqp.Table)
		if why, _ := t.Get("reason"); why == reasonRejected {
			return false
		}
		if name, _ := t.Get("queue"); name == queue {
			return true
		}
	}
	return false
}

// deathsOf is the x-death header: one table for each queue and reason, the
// newest first.
func deathsOf(p amqp.Properties) amqp.Array {
	v, _ := p.Header("x-death")
	a, _ := v.(amqp.Array)
	return a
}

// deadMessage is the message as it goes to the dead letter exchange: without
// its expiration, and with one more death in its headers.
func (v *VHost) deadMessage(q *queue, m *amqp.Message, deaths amqp.Array, reason string) *amqp.Message {
	list := m.Props.List()
	key := m.Key
	if q.args.deadKeyGiven {
		key = q.args.deadKey
		list.Headers = list.Headers.Without("CC")
	}
	death := amqp.Table{
		{Key: "count", Value: int64(1)},
		{Key: "reason", Value: reason},
		{Key: "queue", Value: q.name},
		{Key: "time", Value: v.b.wallNow()},
		{Key: "exchange", Value: m.Exchange},
		{Key: "routing-keys", Value: routingKeys(m)},
	}
	if list.Flags&amqp.HasExpiration != 0 {
		death = append(death, amqp.Field{Key: "original-expiration", Value: list.Expiration})
		list.Expiration, list.Flags = "", list.Flags&^amqp.HasExpiration
	}
	h := list.Headers.With("x-death", withDeath(deaths, death))
	if _, ok := h.Get("x-first-death-queue"); !ok {
		h = h.With("x-first-death-exchange", m.Exchange).
			With("x-first-death-queue", q.name).
			With("x-first-death-reason", reason)
	}
	list.Headers = h.With("x-last-death-exchange", m.Exchange).
		With("x-last-death-queue", q.name).
		With("x-last-death-reason", reason)
	list.Flags |= amqp.HasHeaders
	return &amqp.Message{
		Exchange: q.args.deadExchange, Key: key, Props: list.Encode(), Body: m.Body,
		Stamp: amqp.Stamp{Boot: v.b.boots.current, At: v.b.now()},
	}
}

func routingKeys(m *amqp.Message) amqp.Array {
	keys := amqp.Array{m.Key}
	if cc, ok := m.Props.Header("CC"); ok {
		more, _ := cc.(amqp.Array)
		keys = append(keys, more...)
	}
	return keys
}

// withDeath puts a death in front; one of the same queue and reason that is
// there already is counted up and moved there, with its first time.
func withDeath(deaths amqp.Array, death amqp.Table) amqp.Array {
	queue, _ := death.Get("queue")
	reason, _ := death.Get("reason")
	deaths = slices.Clone(deaths)
	for i, d := range deaths {
		old, _ := d.(amqp.Table)
		oldQueue, _ := old.Get("queue")
		oldReason, _ := old.Get("reason")
		if oldQueue == queue && oldReason == reason {
			count, _ := old.Get("count")
			n, _ := amqp.Int(count)
			deaths = slices.Delete(deaths, i, i+1)
			death = old.With("count", n+1)
			break
		}
	}
	return append(amqp.Array{death}, deaths...)
}

// dests appends to a list of destinations whose memory the log keeps; lists of
// one, which most are, are cut from a slab.
func (v *VHost) dests(to []spool.Dest, q spool.QueueID, pos spool.Pos) []spool.Dest {
	if to != nil {
		return append(to, spool.Dest{Queue: q, Pos: pos})
	}
	if len(v.slab) == 0 {
		v.slab = make([]spool.Dest, 128)
	}
	one := v.slab[:1:1]
	v.slab = v.slab[1:]
	one[0] = spool.Dest{Queue: q, Pos: pos}
	return one
}
