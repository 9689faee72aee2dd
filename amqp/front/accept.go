package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// How long to wait after an accept failed, doubling.
const (
	acceptDelayMin = 5 * time.Millisecond
	acceptDelayMax = time.Second
)

// keepAlive finds out about peers that are gone without a word, also for those
// that have no heartbeats.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// accept takes connections from one listener until it is closed. A failure may
// be weather, such as too many open files: it is tried again, ever more slowly,
// and connections in work go on meanwhile.
func (f *Front) accept(ctx context.Context, l net.Listener) error {
	delay := acceptDelayMin
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = acceptDelayMin
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		default:
			f.o.Log.Warn("accept failed", "listener", l.Addr().String(), "err", err, "retry", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return nil
			}
			delay = min(2*delay, acceptDelayMax)
			continue
		}
		tune(nc)
		if f.admit(nc) {
			f.conns.Go(func() { f.serve(ctx, nc) })
		}
	}
}

// tune sets a socket's options. Writes are collected above it, so that waiting
// for more to send (Nagle) would only cost time.
func tune(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetNoDelay(true)
		_ = t.SetKeepAliveConfig(keepAlive)
	}
}
