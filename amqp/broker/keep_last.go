package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// A queue with x-overflow "keep-last" keeps the newest message of each routing
// key: when one comes, the older one goes unless somebody has it, whether the
// queue is full or not. A gateway that was offline then tells the state of each
// thing and not its story. What is superseded is not dead-lettered: it is not
// lost, but out of date. Beyond a length limit the oldest go, as with drop-head.

// latest is where the newest message of each routing key stands in a keep-last
// queue.
type latest map[string]place

type place struct {
	lane *lane
	pos  spool.Pos
	size int
}

// latestMax bounds the keys of a queue; the values of further ones stay as in
// any queue.
const latestMax = 100_000

// supersede: a message has entered a keep-last queue; the older one of its
// key goes if nobody has it yet.
func (q *queue) supersede(l *lane, e entry) {
	if q.latest == nil || q.count == 1 { // it is alone: what was known is gone
		q.latest = make(latest)
	}
	old, known := q.latest[e.msg.Key]
	if known || len(q.latest) < latestMax {
		q.latest[e.msg.Key] = place{l, e.pos, len(e.msg.Body)}
	}
	if known {
		q.discard(old)
	}
}

// discard drops a message that is out of date, unless somebody has it.
func (q *queue) discard(p place) {
	l := p.lane
	if q.v.withdrawLocked(l, p.pos, "") || l.cold == 0 || p.pos < l.coldFrom {
		return
	}
	l.cold--
	if l.filling { // the read under way may have it
		l.discarded = append(l.discarded, p.pos)
	}
	q.count--
	q.bytes -= int64(p.size)
	q.out++
	q.v.batch.Leaves = append(q.v.batch.Leaves, spool.Leave{Queue: l.id, Pos: p.pos, Size: p.size})
}

// relearnLocked finds the keys of what is there already: an earlier start has
// left it, or a policy has made a keep-last queue of another. The ticker calls
// it.
func (v *VHost) relearnLocked(q *queue) {
	q.relearn = false
	for _, l := range q.lanes {
		for i := 0; i < l.ready.len(); {
			e := *l.ready.at(i)
			n := l.ready.len()
			if q.learn(l, e.pos, e.msg); l.ready.len() == n {
				i++
			}
		}
		for from := l.coldFrom; l.cold > 0 && len(q.latest) < latestMax && !q.deleted; {
			items, ok := v.readColdLocked(l, max(from, l.coldFrom), thinStretch)
			if !ok {
				continue // something was taken out meanwhile: once more
			}
			if len(items) == 0 {
				break
			}
			for i := range items {
				if msg, err := thaw(&items[i], new(names)); err == nil {
					q.learn(l, items[i].Pos, msg)
				}
				from = items[i].Pos + 1
			}
			v.finishLocked()
		}
	}
	v.touchLocked(q)
}

// learn notes a message that is there already; of two of one key in a lane the
// older one goes.
func (q *queue) learn(l *lane, pos spool.Pos, m *amqp.Message) {
	if q.latest == nil {
		q.latest = make(latest)
	}
	this := place{l, pos, len(m.Body)}
	switch old, known := q.latest[m.Key]; {
	case !known:
		q.latest[m.Key] = this
	case old.lane == l && old.pos < pos:
		q.latest[m.Key] = this
		q.discard(old)
	case old.lane == l && old.pos > pos:
		q.discard(this)
	}
}
