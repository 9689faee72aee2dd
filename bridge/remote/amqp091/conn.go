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

// conn is a source's connection: one channel, spoken with our own codec.
type conn struct {
	far     *farSide
	stream  net.Conn // TLS over the socket, or the socket itself
	socket  net.Conn
	frames  *wire091.FrameReader // of whoever reads: the handshake, then the listener
	silence time.Duration        // longest time without a byte; 0 while opening, which has a time of its own
	beat    time.Duration        // between heartbeats

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
	if c.silence > 0 {
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

// await reads the one method that may come next on a channel.
func await[M wire091.Method](c *conn, channel uint16) (m M, err error) {
	for {
		f, err := c.frames.Next()
		if err != nil {
			return m, err
		}
		if f.Type == wire091.FrameHeartbeat {
			continue
		}
		if f.Type != wire091.FrameMethod {
			return m, fmt.Errorf("the far side sent a frame of type %d instead of %s", f.Type, m.Name())
		}
		got, err := wire091.ParseMethod(f.Payload, nil)
		if err != nil {
			return m, err
		}
		switch got := got.(type) {
		case *wire091.ConnectionBlocked, *wire091.ConnectionUnblocked: // is for publishers
			continue
		case *wire091.ConnectionClose:
			_ = c.send(0, &wire091.ConnectionCloseOk{})
			return m, closedBy(got.ReplyCode, got.ReplyText)
		case *wire091.ChannelClose:
			return m, closedBy(got.ReplyCode, got.ReplyText)
		case M:
			if f.Channel == channel {
				return got, nil
			}
		}
		return m, fmt.Errorf("the far side sent %s on channel %d instead of %s", got.Name(), f.Channel, m.Name())
	}
}

// refusal is the far side's word that it does not do something.
type refusal struct {
	code amqp.Code
	text string
}

func closedBy(code uint16, text string) error { return &refusal{amqp.Code(code), text} }

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

// lost is why the connection ended, for operators.
func (c *conn) lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.far.failed("link to", c.err)
}
