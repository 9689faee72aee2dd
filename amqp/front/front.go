// Package front is the door's frame: it accepts connections on the AMQP
// listeners, reads the eight octets that name the protocol, and hands the
// connection to the server that speaks it. It knows nothing of what is said
// after that.
//
// Each listener has a goroutine, and so has each connection, from its accept to
// its end; Run starts them and waits for them all. How many there may be is
// bounded twice: in all, and of those that have not sent their header yet. Where
// there is no place left the oldest of these goes, and where there is none of
// these the oldest that has not logged in: so silent strangers cannot take the
// places of working peers.
package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp/strangers"
	"leveret/amqp/wire091"
)

// Options is what a front is made of. Zero fields from ConnectionsMax on take
// the defaults they name.
type Options struct {
	// Listeners are closed when Run returns. TLS listeners are those of
	// crypto/tls; their handshake happens within HandshakeTimeout.
	Listeners []net.Listener
	// Serve091 runs a connection whose header asks for AMQP 0-9-1 or 0-9, to
	// its end. It must return soon after ctx has ended.
	// The context knows since when it is here (see strangers.Since).
	Serve091 func(ctx context.Context, nc net.Conn, header [8]byte)
	// Evict ends, of those that are being served, the one that has been in its
	// handshake for longest, and says whether there was one; nil is never.
	Evict func() bool
	Log   *slog.Logger

	ConnectionsMax   int           // at a time; 1024
	HandshakesMax    int           // of them, without a header yet; 512; one more sends away the longest silent
	HandshakeTimeout time.Duration // for TLS and the header; 10 s
	DrainTimeout     time.Duration // for connections to end after ctx; 5 s
}

// Defaults; see Options.
const (
	connectionsMax   = 1024
	handshakesMax    = 512
	handshakeTimeout = 10 * time.Second
	drainTimeout     = 5 * time.Second
)

// Front accepts connections.
type Front struct {
	o         Options
	waiting   *strangers.Room // those without a header yet
	accepted  atomic.Uint64
	refused   atomic.Uint64
	strangers atomic.Uint64
	conns     sync.WaitGroup

	mu   sync.Mutex // protects open
	open map[net.Conn]struct{}
}

// Counts are the figures of a front. Those not named Now only rise.
type Counts struct {
	ConnectionsNow int
	Accepted       uint64
	Refused        uint64 // of those, for a bound of Options
	Strangers      uint64 // of those, without a header that is served
}

// New makes a front.
func New(o Options) *Front {
	orDefault(&o.ConnectionsMax, connectionsMax)
	orDefault(&o.HandshakesMax, handshakesMax)
	orDefault(&o.HandshakeTimeout, handshakeTimeout)
	orDefault(&o.DrainTimeout, drainTimeout)
	return &Front{o: o, waiting: strangers.NewRoom(o.HandshakesMax), open: make(map[net.Conn]struct{})}
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Counts reads the figures.
func (f *Front) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Counts{
		ConnectionsNow: len(f.open), Accepted: f.accepted.Load(),
		Refused: f.refused.Load(), Strangers: f.strangers.Load(),
	}
}

// Run accepts until ctx ends or a listener fails, then waits for the
// connections, which have been told by ctx. Those that are not done within
// DrainTimeout lose their sockets. Run is called once.
func (f *Front) Run(outer context.Context) error {
	ctx, stop := context.WithCancelCause(outer)
	defer stop(nil)
	var accepting sync.WaitGroup
	for _, l := range f.o.Listeners {
		accepting.Go(func() {
			if err := f.accept(ctx, l); err != nil {
				stop(err)
			}
		})
	}
	<-ctx.Done()
	for _, l := range f.o.Listeners {
		_ = l.Close()
	}
	accepting.Wait()
	f.drain()
	if outer.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// drain waits for the connections' ends.
func (f *Front) drain() {
	t := time.AfterFunc(f.o.DrainTimeout, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.o.Log.Warn("connections did not end in time and were cut off", "connections", len(f.open))
		for nc := range f.open {
			_ = nc.Close()
		}
	})
	defer t.Stop()
	f.conns.Wait()
}

// admit counts a connection in, or refuses it when all places are taken by
// peers that have logged in.
func (f *Front) admit(nc net.Conn) bool {
	f.accepted.Add(1)
	f.mu.Lock()
	full := len(f.open) >= f.o.ConnectionsMax
	evicted := full && (f.waiting.Evict() || f.o.Evict != nil && f.o.Evict())
	if evicted || !full {
		f.open[nc] = struct{}{}
	}
	f.mu.Unlock()
	if full && !evicted {
		f.refuse(nc, fmt.Sprintf("limit of %d connections is reached", f.o.ConnectionsMax))
		return false
	}
	if f.waiting.Enter(nc) || evicted {
		f.refused.Add(1)
	}
	return true
}

func (f *Front) refuse(nc net.Conn, reason string) {
	f.refused.Add(1)
	f.o.Log.Warn("connection refused", "peer", nc.RemoteAddr().String(), "reason", reason)
	_ = nc.Close()
}

func (f *Front) leave(nc net.Conn) {
	_ = nc.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, nc)
}

// serve runs one connection.
func (f *Front) serve(ctx context.Context, nc net.Conn) {
	defer f.leave(nc)
	since := strangers.Accepted(nc)
	header, err := f.header(ctx, nc, since)
	switch {
	case err != nil:
		f.strangers.Add(1)
		f.o.Log.Debug("connection without a protocol header", "peer", nc.RemoteAddr().String(), "err", err)
	case wire091.ParseProtocolHeader(header) >= wire091.Protocol09:
		f.o.Serve091(strangers.WithSince(ctx, since), nc, header)
	default:
		f.strangers.Add(1)
		f.o.Log.Info("connection refused", "peer", nc.RemoteAddr().String(), "reason", fmt.Sprintf("protocol header % x is not served", header))
		refusal := wire091.RefusalHeader(header)
		_, _ = nc.Write(refusal[:])
	}
}

// header reads the first eight octets, in the time that began when the connection
// was accepted.
func (f *Front) header(ctx context.Context, nc net.Conn, since time.Time) (h [8]byte, err error) {
	defer f.waiting.Leave(nc)
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Now()) })()
	if err := nc.SetDeadline(since.Add(f.o.HandshakeTimeout)); err != nil {
		return h, err
	}
	if _, err = io.ReadFull(nc, h[:]); err != nil || ctx.Err() != nil {
		return h, errors.Join(err, ctx.Err())
	}
	return h, nc.SetDeadline(time.Time{})
}
