package amqp091

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

// conn is a connection with one channel, spoken with our own codec.
type conn struct {
	far     *farSide
	stream  net.Conn // TLS over the socket, or the socket itself
	socket  net.Conn
	frames  *wire091.FrameReader // of whoever reads: the handshake, then the listener
	silence time.Duration        // longest time without a byte; 0 while opening, which has a time of its own
	beat    time.Duration        // between heartbeats
	// frameMax is what a frame may have in all.
	frameMax int
	// impatient ends the connection when a write takes too long. A publisher is
	// patient: its messages are large and may have to wait.
	impatient bool

	writing sync.Mutex // held while something is written
	wrote   bool       // since a heartbeat was last due; protected by writing

	mu   sync.Mutex    // protects err
	err  error         // why the connection ended; set once
	gone chan struct{} // closed when err is set
}

// strangerFrameMax bounds a frame of a far side that has not let us in.
const strangerFrameMax = 16 << 10

// slowestLink is the speed, in bytes a second, that a write is given time for.
const slowestLink = 8 << 10

func newConn(f *farSide, stream, socket net.Conn) *conn {
	c := &conn{far: f, stream: stream, socket: socket, gone: make(chan struct{})}
	c.frames = wire091.NewFrameReader(c, strangerFrameMax)
	return c
}

// Read is for the frame reader. Every byte is a sign of life.
func (c *conn) Read(p []byte) (int, error) {
	if c.silence > 0 {
		if err := c.stream.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	n, err := c.stream.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing was heard for %v", c.silence)
	}
	return n, err
}

// send writes a method.
func (c *conn) send(channel uint16, m wire091.Method) error {
	return c.write(wire091.AppendMethod(nil, channel, m))
}

// write writes whole frames. What cannot be written ends the connection.
func (c *conn) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.wrote = true
	if c.impatient {
		limit := c.silence + time.Duration(len(b))*time.Second/slowestLink
		_ = c.stream.SetWriteDeadline(time.Now().Add(limit)) // fails where Write will
	}
	_, err := c.stream.Write(b)
	if err != nil {
		c.fail(err)
	}
	return err
}

// showLife sends a heartbeat unless something else was written lately.
func (c *conn) showLife() {
	c.writing.Lock()
	wrote := c.wrote
	c.wrote = false
	c.writing.Unlock()
	if !wrote {
		_ = c.write(wire091.AppendHeartbeat(nil)) // whose failure ends the connection
	}
}

// call sends a method and reads its answer.
func (c *conn) call(channel uint16, m, answer wire091.Method) error {
	if err := c.send(channel, m); err != nil {
		return err
	}
	return c.await(channel, answer)
}

// await reads the one method that may come next.
func (c *conn) await(channel uint16, want wire091.Method) error {
	for {
		f, err := c.frames.Next()
		if err != nil {
			return err
		}
		if f.Type == wire091.FrameHeartbeat {
			continue
		}
		if f.Type != wire091.FrameMethod {
			return fmt.Errorf("the far side sent a frame of type %d instead of %s", f.Type, want.Name())
		}
		if id, args, err := wire091.ParseMethodID(f.Payload); err == nil && id == want.ID() && f.Channel == channel {
			var r wire091.Reader
			r.Reset(args)
			return want.Decode(&r)
		}
		m, err := wire091.ParseMethod(f.Payload, nil)
		if err != nil {
			return err
		}
		switch m.(type) {
		case *wire091.ConnectionBlocked, *wire091.ConnectionUnblocked: // will be said again to who publishes
			continue
		case *wire091.ConnectionClose, *wire091.ChannelClose:
			return c.ending(m, f.Channel)
		}
		return fmt.Errorf("%w instead of %s", unexpected(m, f.Channel), want.Name())
	}
}

// ending is the error that a method which nobody waits for ends a connection
// with.
func (c *conn) ending(m wire091.Method, channel uint16) error {
	switch m := m.(type) {
	case *wire091.ConnectionClose:
		_ = c.send(0, &wire091.ConnectionCloseOk{})
		return &refusal{amqp.Code(m.ReplyCode), m.ReplyText}
	case *wire091.ChannelClose:
		return &refusal{amqp.Code(m.ReplyCode), m.ReplyText}
	}
	return unexpected(m, channel)
}

// refusal is the far side's word that it does not do something.
type refusal struct {
	code amqp.Code
	text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("closed by the far side: %d %s", uint16(r.code), r.text)
}

// fail ends the connection; the first reason counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		_ = c.socket.Close()
		close(c.gone)
	}
}

// lost is why something failed, or is over, on a connection that has ended.
func (c *conn) lost(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.far.failed(what, c.err)
}

// leave says goodbye. The answer ends the connection, or the end of two seconds.
func (c *conn) leave() {
	late := time.AfterFunc(closeTimeout, func() { c.fail(errClosedByUs) })
	_ = c.send(0, &wire091.ConnectionClose{ReplyCode: 200, ReplyText: "done"}) // an error says that it was gone already
	<-c.gone
	late.Stop()
}

// pulse shows twice in a heartbeat that we live, until the connection ends. Once
// in a heartbeat that may be something else that is sent.
func (c *conn) pulse(other func() (sent bool)) {
	tick := time.NewTicker(c.beat / 2)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-c.gone:
			return
		}
		if n%2 != 0 || !other() {
			c.showLife()
		}
	}
}

var (
	errClosedByUs = errors.New("link is closed")
	errWithin     = errors.New("the far side sent a method within a message")
)
