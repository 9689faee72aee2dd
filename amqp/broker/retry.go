package broker

import (
	"cmp"
	"slices"
	"time"

	"leveret/amqp"
)

// A queue with x-delayed-retry-min lets a message that came back rest before it
// is delivered again: so long at first, twice as long after the second return,
// and on like this up to x-delayed-retry-max. A far side that is out of order is
// then not asked a thousand times a second.
//
// Resting messages are in memory. When restingMax of them are, the queue delivers
// nothing until the first may go: everything fails just now, and what stands
// behind would fail too. A start of the broker ends all rest.

// restingMax bounds the messages of a queue that rest; those that consumers
// have unsettled at that moment may come on top.
const restingMax = 1024

// resting is a message that came back and rests until due.
type resting struct {
	due   amqp.Instant
	lane  *lane
	entry entry
}

// retryDelay is how long a message rests after its n-th return.
func (a *queueArgs) retryDelay(n uint32) time.Duration {
	ms := a.retryMin * int64(n)
	if a.retryMax > 0 {
		ms = min(ms, a.retryMax)
	}
	return time.Duration(min(ms, numberMax)) * time.Millisecond
}

// rest puts a message aside that will be given back later.
func (q *queue) rest(l *lane, e entry) {
	r := resting{due: q.v.b.now() + amqp.Instant(q.args.retryDelay(e.attempts)), lane: l, entry: e}
	i, _ := slices.BinarySearchFunc(q.resting, r, func(a, b resting) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.entry.pos, b.entry.pos))
	})
	q.resting = slices.Insert(q.resting, i, r)
}

// rouse gives back what has rested for long enough.
func (q *queue) rouse() {
	n, now := 0, amqp.Instant(0)
	for n < len(q.resting) {
		if now == 0 {
			now = q.v.b.now()
		}
		r := &q.resting[n]
		if r.due > now {
			break
		}
		q.giveBack(r.lane, r.entry)
		n++
	}
	q.resting = slices.Delete(q.resting, 0, n)
}

// dropResting purges it.
func (q *queue) dropResting() int {
	n := len(q.resting)
	for _, r := range q.resting {
		q.v.goneLocked(r.lane.id, r.entry)
	}
	q.resting = nil
	return n
}
