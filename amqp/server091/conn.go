package server091

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/socket"
	"leveret/amqp/wire091"
)

// conn is one connection. Its fields belong to the reader but where it is said
// otherwise.
type conn struct {
	s      *Server
	nc     net.Conn
	log    *slog.Logger
	in     *meter
	frames *wire091.FrameReader
	out    *writer
	core   *broker.Conn

	// Set in the handshake.
	who        broker.Identity
	client     client
	mechanism  string
	channelMax int
	frameMax   int
	heartbeat  time.Duration // 0: none

	channels map[uint16]*channel // open ones
	last     *channel            // the one of the last frame, or nil
	// closing are the channels that we closed and whose close-ok is not there
	// yet. What comes for them is dropped.
	closing  map[uint16]struct{}
	answered bool // our connection.close was, see answers
	holding  int  // bytes of half-received bodies, see contentBytesMax
	due      bool // promises were made that nobody was told of, see speak
	// blocked: the peer was told that its publishing is held back. Operators look.
	blocked atomic.Bool

	names   names
	args    wire091.Reader
	publish wire091.BasicPublish // decoded into, again and again
	scratch *scratch             // nil while there is nothing to do
}

// scratch is what a reader needs while frames are in its buffer, and what an
// idle connection does without.
type scratch struct {
	// One of the two is collected at a time, for one channel.
	from        *channel
	publishes   []incoming
	settlements []broker.Settlement
	settledBy   wire091.MethodID // the method of all settlements

	// What flushPublishes has under way: the messages in both of their forms.
	sealed []incoming
	batch  []broker.Publish

	lent []*channel // their contents' properties lie in the read buffer
}

func newConn(s *Server, nc net.Conn, log *slog.Logger) *conn {
	c := &conn{
		s: s, nc: nc, log: log,
		in:       &meter{Socket: socket.Of(nc), total: &s.counts.bytesIn},
		channels: make(map[uint16]*channel),
	}
	c.frames = wire091.NewFrameReader(c.in, min(s.o.FrameMax, strangerFrameMax)) // more in tuned
	c.args.Intern = c.names.get
	return c
}

// meter counts what comes in.
type meter struct {
	*socket.Socket
	total *atomic.Uint64
	// reads counts the socket's answers. The writer watches it: a peer whose
	// bytes come is alive.
	reads  atomic.Uint64
	octets atomic.Uint64
	// paused says that the reader does not listen: silence is then our doing.
	paused atomic.Bool
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Socket.Read(p)
	m.count(n)
	return n, err
}

// ReadLent is for a FrameReader that has nothing in hand.
func (m *meter) ReadLent(size int) (buf []byte, n int, err error) {
	buf, n, err = m.Socket.ReadLent(size)
	m.count(n)
	return buf, n, err
}

func (m *meter) count(n int) {
	m.reads.Add(1)
	m.octets.Add(uint64(n))
	m.total.Add(uint64(n))
}

// state is what operators see of the connection.
func (c *conn) state() broker.LinkState {
	return broker.LinkState{
		Blocked:  c.blocked.Load(),
		OctetsIn: c.in.octets.Load(), ReadsIn: c.in.reads.Load(),
		OctetsOut: c.out.octets.Load(), WritesOut: c.out.writes.Load(),
	}
}

// serve runs a connection after its handshake, to its end.
func (c *conn) serve(ctx context.Context) {
	c.out.listen()
	reason := errMistake // unless the reader returns
	defer func() { c.end(reason) }()
	defer context.AfterFunc(ctx, c.shutdown)()
	reason = c.read()
	c.awaitEnd(reason)
}

// end takes a connection down: the writer first, which uses the core.
func (c *conn) end(reason error) {
	_ = c.nc.Close()
	close(c.out.quit)
	c.out.nudge()
	<-c.out.over
	c.core.Close()
	c.hold(-c.holding)
	c.s.counts.channelsNow.Add(-int64(len(c.channels)))
	c.s.channels.leave(c, len(c.channels))
	if err := c.out.err; err != nil {
		reason = err // the reader knows only that the socket is closed
	}
	if reason == errEnding {
		reason = fmt.Errorf("%w: %s", errEnding, c.out.lastWords())
	}
	if errors.Is(reason, io.EOF) || errors.Is(reason, io.ErrUnexpectedEOF) {
		reason = errPeerLeft
	}
	c.log.Info("connection closed", "reason", reason)
}

// read takes frames until the connection ends, and says why it did. Everything
// that lies in the buffer is taken before what it amounts to is done: the
// frames' bytes are valid until the buffer is filled again.
func (c *conn) read() error {
	for {
		if !c.frames.Buffered() {
			if err := c.flush(); err != nil {
				return err
			}
			c.rest()
		}
		f, err := c.frames.Next()
		if c.out.ending.Load() {
			c.answered = c.answers(f, err)
			return errEnding
		}
		if err != nil {
			return c.unreadable(err)
		}
		if err := c.handle(f); err != nil {
			return err
		}
	}
}

// rest makes ready for a wait of unknown length.
func (c *conn) rest() {
	if c.due {
		c.speak()
	}
	c.awaitPromises()
	if c.scratch == nil {
		return
	}
	for _, ch := range c.scratch.lent {
		ch.content.keepProps()
	}
	clear(c.scratch.lent)
	c.scratch.lent, c.scratch.from = c.scratch.lent[:0], nil
	c.s.scratches.Put(c.scratch)
	c.scratch = nil
}

// work gives the reader its scratch.
func (c *conn) work() *scratch {
	if c.scratch == nil {
		c.scratch = c.s.scratches.Get().(*scratch)
	}
	return c.scratch
}

// unreadable ends a connection whose bytes make no frames any more, or that has
// no bytes any more.
func (c *conn) unreadable(err error) error {
	if refused := c.flush(); refused != nil {
		return refused
	}
	if _, ok := errors.AsType[*amqp.Error](err); ok {
		return c.shut(0, err)
	}
	return fmt.Errorf("read: %w", err)
}

func (c *conn) handle(f wire091.Frame) error {
	switch f.Type {
	case wire091.FrameMethod:
		return c.method(f)
	case wire091.FrameHeader, wire091.FrameBody:
		return c.contentFrame(f)
	}
	return nil // a heartbeat: that it came was noticed
}

// channel finds an open channel.
func (c *conn) channel(id uint16) *channel {
	if c.last != nil && c.last.id == id {
		return c.last
	}
	c.last = c.channels[id]
	return c.last
}

func (c *conn) method(f wire091.Frame) error {
	id, args, err := wire091.ParseMethodID(f.Payload)
	if err != nil {
		return c.refuse(0, 0, err)
	}
	ch := c.channel(f.Channel)
	switch {
	case f.Channel == 0:
		return c.connectionMethod(id, f.Payload)
	case ch == nil:
		return socket.Apart(func() error { return c.unopened(f.Channel, id) })
	case ch.content.stage != contentNone:
		return c.refuse(ch.id, wire091.MethodBasicPublish, ch.content.unexpected())
	}
	switch id {
	case wire091.MethodBasicPublish:
		return c.beginPublish(ch, args)
	case wire091.MethodBasicAck, wire091.MethodBasicNack, wire091.MethodBasicReject:
		return c.settle(ch, id, args)
	}
	if err := c.flush(); err != nil || ch.gone {
		return err
	}
	m, err := wire091.ParseMethod(f.Payload, nil)
	switch {
	case err != nil:
	case id == wire091.MethodBasicGet: // the one that comes in numbers
		err = c.dispatch(ch, m)
	default:
		err = socket.Apart(func() error { return c.dispatch(ch, m) })
	}
	if err != nil {
		return c.refuse(ch.id, id, err)
	}
	return nil
}

// connectionMethod is a method on channel 0.
func (c *conn) connectionMethod(id wire091.MethodID, payload []byte) error {
	if err := c.flush(); err != nil {
		return err
	}
	m, err := wire091.ParseMethod(payload, nil)
	if err != nil {
		return c.refuse(0, id, err)
	}
	switch m := m.(type) {
	case *wire091.ConnectionClose:
		return c.closedByPeer(m)
	case *wire091.ConnectionUpdateSecret:
		err = c.updateSecret(m)
	default:
		err = amqp.Errorf(amqp.ChannelError, "unexpected method in connection state running")
	}
	if err != nil {
		return c.refuse(0, id, err)
	}
	return nil
}

// updateSecret checks the new password of a client that renews its login. What
// the user may do stays as it was.
func (c *conn) updateSecret(m *wire091.ConnectionUpdateSecret) error {
	if _, _, err := c.s.o.Authenticate(c.who.User, m.NewSecret, c.nc.RemoteAddr()); err != nil {
		c.log.Warn("new secret refused", "err", err)
		return amqp.Errorf(amqp.NotAllowed, "New secret was refused using authentication mechanism %s. For details see the broker logfile.", c.mechanism)
	}
	c.reply(0, 0, &wire091.ConnectionUpdateSecretOk{})
	return nil
}

// flush hands what was collected to the core.
func (c *conn) flush() error {
	switch w := c.scratch; {
	case w == nil:
		return nil
	case len(w.publishes) > 0:
		return c.flushPublishes()
	case len(w.settlements) > 0:
		return c.flushSettlements()
	}
	return nil
}

// collect makes ready to collect for ch: what stands there for another channel,
// or of the other kind, goes to the core first.
func (c *conn) collect(ch *channel, full bool) error {
	w := c.work()
	if w.from != ch || full {
		if err := c.flush(); err != nil {
			return err
		}
	}
	w.from = ch
	return nil
}

// names makes strings of the names that come with every message, without
// making them again each time. Its size is fixed; a collision costs one string.
type names struct {
	known *[namesMax]string // nil until the first publish
}

const namesMax = 256

func (n *names) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if n.known == nil {
		n.known = new([namesMax]string)
	}
	h := uint32(2166136261) // FNV-1a
	for _, o := range b {
		h = (h ^ uint32(o)) * 16777619
	}
	known := &n.known[(h^h>>8^h>>16)%namesMax]
	if *known != string(b) {
		*known = string(b)
	}
	return *known
}
