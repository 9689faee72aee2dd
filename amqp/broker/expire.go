package broker

import (
	"strconv"
	"time"

	"leveret/amqp"
)

// deadlineOf is when a message of a queue expires: the smaller of the queue's
// x-message-ttl and its own expiration, counted from when it came in. 0 is
// never.
func (b *Broker) deadlineOf(q *queue, m *amqp.Message) amqp.Instant {
	ttl := q.args.ttl
	if m.Props.Has(amqp.HasExpiration) {
		if own, err := strconv.ParseInt(m.Props.Expiration(), 10, 64); err == nil && own >= 0 && (ttl < 0 || own < ttl) {
			ttl = own
		}
	}
	if ttl < 0 {
		return 0
	}
	return b.after(m.Stamp, ttl)
}

// after is the moment so many milliseconds after a message came in, in this
// boot's time; never 0.
//
// A message of an earlier start has waited for as long as the wall clock says,
// when it was right in both starts; else the time between does not count: it
// may have been a minute without power or a month (nothing expires for a guess).
func (b *Broker) after(s amqp.Stamp, ms int64) amqp.Instant {
	at := s.At
	if s.Boot != b.boots.current {
		at = 0
		then, known := b.WallTime(s)
		if base, sure := b.WallTime(amqp.Stamp{Boot: b.boots.current}); known && sure && then.Before(base) {
			at = -amqp.Instant(base.Sub(then))
		}
	}
	return max(at+amqp.Instant(time.Duration(min(ms, numberMax))*time.Millisecond), 1)
}

// checkExpiration refuses an expiration property that is no number.
func checkExpiration(p amqp.Properties) error {
	if !p.Has(amqp.HasExpiration) {
		return nil
	}
	text := p.Expiration()
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return amqp.Errorf(amqp.PreconditionFailed, "invalid expiration '%s': no_integer", text)
	case n < 0:
		return amqp.Errorf(amqp.PreconditionFailed, "invalid expiration '%s': {value_negative,%d}", text, n)
	}
	return nil
}

// expire drops heads whose time is over. A message whose time ends this very
// moment still goes to a consumer that is ready, so that a TTL of 0 means "now
// or never"; alone says that there is none.
func (q *queue) expire(l *lane, alone bool) {
	for {
		e := l.head()
		if e == nil || e.deadline == 0 {
			return
		}
		if now := q.v.b.now(); e.deadline > now || e.deadline == now && !alone {
			return
		}
		q.v.b.counts.expired.Add(1)
		q.v.deadLetterLocked(q, l, q.take(l), reasonExpired)
		q.v.cutLocked()
	}
}

// arm has the ticker look at the queue when its next message expires, or it
// itself does. What waits still was for nobody: heads whose time is over go now,
// in every lane. A deadline behind a cold head cannot be seen: it is read first.
func (q *queue) arm() {
	var at amqp.Instant
	soonest := func(t amqp.Instant) {
		if at == 0 || t < at {
			at = t
		}
	}
	for _, l := range q.lanes {
		q.expire(l, true)
		if e := l.head(); e != nil && e.deadline != 0 {
			soonest(e.deadline)
		} else if e == nil && l.cold > 0 && l.coldMortal && !l.filling {
			q.v.askForCold(l)
		}
	}
	if len(q.resting) > 0 {
		soonest(q.resting[0].due)
	}
	if q.review > 0 {
		soonest(q.review)
	}
	if q.args.expires > 0 && len(q.consumers) == 0 {
		soonest(q.lastUsed + amqp.Instant(time.Duration(q.args.expires)*time.Millisecond))
	}
	q.alarm = at
	if at != 0 {
		q.v.b.alarm(at)
	}
}

// askForCold has the ticker read cold messages that nobody consumes but that
// must be looked at.
func (v *VHost) askForCold(l *lane) {
	v.unread = append(v.unread, l)
	v.b.alarm(v.b.now())
}

// Tick does what time demands: messages and queues expire, and cold messages
// that are in question are read. It returns when it wants to be called next; 0
// is never. It may wait for the disk.
func (b *Broker) Tick() amqp.Instant {
	b.mu.Lock()
	vhosts := make([]*VHost, 0, len(b.vhosts))
	for _, v := range b.vhosts {
		vhosts = append(vhosts, v)
	}
	b.mu.Unlock()
	var next amqp.Instant
	for _, v := range vhosts {
		if at := v.tick(); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// readForLocked reads cold messages that the queue must look at.
func (v *VHost) readForLocked(l *lane) {
	switch q := l.q; {
	case l.filling || q.deleted:
	case q.relearn:
		v.relearnLocked(q)
	case l.cold > 0 && q.args.overflow == thin && q.tooMany(0, 0):
		v.thinColdLocked(l)
	default:
		v.refillLocked(l)
	}
}

func (v *VHost) tick() (next amqp.Instant) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.b.now()
	later := v.readAllLocked(now)
	next = v.releaseAllLocked()
	for _, q := range v.queues {
		if q.alarm == 0 || q.alarm > now {
			continue
		}
		if q.args.expires > 0 && len(q.consumers) == 0 && now >= q.lastUsed+amqp.Instant(time.Duration(q.args.expires)*time.Millisecond) {
			v.deleteQueueLocked(q)
			continue
		}
		if q.review > 0 && q.review <= now {
			v.overdueLocked(q)
		}
		v.touchLocked(q)
	}
	v.finishLocked()
	for _, q := range v.queues {
		if q.alarm != 0 && (next == 0 || q.alarm < next) {
			next = q.alarm
		}
	}
	for _, at := range []amqp.Instant{later, v.unreadAt(now)} {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// readsMax bounds the stretches of cold messages that one call reads: however
// much there is to do, others have their turn in between.
const readsMax = 64

// readAllLocked reads for the lanes that ask for it. Where the last read has
// failed it says when to try again.
func (v *VHost) readAllLocked(now amqp.Instant) (later amqp.Instant) {
	for n := 0; n < readsMax && len(v.unread) > 0; n++ {
		l := v.unread[0]
		v.unread = v.unread[1:]
		if l.readAfter > now {
			v.unread = append(v.unread, l)
			if later == 0 || l.readAfter < later {
				later = l.readAfter
			}
			continue
		}
		v.readForLocked(l)
		v.finishLocked()
	}
	return later
}

// unreadAt is when the next lane wants to be read; 0 is never.
func (v *VHost) unreadAt(now amqp.Instant) amqp.Instant {
	for _, l := range v.unread {
		if l.readAfter <= now {
			return now
		}
	}
	return 0
}
