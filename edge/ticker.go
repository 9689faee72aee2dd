package edge

import (
	"context"
	"sync"
	"time"

	"leveret/amqp"
)

// ticker calls the core when it asked to be called, but not again within
// tickPauseMin. While nothing is due there is no timer, so that an idle gateway
// sleeps.
type ticker struct {
	alarms *alarms
}

type alarms struct {
	mu   sync.Mutex // protects next
	next amqp.Instant
	set  bool
	note chan struct{} // holds a note when next came nearer
}

// tickPauseMin keeps a core that asks for a tick at once again and again from
// taking a whole processor; what is due then waits that long at most.
const tickPauseMin = time.Millisecond

func newTicker() ticker { return ticker{&alarms{note: make(chan struct{}, 1)}} }

// ask wants a tick at a time, or before.
func (t ticker) ask(at amqp.Instant) {
	a := t.alarms
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.set && a.next <= at {
		return
	}
	a.next, a.set = at, true
	select {
	case a.note <- struct{}{}:
	default:
	}
}

// due takes the alarm if its time has come, else says how long that will be; 0
// is never.
func (t ticker) due(now amqp.Instant) (is bool, in time.Duration) {
	a := t.alarms
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.set:
		return false, 0
	case a.next <= now:
		a.set = false
		return true, 0
	}
	return false, time.Duration(a.next - now)
}

func (t ticker) run(ctx context.Context, now func() amqp.Instant, tick func() amqp.Instant) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		is, in := t.due(now())
		if is {
			if next := tick(); next != 0 {
				t.ask(next)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(tickPauseMin):
			}
			continue
		}
		var later <-chan time.Time
		if in > 0 {
			timer.Reset(in)
			later = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-later:
		case <-t.alarms.note:
		}
	}
}
