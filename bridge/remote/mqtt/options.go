package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// Options says where the far side is and who we are there. Zero fields take the
// defaults named.
type Options struct {
	// URL is mqtt:// or mqtts://user:password@host:port. Its password is never
	// shown again. It takes no path and no query.
	URL string
	// ClientID names the session on the far side; of two with one name the
	// later one throws the earlier one out.
	ClientID string
	// TLS is for mqtts; nil verifies by the system's roots. Verification cannot
	// be switched off.
	TLS *tls.Config
	// Node is this broker's, for the guard against loops; "" guards nothing.
	Node string
	// Dots says how topics are spelled as routing keys here.
	Dots bridge.Dots
	// Will is published by the far side when we are gone without a goodbye; nil
	// is none.
	Will *Will
	// KeepAlive is how often each side shows that it lives: 30 s, at least 1 s.
	// The far side may ask for another. After one and a half of them without a
	// byte the connection is dead.
	KeepAlive time.Duration
	// PacketBytesMax bounds what the far side may send at once: 1 MiB.
	PacketBytesMax int
	// DialTimeout bounds all of opening a connection: 10 s.
	DialTimeout time.Duration
	// Dial opens the socket; nil is the system's dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Will is the message that the far side publishes for us.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

const (
	keepAliveDefault   = 30 * time.Second
	keepAliveMin       = time.Second
	keepAliveMax       = time.Hour
	packetBytesDefault = 1 << 20
	dialTimeoutDefault = 10 * time.Second
	// closeTimeout bounds the goodbye.
	closeTimeout = 2 * time.Second
	// connackBytesMax bounds the far side before it has let us in.
	connackBytesMax = 16 << 10
	// slowestLink is the speed, in bytes a second, that a write is given time
	// for.
	slowestLink = 8 << 10
	clientIDMax = 200
)

// complete checks the options and fills in the defaults.
func (o Options) complete() (Options, error) {
	switch {
	case o.ClientID == "" || len(o.ClientID) > clientIDMax || !mqttwire.ValidText(o.ClientID):
		return o, fmt.Errorf("client id of a remote broker must have from 1 to %d bytes of text", clientIDMax)
	case o.TLS != nil && o.TLS.InsecureSkipVerify:
		return o, errors.New("tls verification of a remote broker cannot be switched off")
	case o.Will != nil && (!mqttwire.ValidTopic(o.Will.Topic) || o.Will.QoS > 2):
		return o, errors.New("the will needs a topic without wildcards, and a QoS of 0, 1 or 2")
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = keepAliveDefault
	}
	o.KeepAlive = min(max(o.KeepAlive, keepAliveMin), keepAliveMax)
	if o.PacketBytesMax <= 0 {
		o.PacketBytesMax = packetBytesDefault
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = dialTimeoutDefault
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return o, nil
}
