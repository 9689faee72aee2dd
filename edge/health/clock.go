// Package health watches over the process and what it stands on: the clock,
// the readiness that systemd waits for, and the troubles that an operator must
// see. Its only goroutine is Clock.Run.
package health

import (
	"context"
	"time"

	"leveret/amqp"
)

// Clock is the time of this start: a base on the monotonic clock, and the best
// guess of what the wall clock was at that base. A board without a battery
// boots in the past; the guess is put right when the system's clock is.
type Clock struct {
	// Base is when this start was, as far as it is known now.
	Base time.Time
	// Synchronised tells whether Base can be trusted.
	Synchronised bool

	floor  time.Time
	start  time.Time // carries the monotonic reading
	wall   func() time.Time
	synced func() bool
}

// NewClock starts the clock. A wall clock before floor, the time the program
// was built, cannot be right, whatever the kernel says of it.
func NewClock(floor time.Time) *Clock {
	return newClock(floor, func() time.Time { return time.Now().Round(0) }, synchronised)
}

func newClock(floor time.Time, wall func() time.Time, synced func() bool) *Clock {
	c := &Clock{floor: floor, start: time.Now(), wall: wall, synced: synced}
	c.Base, c.Synchronised = c.read()
	return c
}

// read is what the wall clock was at the base, and whether that is sure.
func (c *Clock) read() (base time.Time, sure bool) {
	base = c.wall().Add(-time.Since(c.start))
	if base.Before(c.floor) {
		return c.floor, false
	}
	return base, c.synced()
}

// Now is how long ago the base was; it does not jump when the wall clock does.
func (c *Clock) Now() amqp.Instant { return amqp.Instant(time.Since(c.start)) }

const (
	clockEvery = 15 * time.Second
	clockSlack = 2 * time.Second // less is drift and adjustment, not a correction
)

// Run calls correct whenever the wall clock turns out to have been another
// than was thought, or becomes trustworthy. Each call tells what it was at the
// base. Once it is right and steady, nothing is written any more.
func (c *Clock) Run(ctx context.Context, correct func(base time.Time, synchronised bool)) error {
	base, known := c.Base, c.Synchronised
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		is, good := c.read()
		if good == known && is.Sub(base).Abs() < clockSlack || !good && known {
			continue
		}
		base, known = is, good
		correct(base, known)
	}
}
