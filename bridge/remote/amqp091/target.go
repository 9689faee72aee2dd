package amqp091

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	lib "github.com/rabbitmq/amqp091-go"

	"leveret/bridge"
)

// TargetOptions says where messages go.
type TargetOptions struct {
	Options
	// Exchange is published to; "" is the default exchange, which takes the
	// key for a queue's name.
	Exchange string
	// Key replaces the messages' own routing keys when it is not "".
	Key string
}

// Target is a remote broker that messages are published to.
type Target struct {
	farSide
	exchange, key string
}

var _ bridge.Target = (*Target)(nil)

// NewTarget checks the options. It does not connect.
func NewTarget(o TargetOptions) (*Target, error) {
	f, err := newFarSide(o.Options)
	switch {
	case err != nil:
		return nil, err
	case len(o.Exchange) > shortMax || len(o.Key) > shortMax:
		return nil, fmt.Errorf("exchange and key of a remote broker have at most %d bytes", shortMax)
	case o.Exchange == "" && o.Key == "":
		return nil, errors.New("the default exchange of a remote broker needs a key: the name of a queue")
	}
	return &Target{f, o.Exchange, o.Key}, nil
}

// Dial opens a link: socket, TLS, login, channel and confirm mode.
func (t *Target) Dial(ctx context.Context, window int) (bridge.Link, error) {
	var l *link
	err := t.reach(ctx, func(stream, socket net.Conn) (err error) {
		w := &wire{stream: stream, socket: socket, silence: 2 * t.o.Heartbeat}
		if l, err = t.login(w, window); err == nil {
			return nil
		}
		_ = w.Close()
		if refused := w.refused.Load(); refused != nil {
			err = *refused // the library may know only that the socket is closed
		}
		return err
	})
	if err == nil {
		return l, nil
	}
	if l != nil {
		l.Close() // it was open, but too late
	}
	return nil, err
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

// reason is the text of a library error, and who says so.
func reason(e *lib.Error) string {
	if e.Server {
		return "closed by the far side: " + strconv.Itoa(e.Code) + " " + e.Reason
	}
	return e.Reason
}
