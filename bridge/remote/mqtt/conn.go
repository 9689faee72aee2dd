package mqtt

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
	"leveret/bridge/remote"
)

// peer is a remote broker, as a source and a target know it.
type peer struct {
	o     Options
	place place
}

func newPeer(o Options) (peer, error) {
	p, err := parseURL(o.URL)
	if err != nil {
		return peer{}, err
	}
	o, err = o.complete()
	return peer{o: o, place: p}, err
}

// String is the URL without its password.
func (p *peer) String() string { return p.place.String() }

// terms of a connection that is asked for.
type wish struct {
	policy     policy
	fresh      bool          // without what the far side has of an earlier session
	keep       time.Duration // how long the session outlives the connection
	receiveMax int
	session    *session
	messages   func(*packets.Publish)
	admit      func(w *wire)  // waits until the next packet may be read
	passed     func(size int) // is told of each message that was read
	made       func(c *conn)  // is given the connection before anything comes
}

// conn is one connection.
type conn struct {
	peer    *peer
	wire    *wire
	client  *paho.Client
	session *session
	terms   terms

	mu  sync.Mutex // protects err
	err error      // set once
}

var errNoAnswer = errors.New("no answer in time")

// connect opens socket, TLS and session.
func (p *peer) connect(ctx context.Context, ask wish) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.o.DialTimeout, errNoAnswer)
	defer cancel()
	c, err := p.dial(ctx, ask)
	if err == nil {
		return c, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, p.failed("connect to", err)
}

func (p *peer) dial(ctx context.Context, ask wish) (*conn, error) {
	socket, err := p.o.Dial(ctx, "tcp", p.place.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	stream := socket
	if p.place.secure {
		if stream, err = remote.Secure(ctx, socket, p.o.TLS, p.place.host); err != nil {
			_ = socket.Close()
			return nil, err
		}
	}
	c := &conn{peer: p, session: ask.session}
	c.wire = newWire(stream, socket, &p.o, ask.policy)
	c.wire.over = c.fail
	if ask.admit != nil {
		c.wire.admit, c.wire.passed = func() { ask.admit(c.wire) }, ask.passed
	}
	c.session.wire = c.wire
	if ask.made != nil {
		ask.made(c)
	}
	if err := c.login(ctx, ask); err != nil {
		_ = c.wire.Close()
		return nil, err
	}
	if !stop() {
		c.close()
		return nil, context.Cause(ctx)
	}
	return c, nil
}

// login speaks CONNECT.
func (c *conn) login(ctx context.Context, ask wish) error {
	o, at := &c.peer.o, &c.peer.place
	messages := ask.messages
	if messages == nil {
		messages = func(*packets.Publish) {}
	}
	c.client = paho.NewClient(paho.ClientConfig{
		Conn: c.wire, Session: c.session, PingHandler: &pinger{wire: c.wire}, PacketTimeout: subackTimeout, // of CONNECT the context has a shorter one

		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			messages(r.Packet.Packet())
			return true, nil
		}},
	})
	properties := &paho.ConnectProperties{
		ReceiveMaximum:     new(uint16(ask.receiveMax)),
		MaximumPacketSize:  new(uint32(o.PacketBytesMax)),
		RequestProblemInfo: true,
	}
	if ask.keep > 0 {
		properties.SessionExpiryInterval = new(uint32(min(ask.keep/time.Second, 1<<32-2)))
	}
	if o.Node != "" {
		properties.User.Add(bridge.UserNode, o.Node)
	}
	connect := &paho.Connect{
		ClientID: o.ClientID, CleanStart: ask.fresh, KeepAlive: uint16(o.KeepAlive / time.Second), Properties: properties,
		UsernameFlag: at.hasUser, Username: at.user, PasswordFlag: at.hasPassword, Password: []byte(at.password),
	}
	if o.Will != nil {
		connect.WillMessage = &paho.WillMessage{Topic: o.Will.Topic, Payload: o.Will.Payload, QoS: o.Will.QoS, Retain: o.Will.Retain}
		connect.WillProperties = &paho.WillProperties{}
	}
	_, err := c.client.Connect(ctx, connect)
	if err == nil {
		c.terms = c.wire.terms // the reader has set them, and the library has seen it
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errNoAnswer // and a late CONNACK may be read at this moment
	}
	if own := c.why(); own != nil {
		return own // the library knows less
	}
	if t := &c.wire.terms; t.greeted && t.reason.Failed() {
		return fmt.Errorf("the far side does not let us in: %s", worded(t.reason, t.text))
	}
	return err
}

// worded is a reason code with the far side's words for it.
func worded(reason mqttwire.ReasonCode, text string) string {
	if text == "" {
		return reason.String()
	}
	return reason.String() + ": " + text
}

// disconnected is the far side's goodbye as an error.
func disconnected(d *mqttwire.Disconnect) error {
	text, _ := d.Props.Text(mqttwire.ReasonString)
	err := fmt.Errorf("the far side ended the connection: %s", worded(d.Reason, text))
	if d.Reason == mqttwire.SessionTakenOver {
		return fmt.Errorf("%w; is another client of this client id about? (%w)", err, bridge.ErrUnwelcome)
	}
	return err
}

// node names the far side in paths: its node if it is of our kind, else a word
// made of its address, for our source and our target there to know it by: other
// boxes may have another broker at the same address.
func (c *conn) node() string {
	if n := c.wire.terms.node; n != "" {
		return n
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.peer.o.Node + " " + c.peer.place.address()))
	return "@" + strconv.FormatUint(h.Sum64(), 36)
}

// gone is closed when the connection has ended.
func (c *conn) gone() <-chan struct{} { return c.client.Done() }

// fail notes why the connection ends; the first reason counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *conn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// lost is why the connection ended, for operators.
func (c *conn) lost() error {
	err := c.why()
	if err == nil {
		err = errors.New("the connection was lost")
	}
	return c.peer.failed("link to", err)
}

// distrust ends a connection whose far side breaks the rules.
func (c *conn) distrust(err error) {
	c.fail(err)
	_ = c.wire.Close()
}

var errClosed = errors.New("link is closed")

// close says goodbye, for two seconds at most, and waits for the end.
func (c *conn) close() {
	c.fail(errClosed)
	late := time.AfterFunc(closeTimeout, func() { _ = c.wire.Close() })
	_ = c.client.Disconnect(&paho.Disconnect{Properties: &paho.DisconnectProperties{}}) // an error says that it was gone already
	late.Stop()
	_ = c.wire.Close()
}

// failure is an error of the far side's. Its text is made anew: a far side may
// well repeat our password in its answer.
type failure struct {
	text      string
	unwelcome bool
}

func (f *failure) Error() string { return f.text }

func (f *failure) Is(target error) bool { return f.unwelcome && target == bridge.ErrUnwelcome }

func (p *peer) failed(what string, err error) error {
	return &failure{text: what + " " + p.String() + ": " + p.clean(err.Error()), unwelcome: errors.Is(err, bridge.ErrUnwelcome)}
}

// clean takes our password out of a foreign text.
func (p *peer) clean(text string) string {
	if len(p.place.password) >= secretMin {
		return strings.ReplaceAll(text, p.place.password, "***")
	}
	return text
}

// secretMin is the length from which on a password is looked for in foreign
// texts; of shorter ones each occurrence is more likely an accident.
const secretMin = 4
