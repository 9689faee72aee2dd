package amqp091

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"leveret/bridge/remote"
)

// Options says where the far side is and who we are there. Zero fields take the
// defaults named.
type Options struct {
	// URL is amqp:// or amqps://user:password@host:port/vhost. Its password is
	// never shown again. It takes no query.
	URL string
	// TLS is for amqps; nil verifies by the system's roots. With a certificate
	// and a URL without user the login is EXTERNAL. Verification cannot be
	// switched off.
	TLS *tls.Config
	// Name is the connection's, as the far side's operators see it.
	Name string
	// Node is this broker's, for the guard against loops; "" guards nothing. The far
	// side is told: it then believes us where messages have been.
	Node string
	// Heartbeat is how often each side shows that it lives: 10 s, at least
	// 1 s. After two of them without a byte the link is dead.
	Heartbeat time.Duration
	// DialTimeout bounds all of opening a link: 10 s.
	DialTimeout time.Duration
	// Dial opens the socket; nil is the system's dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	heartbeatDefault   = 10 * time.Second
	heartbeatMin       = time.Second
	dialTimeoutDefault = 10 * time.Second
	// closeTimeout bounds the goodbye.
	closeTimeout = 2 * time.Second
	// frameBytesMax is offered to the far side and bounds what it may send.
	frameBytesMax = 128 << 10
	shortMax      = 255 // bytes of a short string
)

// farSide is a remote broker, as a source and a target know it.
type farSide struct {
	o      Options
	remote place
}

// newFarSide checks the options and fills in the defaults.
func newFarSide(o Options) (farSide, error) {
	r, err := parseURL(o.URL)
	switch {
	case err != nil:
		return farSide{}, err
	case o.TLS != nil && o.TLS.InsecureSkipVerify:
		return farSide{}, errors.New("tls verification of a remote broker cannot be switched off")
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = heartbeatDefault
	}
	o.Heartbeat = max(o.Heartbeat, heartbeatMin)
	if o.DialTimeout <= 0 {
		o.DialTimeout = dialTimeoutDefault
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return farSide{o, r}, nil
}

// String is the URL without its password.
func (f *farSide) String() string { return f.remote.String() }

var errNoAnswer = errors.New("no answer in time")

// reach opens a socket within DialTimeout, and TLS on it when the URL asks for
// that, and has use do the rest of opening. When ctx or the time ends first the
// socket is closed under it.
func (f *farSide) reach(ctx context.Context, use func(stream, socket net.Conn) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.DialTimeout, errNoAnswer)
	defer cancel()
	err := f.connect(ctx, use)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return f.failed("connect to", err)
}

func (f *farSide) connect(ctx context.Context, use func(stream, socket net.Conn) error) error {
	socket, err := f.o.Dial(ctx, "tcp", f.remote.address())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	stream := socket
	if f.remote.secure {
		stream, err = remote.Secure(ctx, socket, f.o.TLS, f.remote.host)
	}
	if err == nil {
		err = use(stream, socket)
	}
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = socket.Close()
	}
	return err
}

// external reports whether we log in by our certificate.
func (f *farSide) external() bool {
	return !f.remote.hasUser && f.remote.secure && f.o.TLS != nil &&
		(len(f.o.TLS.Certificates) > 0 || f.o.TLS.GetClientCertificate != nil)
}

// failed is the error of doing something with the far side. Its text is made anew: a far side may
// well repeat our password in its answer.
func (f *farSide) failed(what string, err error) error {
	return fmt.Errorf("%s %s: %s", what, f, f.clean(err.Error()))
}

// clean takes our password out of a foreign text.
func (f *farSide) clean(text string) string {
	if p := f.remote.password; len(p) >= secretMin {
		return strings.ReplaceAll(text, p, "***")
	}
	return text
}

// secretMin is the length from which on a password is looked for in foreign
// texts; of shorter ones each occurrence is more likely an accident.
const secretMin = 4
