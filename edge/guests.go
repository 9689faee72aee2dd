package edge

import (
	"context"
	"errors"
	"net"
	"reflect"
	"sync"
	"syscall"

	"leveret/edge/users"
)

// guests are the connections of the AMQP and MQTT doors and whose they are, so
// that those of a user who has lost its account or its rights can be ended.
//
// A login knows of its connection only the peer's address. That is a pointer
// which the socket keeps as long as it lives and hands out each time, also from
// under TLS or WebSocket: it stands for this connection and no other. The doors
// bound how many there are. The zero guests are none.
type guests struct {
	mu sync.Mutex // protects of
	of map[net.Addr]*guest
}

type guest struct {
	user string // "" until it has logged in
	end  func() // returns at once
}

// enter notes a connection until leave is called.
func (g *guests) enter(peer net.Addr, end func()) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = make(map[net.Addr]*guest)
	}
	g.of[peer] = &guest{end: end}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.of, peer)
	}
}

// is notes whose connection it is.
func (g *guests) is(peer net.Addr, user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if guest := g.of[peer]; guest != nil {
		guest.user = user
	}
}

// end ends the connections of some users, and says how many they were.
func (g *guests) end(users map[string]bool) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, guest := range g.of {
		if users[guest.user] {
			guest.end()
			n++
		}
	}
	return n
}

// changed are the users whose accounts are gone, or not what they were.
func changed(old, fresh []users.Account) map[string]bool {
	now := make(map[string]users.Account, len(fresh))
	for _, a := range fresh {
		now[a.Name] = a
	}
	names := make(map[string]bool)
	for _, a := range old {
		if !reflect.DeepEqual(a, now[a.Name]) {
			names[a.Name] = true
		}
	}
	return names
}

func sameACL(a, b *users.ACL) bool { return reflect.DeepEqual(a, b) }

// serveFunc is what a front door does with a connection.
type serveFunc func(ctx context.Context, nc net.Conn, header [8]byte)

// serving has the connections of a front door noted. They are ended by their
// context: the peer is told as it is at a shutdown.
func (g *guests) serving(serve serveFunc) serveFunc {
	return func(ctx context.Context, nc net.Conn, header [8]byte) {
		ctx, end := context.WithCancel(ctx)
		defer end()
		defer g.enter(nc.RemoteAddr(), end)()
		serve(ctx, nc, header)
	}
}

// accepting has the connections of a listener noted. They are ended by closing
// the socket, so it must be the innermost listener: TLS and WebSocket would
// take their time for a goodbye.
func (g *guests) accepting(l net.Listener) net.Listener { return &guestListener{l, g} }

type guestListener struct {
	net.Listener
	guests *guests
}

// Accept gives the next connection, which is noted until it is closed.
func (l *guestListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	leave := l.guests.enter(nc.RemoteAddr(), func() { _ = nc.Close() })
	return &guestConn{nc, sync.OnceFunc(leave)}, nil
}

type guestConn struct {
	net.Conn
	leave func()
}

// SyscallConn is that of the socket, for doors that know how to wait with it.
func (c *guestConn) SyscallConn() (syscall.RawConn, error) {
	if socket, ok := c.Conn.(syscall.Conn); ok {
		return socket.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// NetConn is the connection that is noted.
func (c *guestConn) NetConn() net.Conn { return c.Conn }

// Close forgets the connection.
func (c *guestConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
