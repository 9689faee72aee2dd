package mqtt

import (
	"time"
)

// Who writes. A round of writing is made by whoever has the turn: mostly the
// writer's goroutine, but answers that may go out at once are written by the
// reader that owes them, without waking anybody. It does not wait for the
// client: what the socket does not take at once is left to the goroutine, and so
// is everything that may take long.
//
// That goroutine begins when there is something to do and ends when there was
// nothing for a while, because most clients of a gateway are idle, and its stack
// is half of what one costs.
const (
	stageClosed int32 = iota // the client is not let in yet, or its connection is over
	stageAway                // nothing to do
	stageHere                // the goroutine is there
)

// writerLinger is how long the goroutine waits for more to do.
const writerLinger = time.Second

// listen opens the writer's side: the client is let in.
func (c *conn) listen() {
	c.over.Add(1)
	c.stage.Store(stageAway)
	select {
	case <-c.ended: // before there was a writer to hear of it
		c.poke()
	default:
	}
}

// poke has the writer's goroutine look. Anybody may call it.
func (c *conn) poke() {
	signal(c.wake)
	if c.stage.Load() == stageAway && c.stage.CompareAndSwap(stageAway, stageHere) {
		go c.write()
	}
}

// deliverable is the core's wake function, called with its lock held.
func (c *conn) deliverable() {
	c.outbox.Store(true)
	c.poke()
}

// speak writes what the reader owes, as far as it can be written now.
func (c *conn) speak() {
	c.due = false
	w := &c.out
	if !c.source.Direct() || c.outbox.Load() || !w.turn.TryLock() {
		c.poke()
		return
	}
	defer w.turn.Unlock()
	if w.behind() {
		c.poke()
		return
	}
	w.direct = true
	moved, err := w.round()
	w.direct = false
	switch {
	case err != nil:
		c.end(endingOf(err))
	case moved != nil || w.behind():
		c.poke()
	}
}

// behind reports that there is more to write than answers, or some that the
// socket did not take.
func (w *writer) behind() bool {
	r := &w.retained
	return len(w.buf)+len(w.held)+len(w.deliveries)+len(r.found)+len(r.filters) > 0 || w.sysDue.Load()
}
