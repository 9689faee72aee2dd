package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"

	"leveret/amqp/strangers"
)

// Bounds of what is no MQTT connection yet. MQTT's own begin after the upgrade.
const (
	upgradeTimeout  = 10 * time.Second
	upgradingMax    = 256     // connections at once; one more ends the oldest
	upgradeBytesMax = 8 << 10 // of the request's header
)

// WebSocketListener makes MQTT connections of the WebSocket connections that
// come to l (5.0, section 6), at any path. Pages of other origins than the
// host's own are refused unless they match one of the patterns in origins; "*"
// is all of them: a browser on this machine would else let any page in as a
// client from loopback. It serves until it is closed, which closes l.
func WebSocketListener(l net.Listener, origins []string, log *slog.Logger) net.Listener {
	w := &webSockets{Listener: l, upgrading: strangers.NewRoom(upgradingMax), upgraded: make(chan net.Conn), closed: make(chan struct{})}
	accept := &websocket.AcceptOptions{
		Subprotocols:   []string{"mqtt", "mqttv3.1"},
		OriginPatterns: origins,
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.upgrade(rw, r, accept) }),
		ReadHeaderTimeout: upgradeTimeout,
		IdleTimeout:       upgradeTimeout,
		MaxHeaderBytes:    upgradeBytesMax,
		ConnState:         w.count,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return strangers.WithSince(ctx, strangers.Accepted(c))
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' noise
	}
	w.server = server
	w.serving.Go(func() { w.failed = server.Serve(l); w.end() })
	return w
}

// webSockets is a listener whose connections have been upgraded by a server.
type webSockets struct {
	net.Listener
	server    *http.Server
	upgraded  chan net.Conn
	upgrading *strangers.Room

	serving sync.WaitGroup
	once    sync.Once
	closed  chan struct{}
	failed  error // why the server ended; read when closed is
}

func (w *webSockets) end() { w.once.Do(func() { close(w.closed) }) }

// Accept gives the next connection that speaks MQTT over WebSocket.
func (w *webSockets) Accept() (net.Conn, error) {
	select {
	case c := <-w.upgraded:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the server and what has not been upgraded.
func (w *webSockets) Close() error {
	err := w.server.Close()
	w.serving.Wait()
	if errors.Is(w.failed, http.ErrServerClosed) {
		return err
	}
	return errors.Join(w.failed, err)
}

// count keeps strangers who never ask for an upgrade to a bound: the one who came
// first makes room.
func (w *webSockets) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		w.upgrading.Enter(c)
	case http.StateHijacked, http.StateClosed:
		w.upgrading.Leave(c)
	}
}

func (w *webSockets) upgrade(rw http.ResponseWriter, r *http.Request, o *websocket.AcceptOptions) {
	ws, err := websocket.Accept(rw, r, o) // on failure it has answered
	if err != nil {
		return
	}
	if ws.Subprotocol() == "" { // [MQTT-6.0.0-3]
		_ = ws.Close(websocket.StatusPolicyViolation, "the subprotocol must be mqtt")
		return
	}
	// The connection outlives the request. Only binary frames are taken
	// [MQTT-6.0.0-1]; a packet may be split over several, or share one.
	c := &webSocket{Conn: websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws: ws, tls: r.TLS, since: strangers.Since(r.Context())}
	select {
	case w.upgraded <- c:
	case <-w.closed:
		_ = c.Close()
	}
}

// webSocket is a net.Conn over WebSocket, with the manners of a socket.
type webSocket struct {
	net.Conn
	ws    *websocket.Conn
	tls   *tls.ConnectionState // nil if it is not over TLS
	since time.Time            // it was accepted, before the upgrade
}

// ConnectionState is that of the TLS below.
func (c *webSocket) ConnectionState() (s tls.ConnectionState) {
	if c.tls != nil {
		s = *c.tls
	}
	return s
}

// Since counts in the time that the upgrade took.
func (c *webSocket) Since() time.Time { return c.since }

// Read says of a deadline what sockets say of it.
func (c *webSocket) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, asSocket(err)
}

// Write is as Read.
func (c *webSocket) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, asSocket(err)
}

func asSocket(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return os.ErrDeadlineExceeded
	case websocket.CloseStatus(err) != -1:
		return net.ErrClosed
	}
	return err
}

// SetReadDeadline lets a deadline that is over come a little later: in the
// library a read that is interrupted takes the whole connection with it, our
// last words included.
func (c *webSocket) SetReadDeadline(t time.Time) error {
	if last := time.Now().Add(farewellTimeout); !t.IsZero() && t.Before(last) {
		t = last
	}
	return c.Conn.SetReadDeadline(t)
}

// Close does not wait for the peer's closing frame: it may be gone.
func (c *webSocket) Close() error { return c.ws.CloseNow() }
