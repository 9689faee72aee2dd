package devices

import (
	"errors"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
)

// retryAfter is when what the spool had no room for is tried again.
const retryAfter = amqp.Instant(5 * time.Second)

// Tick does what time demands: it looks for devices that have fallen silent or
// are back, publishes what happened and saves what changed. It returns when it
// wants to be called next; 0 is never. One goroutine calls it.
func (r *Registry) Tick() amqp.Instant {
	heard := r.takeHeard()
	r.mu.Lock()
	for _, c := range heard {
		if e := r.peers[c]; e != nil {
			e.refresh()
			r.judgeLocked(e)
		}
	}
	now := r.o.Now()
	if r.lookAt != 0 && r.lookAt <= now {
		r.lookLocked()
	}
	var notes []broker.Note
	if r.saveAt != 0 && r.saveAt <= now {
		notes = r.notesLocked()
	}
	events := r.told
	r.told = nil
	r.mu.Unlock()

	left := r.publish(events)
	r.keep(notes)

	r.mu.Lock()
	defer r.mu.Unlock()
	if len(left) > 0 {
		r.told = append(left, r.told...)
	} else {
		r.keep(r.settledLocked()) // after they were published: twice is better than never
	}
	next := earlier(r.lookAt, r.saveAt)
	if len(left) > 0 {
		next = earlier(next, r.o.Now()+retryAfter)
	}
	return next
}

// earlier is the first of two times, of which 0 is never.
func earlier(a, b amqp.Instant) amqp.Instant {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Stop writes everything that has changed, and the events that could not be
// published: those that the doors' closing has made, and those for which the spool
// had no room. It is the last thing before the spool is closed.
func (r *Registry) Stop() error {
	r.mu.Lock()
	notes := append(r.notesLocked(), r.owedLocked()...)
	r.mu.Unlock()
	_, err := r.core.KeepNotes(notes)
	return err
}

// Save writes everything that has changed. The LSN says when it is on the disk.
func (r *Registry) Save() (spool.LSN, error) {
	r.mu.Lock()
	notes := r.notesLocked()
	r.mu.Unlock()
	return r.core.KeepNotes(notes)
}

// keep writes notes in passing. Definitions are never refused for want of room; a log that
// has failed tells everybody by itself.
func (r *Registry) keep(notes []broker.Note) {
	if len(notes) == 0 {
		return
	}
	if _, err := r.core.KeepNotes(notes); err != nil && !errors.Is(err, spool.ErrFailed) {
		r.o.Log.Warn("devices were not saved", "err", err)
	}
}
