package shovel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leveret/bridge"
)

// crossing is one link's life: from the moment it is up until nothing that was
// sent on it can be settled any more. Its fields belong to Run's goroutine; the
// sender has only reader.Take, flight.launch and link.Send.
type crossing struct {
	*Shovel
	link   bridge.Link
	reader bridge.Reader
	flight *flight

	began   time.Time
	alive   time.Time   // last confirm, or when something left an empty window
	watch   *time.Timer // runs while messages are under way
	settled bool        // something was

	stop    context.CancelFunc // ends the sender
	sending chan error         // the sender's end; nil once it was received
	answers []bridge.Answer
	cause   error            // why the link is to end; nil while it is not
	over    <-chan time.Time // the end of waiting for answers then
}

// cross lives through a link and says why it ended.
func (s *Shovel) cross(ctx context.Context, link bridge.Link) error {
	reader, err := s.o.Source.Open(ctx, s.o.Messages)
	if err != nil {
		link.Close()
		return err
	}
	c := &crossing{
		Shovel: s, link: link, reader: reader,
		flight: newFlight(s.o.Messages, s.o.Bytes),
		began:  time.Now(), watch: time.NewTimer(time.Hour),
		sending: make(chan error, 1), answers: make([]bridge.Answer, 0, s.o.Messages),
	}
	c.watch.Stop()
	backlog, _ := s.o.Source.Backlog()
	s.arrive(link, c.flight, backlog)
	// The sender is stopped by leave, which lets what is under way finish.
	sendCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go func() { c.sending <- c.send(sendCtx) }()
	c.cause = c.tend(ctx)
	c.end()
	return c.cause
}

// send is the sender: it ends with ctx, with the source or with the link.
func (c *crossing) send(ctx context.Context) error {
	for {
		batch, err := c.reader.Take(ctx)
		if err != nil {
			return err
		}
		for i := range batch {
			m := &batch[i]
			if err := c.flight.launch(ctx, m); err != nil {
				return err
			}
			if m.Redelivered {
				mark(m)
				c.countResent()
			}
			if err := c.link.Send(m); err != nil {
				return err
			}
		}
	}
}

// tend reads answers, settles and keeps watch until the link has ended.
func (c *crossing) tend(ctx context.Context) error {
	stopped := ctx.Done()
	for !c.finished() {
		select {
		case a, ok := <-c.link.Answers():
			if !ok {
				return c.lost()
			}
			if err := c.answered(a); err != nil {
				return err
			}
		case <-c.flight.launched:
			c.alive = time.Now()
			c.watch.Reset(c.patience())
		case <-c.watch.C:
			if err := c.look(); err != nil {
				return err
			}
		case err := <-c.sending:
			c.sending = nil
			c.leave(err)
		case <-c.wake:
			if c.isPaused() {
				c.leave(errPaused)
			}
		case <-stopped:
			stopped = nil
			c.leave(ctx.Err())
		case <-c.over:
			return c.cause
		}
	}
	return c.cause
}

// leave begins the end of a working link: nothing more is sent, and what is
// under way is waited for.
func (c *crossing) leave(cause error) {
	if c.cause != nil {
		return
	}
	c.cause = cause // never nil: everything that ends a link has a reason
	c.stop()
	c.over = time.After(finishMax)
}

// finished reports whether a link that was to end has nothing left to do.
func (c *crossing) finished() bool {
	return c.cause != nil && c.sending == nil && c.flight.over()
}

// lost is why a link ended by itself.
func (c *crossing) lost() error {
	if err := c.link.Err(); err != nil {
		return err
	}
	return errors.New("the link was lost")
}

// answered takes in an answer and those that wait behind it.
func (c *crossing) answered(a bridge.Answer) error {
	c.answers = append(c.answers[:0], a)
	for len(c.answers) < cap(c.answers) {
		select {
		case a, ok := <-c.link.Answers():
			if ok {
				c.answers = append(c.answers, a)
				continue
			}
		default:
		}
		break
	}
	l, err := c.flight.land(c.answers)
	if err != nil {
		return err
	}
	if len(l.acks) > 0 {
		if err := c.reader.Settle(l.acks); err != nil {
			return err
		}
		c.progress()
	}
	if l.confirmed > 0 && c.flight.refusal() == nil {
		c.poison.freed(c.Shovel) // it has gone, or another one took its place
	}
	if caughtUp := c.count(c.answers, &l); c.cause == nil && (caughtUp || c.drained()) {
		c.become(Live, nil)
	}
	return c.refused()
}

// refused deals with the first message that was not taken, and with the next
// ones for as long as they are put aside.
func (c *crossing) refused() error {
	for r := c.flight.refusal(); r != nil && c.cause == nil; r = c.flight.refusal() {
		aside, err := c.putAside(r)
		if err != nil {
			return err
		}
		if !aside {
			c.leave(refusalError(r))
			return nil
		}
		l := c.flight.bury()
		if len(l.acks) > 0 {
			if err := c.reader.Settle(l.acks); err != nil {
				return err
			}
		}
		c.progress() // nothing is stuck
		if caughtUp := c.count(nil, &l); caughtUp || c.drained() {
			c.become(Live, nil)
		}
	}
	return nil
}

// progress notes that the far side confirmed something.
func (c *crossing) progress() {
	c.alive = time.Now()
	c.settled = true
	if n, _ := c.flight.load(); n == 0 {
		c.watch.Stop()
	}
}

// drained reports whether a draining link has nothing left to send although
// less than what waited was confirmed: the rest has expired or was purged.
func (c *crossing) drained() bool {
	if c.state() != Draining {
		return false
	}
	n, known := c.o.Source.Backlog()
	return known && n == 0
}

// patience is how long the far side may stay silent: StallAfter, and the time
// that a slow link needs for what is under way.
func (c *crossing) patience() time.Duration {
	_, bytes := c.flight.load()
	return c.o.StallAfter + time.Duration(bytes)*time.Second/slowestLink
}

// look is the watchdog. It rings at the earliest moment at which the link can
// be dead, and is wound up again when it is not.
func (c *crossing) look() error {
	if n, _ := c.flight.load(); n == 0 {
		return nil
	}
	if c.link.Held() != "" { // it lives, its heartbeats say, and has asked us to wait
		c.alive = time.Now()
	}
	patience := c.patience()
	if silent := time.Since(c.alive); silent < patience {
		c.watch.Reset(patience - silent)
		return nil
	}
	return fmt.Errorf("no confirm for %v", patience.Round(time.Second))
}

// end closes everything. The answers that came until then still count; what is
// not settled goes back to its place.
func (c *crossing) end() {
	c.depart()
	c.watch.Stop()
	c.stop()
	c.link.Close() // frees a sender that is stuck in Send
	if c.sending != nil {
		<-c.sending
	}
	for a := range c.link.Answers() {
		if c.answered(a) != nil {
			break
		}
	}
	c.reader.Close()
	lived := c.flight.refusal() == nil && time.Since(c.began) >= livedEnough
	if (c.settled || lived) && !errors.Is(c.cause, bridge.ErrUnwelcome) {
		c.backoff.Reset()
	}
}
