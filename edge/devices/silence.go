package devices

import (
	"time"

	"leveret/amqp"
)

// grain is how exactly a silence is noticed: devices that are due within it are
// looked at together.
func grain(after time.Duration) amqp.Instant {
	return amqp.Instant(min(max(after/60, time.Second), time.Minute))
}

// judgeLocked finds out whether a device is silent, as far as is known of its
// messages, and has it looked at again when it may be. A device is back with a
// message and nothing less: a connection says little of a sensor.
func (r *Registry) judgeLocked(e *entry) {
	e.SilentAfter = r.rules.after(&e.Device)
	switch {
	case e.Silent && e.SilentAfter == 0:
		r.setSilentLocked(e, false)
	case e.Silent && before(e.SilentSince, e.LastMessage):
		r.setSilentLocked(e, false)
		r.tellLocked(e, Back, e.LastMessage)
	}
	if e.Silent || e.SilentAfter == 0 {
		return
	}
	now := r.nowLocked()
	if due := r.dueLocked(e); due > now.At {
		r.lookBy(due + grain(e.SilentAfter))
		return
	}
	for _, c := range e.conns {
		c.Listen()
	}
	since := e.LastMessage
	if e.refresh(); e.LastMessage != since { // it came in this moment
		r.judgeLocked(e)
		return
	}
	r.setSilentLocked(e, true)
	r.tellLocked(e, Silent, now)
}

// dueLocked is when a device will be silent if nothing comes.
func (r *Registry) dueLocked(e *entry) amqp.Instant {
	boot, from := r.core.Boot(), r.since
	for _, sign := range []amqp.Stamp{e.LastMessage, e.First} {
		if sign.Boot == boot {
			from = max(from, sign.At)
		}
	}
	return from + amqp.Instant(e.SilentAfter)
}

// Pardon has the silences of all devices counted from now on: until now they
// could not be heard.
func (r *Registry) Pardon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = r.o.Now()
}

func (r *Registry) setSilentLocked(e *entry, silent bool) {
	e.Silent, e.changed = silent, true
	if silent {
		if e.SilentSince = e.First; e.published() {
			e.SilentSince = e.LastMessage
		}
		r.silent++
	} else {
		r.silent--
	}
	r.saveWithin(saveSoon)
}

// lookBy has the devices looked at by then.
func (r *Registry) lookBy(at amqp.Instant) {
	if r.lookAt == 0 || at < r.lookAt {
		r.lookAt = at
		r.o.Alarm(at)
	}
}

// lookLocked looks at all devices that may have fallen silent.
func (r *Registry) lookLocked() {
	r.lookAt = 0
	now := r.o.Now()
	if r.o.Deaf() {
		r.since = now
	}
	for _, e := range r.known {
		if e.Silent || e.SilentAfter == 0 {
			continue
		}
		if r.dueLocked(e) <= now {
			e.refresh()
		}
		r.judgeLocked(e)
	}
}

// Configure puts other rules in force. A silence that they do not know is over
// without a word.
func (r *Registry) Configure(rules Rules) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = rules
	for len(r.known) > max(rules.Max, 0) && r.away.Len() > 0 {
		r.counts.Forgotten++
		r.removeLocked(r.away.Front().Value.(*entry))
	}
	now := r.o.Now()
	for _, e := range r.known {
		e.refresh()
		e.SilentAfter = rules.after(&e.Device)
		if e.Silent && e.SilentSince.Boot == r.core.Boot() && e.SilentSince.At+amqp.Instant(e.SilentAfter) > now {
			r.setSilentLocked(e, false)
		}
		r.judgeLocked(e)
	}
}
