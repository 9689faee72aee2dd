package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// PauseQueue stops a queue from giving messages to anybody, or lets it go on.
// It takes messages all the while, and what consumers have they may settle. The
// pause of a durable queue outlives a restart; the LSN says when it will.
func (b *Broker) PauseQueue(vhost, name string, paused bool) (spool.LSN, error) {
	v, err := b.vhost(vhost)
	if err != nil {
		return 0, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.queues[name]
	if q == nil || q.isReply() {
		return 0, amqp.Errorf(amqp.NotFound, "no %s", v.named("queue", name))
	}
	if q.paused == paused {
		return 0, nil
	}
	q.paused = paused
	if q.durable() {
		v.batch.Puts = append(v.batch.Puts, q.put())
	}
	v.touchLocked(q)
	return v.finishLocked(), nil
}

// stopped reports whether a queue delivers nothing for now.
func (q *queue) stopped() bool { return q.paused || len(q.resting) >= restingMax }
