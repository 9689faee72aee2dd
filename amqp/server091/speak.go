package server091

import (
	"errors"
	"time"
)

// Who writes. A round of writing is made by whoever has the turn: mostly the
// writer's goroutine, but promises that can be given at once are given by the
// reader that made them, without waking anybody. It does not wait for the peer:
// what the socket does not take at once is left to the goroutine, and so are
// deliveries and large messages.
//
// That goroutine begins when there is something to do and ends when there was
// nothing for a while, because most connections of a gateway are idle, and its
// stack is a third of what one costs. Heartbeats begin it too.
const (
	stageClosed int32 = iota // in the handshake, or after the end
	stageAway                // nothing to do
	stageHere                // the goroutine is there
)

// writerLinger is how long the goroutine waits for more to do.
const writerLinger = time.Second

var errRest = errors.New("nothing to write for now")

// listen opens the writer after the handshake.
func (w *writer) listen() {
	if w.beat.interval > 0 { // before the goroutine may begin, which reads pulse
		w.pulse = time.AfterFunc(w.beat.tick(), func() {
			w.beats.Store(true)
			w.nudge()
		})
	}
	w.stage.Store(stageAway)
	if len(w.wake) > 0 {
		w.nudge()
	}
}

// nudge has the writer's goroutine look. Anybody may call it.
func (w *writer) nudge() {
	note(w.wake)
	if w.stage.Load() == stageAway && w.stage.CompareAndSwap(stageAway, stageHere) {
		go w.run()
	}
}

// rest ends the goroutine, with errRest, unless something has come up meanwhile.
// It gives back what only a busy connection has a use for.
func (w *writer) rest() error {
	if err := w.shed(); err != nil {
		return err
	}
	w.stage.Store(stageAway)
	if len(w.wake) > 0 && w.stage.CompareAndSwap(stageAway, stageHere) {
		return nil
	}
	return errRest
}

// shed lets go of memory. The core has the other half of taken, and gives it in
// exchange for nothing.
func (w *writer) shed() (err error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.taken != nil {
		w.taken = nil
		w.outbox.Store(true)
		if _, err = w.round(); w.watchesLog() {
			w.nudge() // and to wait for it
		}
		w.taken = nil
	}
	w.ready, w.starts, w.pack.cuts, w.pack.pieces = nil, nil, nil, nil
	return err
}

func (w *writer) watchesLog() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watches
}

// speak gives promises from the reader, as far as it can be done now.
func (c *conn) speak() {
	c.due = false
	w := c.out
	if !c.in.Direct() || w.ending.Load() || w.outbox.Load() || !w.turn.TryLock() {
		w.nudge()
		return
	}
	defer w.turn.Unlock()
	if w.behind() {
		w.nudge()
		return
	}
	w.direct = true
	moved, err := w.round()
	w.direct = false
	if err != nil || moved != nil || w.behind() {
		w.nudge()
	}
}

// behind reports that there is more to write than promises, or much, or some of
// it that the socket did not take.
func (w *writer) behind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pack.unsent)+len(w.cancelled)+w.lineBytes > 0 || w.final != nil
}
