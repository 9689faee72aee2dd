package server091

import (
	"time"

	"leveret/amqp/wire091"
	"leveret/spool"
)

const (
	// blockedAfter is how long publishers are held back before they are told.
	blockedAfter = 100 * time.Millisecond
	// refusedRetry is when a batch that did not fit is tried again although
	// the log sees room, which may be too little for it.
	refusedRetry = 50 * time.Millisecond
)

// awaitRoom waits while the log wants no more messages; refused says that it
// has not taken the last one. Nothing is read meanwhile, so the peer's silence
// does not count against it. Who only waits is told after a while, who was
// refused at once. It fails when the connection ends first.
func (c *conn) awaitRoom(refused bool) error {
	log := c.s.o.Broker.Log()
	room := log.Room()
	if room == nil && !refused {
		c.tellUnblocked()
		return nil
	}
	c.out.nudge()
	c.in.paused.Store(true)
	defer c.in.paused.Store(false)
	patience := blockedAfter
	if refused {
		c.tellBlocked("low on disk")
		patience = refusedRetry
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-room:
			if room = log.Room(); room == nil && !refused {
				c.tellUnblocked()
				return nil
			}
			if room == nil {
				return nil // and try again
			}
		case <-timer.C:
			if refused && room == nil {
				return nil
			}
			c.tellBlocked(whyNoRoom(log))
		case <-c.out.ended:
			return errEnding
		case <-c.out.over:
			return errEnding
		}
	}
}

// awaitMemory waits only while memory is low: before a body grows and before
// messages go to the core. What is held back for the disk's sake has its place
// already; this has not, and all publishers together must not bring one more each.
func (c *conn) awaitMemory() error {
	if r, ok := c.s.o.Broker.Log().(reasoned); !ok || r.NoRoom() == "" {
		return nil
	}
	return c.awaitRoom(false)
}

// reasoned is what a log may also be: one that says why there is no room if it is
// not for the disk's sake.
type reasoned interface{ NoRoom() string }

func whyNoRoom(log spool.Log) string {
	if r, ok := log.(reasoned); ok {
		if why := r.NoRoom(); why != "" {
			return why
		}
	}
	return "the disk is slow"
}

// tellBlocked sends connection.blocked, once, to a client that knows it. It
// does not stand in line: what is before it there waits for the disk.
func (c *conn) tellBlocked(reason string) {
	if c.blocked.Load() {
		return
	}
	c.blocked.Store(true)
	if c.client.connectionBlocked {
		c.out.urge(&wire091.ConnectionBlocked{Reason: reason})
	}
}

func (c *conn) tellUnblocked() {
	if !c.blocked.Load() {
		return
	}
	c.blocked.Store(false)
	if c.client.connectionBlocked {
		c.out.urge(&wire091.ConnectionUnblocked{})
	}
}
