package broker

import "fmt"

// PauseQueue stops a queue from giving messages to anybody, or lets it go on.
// It takes messages all the while, and what consumers have they may settle. A
// start of the broker ends the pause.
func (b *Broker) PauseQueue(vhost, name string, paused bool) error {
	v, err := b.vhost(vhost)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.queues[name]
	if q == nil {
		return fmt.Errorf("pause: no %s", v.named("queue", name))
	}
	q.paused = paused
	v.touchLocked(q)
	v.finishLocked()
	return nil
}

// stopped reports whether a queue delivers nothing for now.
func (q *queue) stopped() bool { return q.paused || len(q.resting) >= restingMax }
