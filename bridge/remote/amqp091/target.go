package amqp091

import (
	"context"
	"errors"
	"fmt"
	"net"

	"leveret/amqp/wire091"
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
	// Noted adds to each message that it was here, for the guard against loops.
	Noted bool
}

// Target is a remote broker that messages are published to.
type Target struct {
	farSide
	exchange, key string
	noted         bool
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
	return &Target{f, o.Exchange, o.Key, o.Noted}, nil
}

// Dial opens a link: socket, TLS, login, channel and confirm mode.
func (t *Target) Dial(ctx context.Context, window int) (bridge.Link, error) {
	var l *link
	err := t.reach(ctx, func(stream, socket net.Conn) error {
		c := newConn(&t.farSide, stream, socket)
		err := c.login()
		if err == nil {
			err = c.call(channelID, &wire091.ConfirmSelect{}, &wire091.ConfirmSelectOk{})
		}
		c.silence = 2 * c.beat
		l = newLink(t, c, window)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.start()
	return l, nil
}
