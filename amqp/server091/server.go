// Package server091 is the AMQP 0-9-1 door: it speaks the protocol of one
// connection at a time and leaves everything that lasts to the core.
//
// Two goroutines serve a connection. The reader, which is the caller of
// [Server.Serve], owns the state of the protocol: it takes frames, collects
// runs of publishes and of acknowledgements into batches, and calls the core
// once for each. The writer owns the socket's other direction: it writes the
// core's deliveries and gives promises. It is there only while there is
// something to do; promises that can be given at once the reader gives itself
// (see speak.go).
//
// A promise is everything that is owed to the peer for something it asked: a
// confirm, a returned message, the reply to a method. Promises stand in one
// line for the connection, each with the LSN of what it says; the writer gives
// them in order as the log becomes durable, so nothing is confirmed before it
// is safe and no reply overtakes a confirm. Within a round deliveries are
// written before promises: then no cancel-ok and no close-ok comes before
// what was sent ahead of it.
//
// A refusal of the core closes the channel or the connection as its code says.
// What a peer can do wrong ends at most its own connection; that holds for our
// own mistakes too, because both goroutines recover at their top. Publishers
// that come faster than the disk, or whose messages no longer fit, are not read
// from until there is room.
//
// A transaction is the core's (see [broker.Tx]); its commit-ok is a promise like
// the others. The package does not listen: see package front.
package server091

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/socket"
	"leveret/amqp/strangers"
	"leveret/amqp/wire091"
)

// Options is what a server is made of. Zero fields from HandshakeTimeout on
// take the defaults they name.
type Options struct {
	Broker *broker.Broker
	// Authenticate checks a login and answers the account's name and what it
	// may do. The error is for the log only.
	Authenticate func(user, password string, remote net.Addr) (name string, access broker.Access, err error)
	// External does the same for a client that shows a certificate (SASL
	// EXTERNAL), which has been verified, and Anonymous for one that says
	// nothing of itself (ANONYMOUS). That is offered where Anonymous gives no
	// error; nil ones are never offered.
	External  func(cert *x509.Certificate, remote net.Addr) (name string, access broker.Access, err error)
	Anonymous func(remote net.Addr) (name string, access broker.Access, err error)
	Log       *slog.Logger
	// Now is the time of the running boot, for the stamps of messages.
	Now func() amqp.Instant

	HandshakeTimeout time.Duration // from the accept to connection.open; 10 s
	HandshakesMax    int           // connections that have not finished it; 256
	ChannelMax       int           // channels of a connection; 2047
	FrameMax         int           // octets of a frame; 131072
	ContentBytesMax  int           // of messages that are not complete, on all connections; 4 of the largest, see contentShare
	Heartbeat        time.Duration // what is proposed; 60 s
	Product, Version string        // what clients are told; leveret and 0
	ServerProperties amqp.Table    // added to what clients are told, or in its place
}

// Server serves connections. It has no goroutine of its own.
type Server struct {
	o          Options
	properties amqp.Table      // of connection.start
	handshakes *strangers.Room // connections that have not finished theirs
	counts     counts
	channels   userChannels
	holding    atomic.Int64 // bytes of half-received bodies
	holders    atomic.Int64 // connections that have some
	buffers    sync.Pool    // *[]byte of writers at work; idle connections hold none
	scratches  sync.Pool    // *scratch of readers at work
}

// counts are figures for operators, all since the start but those named now.
type counts struct {
	connectionsNow, channelsNow            atomic.Int64
	connections, refused                   atomic.Uint64
	published, confirmed                   atomic.Uint64
	delivered, returned, bytesIn, bytesOut atomic.Uint64
	panics                                 atomic.Uint64
}

// Counts are the figures of a server. Those not named Now only rise.
type Counts struct {
	ConnectionsNow int64  // past their handshake
	ChannelsNow    int64  // open
	Connections    uint64 // that passed their handshake
	Refused        uint64 // that did not
	Published      uint64 // messages taken
	Confirmed      uint64 // of those, confirmed to their publisher
	Delivered      uint64 // messages sent to consumers and getters
	Returned       uint64 // messages sent back as unroutable
	BytesIn        uint64
	BytesOut       uint64
	Panics         uint64 // connections that ended by a mistake of ours
}

// Bounds and defaults; see Options.
const (
	handshakeTimeout = 10 * time.Second
	handshakesMax    = 256
	channelMax       = 2047
	frameMax         = 128 << 10
	frameMaxMin      = 4096 // old clients ask for it
	heartbeatDefault = 60 * time.Second
	// writeBufferMin is what a writer's buffer starts with, and
	// writeBufferKept what one may have grown to and still be used again.
	writeBufferMin  = 4 << 10
	writeBufferKept = 512 << 10
)

// New makes a server.
func New(o Options) *Server {
	orDefault(&o.HandshakeTimeout, handshakeTimeout)
	orDefault(&o.HandshakesMax, handshakesMax)
	orDefault(&o.ChannelMax, channelMax)
	orDefault(&o.FrameMax, frameMax)
	orDefault(&o.Heartbeat, heartbeatDefault)
	orDefault(&o.Product, "leveret")
	orDefault(&o.Version, "0")
	o.FrameMax = max(o.FrameMax, wire091.FrameSizeMin)
	o.ChannelMax = min(o.ChannelMax, 1<<16-1)
	s := &Server{o: o, properties: serverProperties(o), handshakes: strangers.NewRoom(o.HandshakesMax)}
	s.buffers.New = func() any {
		b := make([]byte, 0, writeBufferMin)
		return &b
	}
	s.scratches.New = func() any { return new(scratch) }
	return s
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Counts reads the figures.
func (s *Server) Counts() Counts {
	c := &s.counts
	return Counts{
		ConnectionsNow: c.connectionsNow.Load(),
		ChannelsNow:    c.channelsNow.Load(),
		Connections:    c.connections.Load(),
		Refused:        c.refused.Load(),
		Published:      c.published.Load(),
		Confirmed:      c.confirmed.Load(),
		Delivered:      c.delivered.Load(),
		Returned:       c.returned.Load(),
		BytesIn:        c.bytesIn.Load(),
		BytesOut:       c.bytesOut.Load(),
		Panics:         c.panics.Load(),
	}
}

// Serve runs a connection, whose protocol header has been read, to its end and
// closes it. When ctx ends the peer is told so (320) after it has been given
// what is durable by then.
func (s *Server) Serve(ctx context.Context, nc net.Conn, header [wire091.ProtocolHeaderSize]byte) {
	defer func() { _ = nc.Close() }()
	log := s.o.Log.With("peer", nc.RemoteAddr().String())
	defer s.survive(log)
	if wire091.ParseProtocolHeader(header) < wire091.Protocol09 {
		refusal := wire091.RefusalHeader(header)
		_ = nc.SetWriteDeadline(time.Now().Add(s.o.HandshakeTimeout))
		_, _ = nc.Write(refusal[:])
		return
	}
	var c *conn
	_ = socket.Apart(func() error {
		c = s.shakeHands(ctx, nc, log)
		return nil
	})
	if c == nil {
		s.counts.refused.Add(1)
		return
	}
	s.counts.connections.Add(1)
	s.counts.connectionsNow.Add(1)
	defer s.counts.connectionsNow.Add(-1)
	c.serve(ctx)
}

// Evict ends the connection that has been in its handshake for longest, and says
// whether there was one.
func (s *Server) Evict() bool { return s.handshakes.Evict() }

// shakeHands answers a connection that may begin, or nil.
func (s *Server) shakeHands(ctx context.Context, nc net.Conn, log *slog.Logger) *conn {
	if s.handshakes.Enter(nc) {
		log.Warn("oldest connection without a login ended", "reason", fmt.Sprintf("limit of %d handshakes is reached", s.o.HandshakesMax))
	}
	defer s.handshakes.Leave(nc)
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	c := newConn(s, nc, log)
	err := c.handshake(ctx)
	switch {
	case err == nil:
		c.log = log.With("user", c.who.User)
		c.log.Info("connection opened", "vhost", c.core.VHost(), "client", c.client.product, "heartbeat", c.heartbeat)
		return c
	case !errors.Is(err, errLogin):
		log.Info("connection refused", "reason", err)
	}
	return nil
}

// survive ends a panic of one connection.
func (s *Server) survive(log *slog.Logger) {
	if p := recover(); p != nil {
		s.counts.panics.Add(1)
		log.Error("connection failed by a mistake of ours", "panic", p, "stack", string(debug.Stack()))
	}
}

// serverProperties is what connection.start tells. Programs decide by the
// capabilities what they may use, so only what is there stands in them.
func serverProperties(o Options) amqp.Table {
	var capabilities amqp.Table
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
		"direct_reply_to",
	} {
		capabilities = append(capabilities, amqp.Field{Key: name, Value: true})
	}
	t := amqp.Table{
		{Key: "capabilities", Value: capabilities},
		{Key: "cluster_name", Value: o.Product},
		{Key: "copyright", Value: ""},
		{Key: "information", Value: ""},
		{Key: "platform", Value: "Go"},
		{Key: "product", Value: o.Product},
		{Key: "version", Value: o.Version},
	}
	for _, f := range o.ServerProperties {
		t = t.With(f.Key, f.Value)
	}
	return t
}
