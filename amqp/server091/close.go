package server091

import (
	"errors"
	"fmt"
	"io"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/spool"
)

// How long the end of a connection may take.
const (
	// promisesTimeout is for promises that wait for the disk when we close; a
	// peer that closes itself is waited for longer.
	promisesTimeout     = 2 * time.Second
	peerPromisesTimeout = 10 * time.Second
	// closeOkTimeout is for the answer to our connection.close.
	closeOkTimeout = 30 * time.Second
	// lingerTimeout is for a peer whose bytes make no sense any more, to read
	// why: a socket closed on unread bytes takes our last words with it.
	lingerTimeout = 2 * time.Second
	// shutdownTimeout is for everything, once we are told to stop.
	shutdownTimeout = 3 * time.Second
)

// Why a connection ended, for the log.
var (
	errEnding     = errors.New("closed by the broker") // by a refusal or from outside
	errPeerClosed = errors.New("closed by the client")
	errPeerLeft   = errors.New("the client closed the socket without a word")
	errMistake    = errors.New("a mistake of ours")
)

// refuse answers an error about a method: soft ones close the channel and
// nothing is returned, hard ones the connection. What was collected before
// the method is done first.
func (c *conn) refuse(channel uint16, at wire091.MethodID, err error) error {
	if err := c.flush(); err != nil {
		return err
	}
	refusal, ok := errors.AsType[*amqp.Error](err)
	ch := c.channels[channel]
	if !ok || refusal.Code.Hard() || channel == 0 {
		return c.shut(at, err)
	}
	if ch != nil {
		c.closeChannel(ch, at, refusal)
	}
	return nil
}

// shut closes the connection for an error and returns it. The state of the
// connection is gone at once.
func (c *conn) shut(at wire091.MethodID, err error) error {
	refusal, ok := errors.AsType[*amqp.Error](err)
	switch {
	case errors.Is(err, spool.ErrFailed):
		refusal = errSpoolFailed
	case !ok:
		c.log.Error("method failed", "method", at.String(), "err", err)
		refusal = amqp.Errorf(amqp.InternalError, "internal error")
	}
	c.core.Close()
	c.out.end(connectionClose(at, refusal), promisesTimeout)
	return fmt.Errorf("%w: %w", errEnding, err)
}

var errSpoolFailed = amqp.Errorf(amqp.InternalError, "the spool failed")

func connectionClose(at wire091.MethodID, e *amqp.Error) *wire091.ConnectionClose {
	return &wire091.ConnectionClose{
		ReplyCode: uint16(e.Code), ReplyText: e.Error(), ClassID: at.Class(), MethodID: at.Method(),
	}
}

// closedByPeer answers connection.close. The core has forgotten the connection
// when close-ok goes out, so that the peer may count on it.
func (c *conn) closedByPeer(m *wire091.ConnectionClose) error {
	c.core.Close()
	c.out.end(&wire091.ConnectionCloseOk{}, peerPromisesTimeout)
	return fmt.Errorf("%w: %d %s", errPeerClosed, m.ReplyCode, m.ReplyText)
}

// shutdown closes the connection because the broker stops. It runs beside the
// reader, which it wakes by a deadline.
func (c *conn) shutdown() {
	c.forced(amqp.Errorf(amqp.ConnectionForced, "broker forced connection closure with reason 'shutdown'"))
}

// forced closes the connection whatever it is doing. Anybody may call it, with
// the core's lock held too.
func (c *conn) forced(why *amqp.Error) {
	c.out.end(connectionClose(0, why), promisesTimeout)
	c.out.hurry.Store(true)
	_ = c.nc.SetDeadline(time.Now().Add(shutdownTimeout))
}

// lastWords is why the broker closes, as the peer was told.
func (w *writer) lastWords() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, ok := w.final.(*wire091.ConnectionClose); ok {
		return m.ReplyText
	}
	return "nothing said"
}

// awaitEnd lets the last words reach the peer.
func (c *conn) awaitEnd(reason error) {
	if !c.out.ending.Load() {
		return // the socket is broken
	}
	if !c.out.hurry.Load() {
		_ = c.nc.SetReadDeadline(time.Now().Add(closeOkTimeout))
	}
	if errors.Is(reason, errPeerClosed) {
		c.awaitWriter(peerPromisesTimeout + promisesTimeout)
		return
	}
	c.awaitCloseOk()
}

// awaitWriter waits for the writer's end.
func (c *conn) awaitWriter(atMost time.Duration) bool {
	if c.out == nil {
		return true // in the handshake
	}
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case <-c.out.over:
		return true
	case <-t.C:
		return false
	}
}

// awaitCloseOk reads until our connection.close is answered.
func (c *conn) awaitCloseOk() {
	for !c.answered {
		f, err := c.frames.Next()
		c.answered = c.answers(f, err)
	}
}

// answers reports whether what came answers our connection.close, or is the
// last that will come. Everything else is dropped, but a peer that closes at
// the same time gets its close-ok.
func (c *conn) answers(f wire091.Frame, err error) bool {
	if _, ok := errors.AsType[*amqp.Error](err); ok {
		c.awaitWriter(2 * promisesTimeout)
		_ = c.nc.SetReadDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.Copy(io.Discard, c.in)
		return true
	}
	if err != nil {
		return true
	}
	if f.Type != wire091.FrameMethod || f.Channel != 0 {
		return false
	}
	id, _, _ := wire091.ParseMethodID(f.Payload)
	if id == wire091.MethodConnectionClose && c.awaitWriter(promisesTimeout) { // the socket is ours then
		_ = c.send(&wire091.ConnectionCloseOk{})
	}
	return id == wire091.MethodConnectionClose || id == wire091.MethodConnectionCloseOk
}
