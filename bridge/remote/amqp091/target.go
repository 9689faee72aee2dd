package amqp091

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	lib "github.com/rabbitmq/amqp091-go"

	"leveret/bridge"
	"leveret/bridge/remote"
)

// Options says where messages go. Zero fields take the defaults named.
type Options struct {
	// URL is amqp:// or amqps://user:password@host:port/vhost. Its password is
	// never shown again. It takes no query.
	URL string
	// Exchange is published to; "" is the default exchange, which takes the
	// key for a queue's name.
	Exchange string
	// Key replaces the messages' own routing keys when it is not "".
	Key string
	// TLS is for amqps; nil verifies by the system's roots. With a certificate
	// and a URL without user the login is EXTERNAL. Verification cannot be
	// switched off.
	TLS *tls.Config
	// Name is the connection's, as the far side's operators see it.
	Name string
	// Node is ours, which the far side is told: it then believes us where messages
	// have been. "" tells nothing.
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

// Target is a remote broker.
type Target struct {
	o      Options
	remote place
}

var _ bridge.Target = (*Target)(nil)

// New checks the options. It does not connect.
func New(o Options) (*Target, error) {
	r, err := parseURL(o.URL)
	switch {
	case err != nil:
		return nil, err
	case o.TLS != nil && o.TLS.InsecureSkipVerify:
		return nil, errors.New("tls verification of a remote broker cannot be switched off")
	case len(o.Exchange) > shortMax || len(o.Key) > shortMax:
		return nil, fmt.Errorf("exchange and key of a remote broker have at most %d bytes", shortMax)
	case o.Exchange == "" && o.Key == "":
		return nil, errors.New("the default exchange of a remote broker needs a key: the name of a queue")
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
	return &Target{o: o, remote: r}, nil
}

// String is the URL without its password.
func (t *Target) String() string { return t.remote.String() }

var errNoAnswer = errors.New("no answer in time")

// Dial opens a link: socket, TLS, login, channel and confirm mode.
func (t *Target) Dial(ctx context.Context, window int) (bridge.Link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.o.DialTimeout, errNoAnswer)
	defer cancel()
	l, err := t.dial(ctx, window)
	if err == nil {
		return l, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, t.failed("connect to", err)
}

func (t *Target) dial(ctx context.Context, window int) (*link, error) {
	socket, err := t.o.Dial(ctx, "tcp", t.remote.address())
	if err != nil {
		return nil, err
	}
	// The library knows no context: closing the socket under it ends it.
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	stream, err := t.secure(ctx, socket)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	w := &wire{stream: stream, socket: socket, silence: 2 * t.o.Heartbeat}
	l, err := t.login(w, window)
	if err != nil {
		_ = w.Close()
		if refused := w.refused.Load(); refused != nil {
			err = *refused // the library may know only that the socket is closed
		}
		return nil, err
	}
	if !stop() {
		l.Close()
		return nil, context.Cause(ctx)
	}
	return l, nil
}

// secure speaks TLS when the URL asks for it.
func (t *Target) secure(ctx context.Context, socket net.Conn) (net.Conn, error) {
	if t.remote.Scheme != "amqps" {
		return socket, nil
	}
	return remote.Secure(ctx, socket, t.o.TLS, t.remote.Host)
}

// login opens connection and channel over a socket.
func (t *Target) login(w *wire, window int) (*link, error) {
	properties := lib.Table{"product": "leveret"}
	if t.o.Name != "" {
		properties["connection_name"] = t.o.Name
	}
	if t.o.Node != "" {
		properties[bridge.UserNode] = t.o.Node
	}
	conn, err := lib.Open(w, lib.Config{
		SASL: []lib.Authentication{t.authentication()}, Vhost: t.remote.Vhost, Locale: "en_US",
		ChannelMax: 1, FrameSize: frameBytesMax, Heartbeat: t.o.Heartbeat, Properties: properties,
	})
	if err != nil {
		return nil, err
	}
	channel, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	l := newLink(t, w, conn, channel, window)
	if err := channel.Confirm(false); err != nil {
		_ = w.Close()
		l.Close()
		return nil, err
	}
	return l, nil
}

func (t *Target) authentication() lib.Authentication {
	if t.external() {
		return &lib.ExternalAuth{}
	}
	return t.remote.PlainAuth()
}

// external reports whether we log in by our certificate.
func (t *Target) external() bool {
	return !t.remote.hasUser && t.remote.Scheme == "amqps" && t.o.TLS != nil &&
		(len(t.o.TLS.Certificates) > 0 || t.o.TLS.GetClientCertificate != nil)
}

// failed is the error of doing something with the far side. The text is made
// anew: a far side may well repeat our password in its answer.
func (t *Target) failed(what string, err error) error {
	text := err.Error()
	if e, ok := errors.AsType[*lib.Error](err); ok {
		text = reason(e)
	}
	return fmt.Errorf("%s %s: %s", what, t, t.clean(text))
}

// clean takes our password out of a foreign text.
func (t *Target) clean(text string) string {
	if p := t.remote.Password; len(p) >= secretMin {
		return strings.ReplaceAll(text, p, "***")
	}
	return text
}

// secretMin is the length from which on a password is looked for in foreign
// texts; of shorter ones each occurrence is more likely an accident.
const secretMin = 4

// reason is the text of a library error, and who says so.
func reason(e *lib.Error) string {
	if e.Server {
		return "closed by the far side: " + strconv.Itoa(e.Code) + " " + e.Reason
	}
	return e.Reason
}
