package mqtt

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/socket"
	"leveret/amqp/strangers"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// conn is one client's connection. Its goroutine is the reader. The writer's
// begins when there is something to do and ends when there was nothing for a
// while, see speak.go.
type conn struct {
	door     *Door
	accepted time.Time
	stranger bool // before CONNECT; protected by door.mu

	socket net.Conn
	source source
	in     *mqttwire.Reader
	out    writer

	terms              // set by connect, then never changed
	log   *slog.Logger // likewise
	meter meter        // the reader's

	core    *broker.Conn // nil until the client is let in
	session session      // of core

	// The reader's.
	kept      bool   // the session outlives the connection
	expiry    uint32 // seconds it does so; see expiryNever
	expiryCut bool   // it is less than what the client asked for
	recorded  record // what is in the spool, of a session with a durable queue
	will      *broker.Publish
	willDelay uint32    // seconds
	welcomed  bool      // CONNACK was promised
	resumed   spool.LSN // what was found of the session is safe when the log is durable up to it
	incoming  incoming
	due       bool // promises were made that nobody was told of, see speak

	// The reader replaces it, both read it.
	subs atomic.Pointer[subscriptions]

	// Octets from and to the client, and in how many pieces, for operators.
	octetsIn, reads, octetsOut, writes atomic.Uint64

	sysDue atomic.Bool    // the writer is to tell of the $SYS tree
	outbox atomic.Bool    // the core has deliveries, set by its wake function
	stage  atomic.Int32   // of the writer's goroutine, see stageClosed
	over   sync.WaitGroup // that goroutine, from the client's welcome to its end

	aliases  outAliases // towards the client
	acks     acks
	inflight inflight

	wake  chan struct{} // 1 slot: the writer has something to do
	eased chan struct{} // 1 slot: the writer gave an answer out

	ended  chan struct{} // closed by the first end
	gone   chan struct{} // closed when everything is given up
	mu     sync.Mutex    // protects ending
	ending *ending
}

func newConn(d *Door, nc net.Conn) *conn {
	c := &conn{
		door: d, socket: nc, accepted: strangers.Accepted(nc), stranger: true,
		log:   d.Log,
		wake:  make(chan struct{}, 1),
		eased: make(chan struct{}, 1),
		ended: make(chan struct{}),
		gone:  make(chan struct{}),
	}
	c.source.Socket, c.source.conn = socket.Of(nc), c
	c.out.conn = c
	c.in = mqttwire.NewReader(&c.source, mqttwire.ConnectSizeMax)
	c.subs.Store(new(subscriptions))
	// Here and not in serve: end may come first, and its deadline must win.
	_ = nc.SetDeadline(c.accepted.Add(d.ConnectTimeout))
	return c
}

// source is the socket as the reader sees it. Bytes count as a sign of life: a
// large packet may take longer than the keep alive on a slow link.
type source struct {
	*socket.Socket
	conn     *conn
	patience time.Duration // 0: as set before
}

// largeRead is what only a packet has room for that is larger than the others.
const largeRead = 16 << 10

func (s *source) Read(b []byte) (n int, err error) {
	if len(b) >= largeRead { // the rest of a large packet
		if err := s.conn.awaitMemory(); err != nil {
			return 0, err
		}
	}
	for since := time.Now(); ; {
		if n, err = s.Socket.Read(b); n > 0 || !s.early(err, since) {
			s.conn.countRead(n)
			return n, err
		}
	}
}

// ReadLent is for a Reader that has nothing in hand.
func (s *source) ReadLent(size int) (buf []byte, n int, err error) {
	for since := time.Now(); ; {
		if buf, n, err = s.Socket.ReadLent(size); !s.early(err, since) {
			s.conn.countRead(n)
			return buf, n, err
		}
	}
}

func (c *conn) countRead(read int) {
	c.octetsIn.Add(uint64(read))
	c.reads.Add(1)
}

// state is what operators see of the connection.
func (c *conn) state() broker.LinkState {
	return broker.LinkState{
		OctetsIn: c.octetsIn.Load(), ReadsIn: c.reads.Load(), OctetsOut: c.octetsOut.Load(), WritesOut: c.writes.Load(),
	}
}

// early reports that a deadline was met which began to count before the read
// did, and moves it: that is cheaper than to set one for each read.
func (s *source) early(err error, since time.Time) bool {
	if s.patience == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	until := since.Add(s.patience)
	if !time.Now().Before(until) || s.SetReadDeadline(until) != nil {
		return false
	}
	select {
	case <-s.conn.ended: // which wanted another deadline
		return false
	default:
		return true
	}
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.finish()
	defer c.socket.Close()
	defer c.over.Wait()
	defer c.contain()
	if err := socket.Apart(c.connect); err != nil {
		c.refuse(err)
		return
	}
	c.listen()
	c.end(endingOf(c.read()))
}

// contain ends the connection that a mistake of ours has hit, and no other.
// Both goroutines have it at their top.
func (c *conn) contain() {
	if r := recover(); r != nil {
		c.door.counts.panics.Add(1)
		c.log.Error("mqtt connection failed by a mistake of ours", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		c.end(ending{reason: mqttwire.UnspecifiedError, text: "internal error"})
	}
}

// farewellTimeout is for the last words to a client.
const farewellTimeout = time.Second

// end makes the connection end: the writer says the last words and closes the
// socket. It may be called by anybody and never waits.
func (c *conn) end(e ending) {
	c.mu.Lock()
	first := c.ending == nil
	if first {
		c.ending = &e
	}
	c.mu.Unlock()
	if !first {
		return
	}
	close(c.ended)
	// A reader without a writer comes free, and a writer that is stuck.
	now := time.Now()
	_ = c.socket.SetReadDeadline(now)
	_ = c.socket.SetWriteDeadline(now.Add(farewellTimeout))
	c.poke()
}

// forced ends the connection for the core, which may call it with its lock held.
func (c *conn) forced(why *amqp.Error) {
	c.end(ending{reason: mqttwire.AdministrativeAction, text: why.Text})
}

func (c *conn) why() ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil {
		return ending{silent: true}
	}
	return *c.ending
}

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// read handles packets until the connection ends. What one read of the socket
// brought is one batch.
func (c *conn) read() error {
	c.speak() // CONNACK
	for {
		p, err := c.in.Next()
		if err == nil {
			err = c.handle(p)
		}
		if err != nil || !c.in.Buffered() {
			if failed := c.flush(); err == nil {
				err = failed
			}
		}
		if err != nil {
			return err
		}
		if c.due && !c.in.Buffered() {
			c.speak()
		}
	}
}

// handle does one packet. PUBLISH and the acknowledgements are collected;
// everything else comes after what was collected before it.
func (c *conn) handle(p mqttwire.Packet) error {
	switch p.Type {
	case mqttwire.TypePublish:
		return c.publish(p)
	case mqttwire.TypePuback:
		return c.acknowledged(p.Body)
	case mqttwire.TypePubrec:
		return c.handed(p.Body)
	case mqttwire.TypePubrel:
		return c.released(p.Body)
	case mqttwire.TypePubcomp:
		return c.completed(p.Body)
	}
	if err := c.flush(); err != nil {
		return err
	}
	switch p.Type {
	case mqttwire.TypeSubscribe:
		return socket.Apart(func() error { return c.subscribe(p.Body) })
	case mqttwire.TypeUnsubscribe:
		return socket.Apart(func() error { return c.unsubscribe(p.Body) })
	case mqttwire.TypePingreq:
		return c.ping(p.Body)
	case mqttwire.TypeDisconnect:
		return c.disconnect(p.Body)
	}
	return refusal(mqttwire.ProtocolError, "%s from a connected client", p.Type)
}

func (c *conn) ping(body []byte) error {
	if err := mqttwire.DecodePing(mqttwire.TypePingreq, body); err != nil {
		return err
	}
	c.acks.ping()
	c.due = true
	return nil
}

// disconnect: the client takes its leave. It may change how long its session is
// kept, but not keep one that was to end (5.0, section 3.14.2.2.2).
func (c *conn) disconnect(body []byte) error {
	var d mqttwire.Disconnect
	if err := d.Decode(body, c.version); err != nil {
		return err
	}
	if expiry, ok := d.Props.Uint32(mqttwire.SessionExpiry); ok {
		if !c.kept && expiry > 0 {
			return refusal(mqttwire.ProtocolError, "session expiry in DISCONNECT of a session that has none")
		}
		c.keepFor(expiry)
	}
	if d.Reason == mqttwire.Success {
		return errBye
	}
	// Any other reason is a way to leave that the will is meant for (section
	// 3.1.2.5), 0x04 above all.
	return errByeWithWill
}

// finish gives up everything that the connection has. Its goroutines have
// ended, but for the one that calls.
func (c *conn) finish() {
	defer close(c.gone)
	defer c.door.forget(c)
	defer func() { c.door.leave(c, c.kept, c.expiry) }()
	defer c.contain()
	if c.core == nil {
		return
	}
	why := c.why()
	if !why.clean && c.welcomed {
		c.sendWill()
	}
	c.core.Close()
	c.leaveSession()
	if why.err != nil {
		c.log.Error("mqtt client disconnected", "reason", why.text, "err", why.err)
		return
	}
	c.log.Info("mqtt client disconnected", "reason", why.text)
}
