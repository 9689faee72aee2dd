package server091

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/strangers"
	"leveret/amqp/wire091"
)

// loginDelay passes before a refused login is answered, so that guessing is
// slow. It holds one goroutine and one place of HandshakesMax.
const loginDelay = time.Second

// handshakeCloseTimeout bounds the wait for a close-ok from a peer that was
// refused.
const handshakeCloseTimeout = 2 * time.Second

// strangerFrameMax bounds a frame, and so the buffer, of a peer that has not
// logged in: what anybody may have us hold. The largest that comes before tune
// is start-ok (0-9-1, section 4.2.3 would have it below 4 kB), which may carry
// a token for its password.
const strangerFrameMax = 16 << 10

// handshake leads from the protocol header to connection.open-ok. The reader
// does the writing here: nothing else is under way. The error says why there
// is no connection; the peer has been told.
func (c *conn) handshake(ctx context.Context) error {
	_ = c.nc.SetDeadline(strangers.Since(ctx).Add(c.s.o.HandshakeTimeout))
	at, err := c.negotiate(ctx)
	if err == nil {
		return c.nc.SetDeadline(time.Time{})
	}
	if refusal, ok := errors.AsType[*amqp.Error](err); ok {
		c.refuseHandshake(at, refusal)
	}
	return err
}

// negotiate goes through the states. at is the method that an error is about.
func (c *conn) negotiate(ctx context.Context) (at wire091.MethodID, err error) {
	start := wire091.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9,
		ServerProperties: c.s.properties, Mechanisms: c.mechanisms(), Locales: "en_US",
	}
	if err := c.send(&start); err != nil {
		return 0, err
	}
	startOk, err := expect[*wire091.ConnectionStartOk](c, "starting")
	if err != nil {
		return 0, err
	}
	c.client = clientOf(startOk.ClientProperties)
	if at, err := c.login(ctx, startOk); err != nil {
		return at, err
	}
	tune := wire091.ConnectionTune{
		ChannelMax: uint16(c.s.o.ChannelMax), FrameMax: uint32(c.s.o.FrameMax), Heartbeat: uint16(c.s.o.Heartbeat / time.Second),
	}
	if err := c.send(&tune); err != nil {
		return 0, err
	}
	tuneOk, err := expect[*wire091.ConnectionTuneOk](c, "tuning")
	if err != nil {
		return 0, err
	}
	if err := c.tuned(tuneOk); err != nil {
		return tuneOk.ID(), err
	}
	open, err := expect[*wire091.ConnectionOpen](c, "opening")
	if err != nil {
		return 0, err
	}
	if err := c.enter(open.VirtualHost); err != nil {
		return open.ID(), err
	}
	if err := c.send(&wire091.ConnectionOpenOk{}); err != nil {
		c.core.Close()
		return 0, err
	}
	return 0, nil
}

// expect reads the one method that may come next.
func expect[M wire091.Method](c *conn, state string) (m M, err error) {
	for {
		f, err := c.frames.Next()
		if err != nil {
			return m, fmt.Errorf("in the handshake: %w", err)
		}
		if f.Type == wire091.FrameHeartbeat {
			continue
		}
		if f.Type != wire091.FrameMethod || f.Channel != 0 {
			return m, errNoMethod
		}
		got, err := wire091.ParseMethod(f.Payload, nil)
		if err != nil {
			return m, err
		}
		switch got := got.(type) {
		case M:
			return got, nil
		case *wire091.ConnectionClose:
			_ = c.send(&wire091.ConnectionCloseOk{})
			return m, fmt.Errorf("%w in the handshake: %d %s", errPeerClosed, got.ReplyCode, got.ReplyText)
		}
		return m, amqp.Errorf(amqp.ChannelError, "unexpected method in connection state %s", state)
	}
}

var errLogin = errors.New("login refused") // and logged

// login checks who it is. A refused one is told only when it can understand it
// (authentication_failure_close); older clients take a closed socket for it.
func (c *conn) login(ctx context.Context, m *wire091.ConnectionStartOk) (at wire091.MethodID, err error) {
	c.mechanism = m.Mechanism
	name, user, access, err := c.authenticate(m)
	if _, wrong := errors.AsType[*amqp.Error](err); wrong {
		return m.ID(), err
	}
	if err == nil {
		c.who = broker.Identity{
			User: name, Access: access, Name: c.client.name, About: c.client.about,
			Peer: c.nc.RemoteAddr().String(), Host: c.nc.LocalAddr().String(), Protocol: "AMQP 0-9-1",
		}
		return 0, nil
	}
	c.log.Warn("login refused", "user", user, "err", err)
	select {
	case <-time.After(loginDelay):
	case <-ctx.Done():
	}
	if !c.client.authenticationFailureClose {
		return 0, errLogin
	}
	return 0, fmt.Errorf("%w: %w", errLogin, amqp.Errorf(amqp.AccessRefused,
		"Login was refused using authentication mechanism %s. For details see the broker logfile.", m.Mechanism))
}

// tuned takes what the client has chosen. 0 is no limit, which only the
// heartbeat may be.
func (c *conn) tuned(m *wire091.ConnectionTuneOk) error {
	o := &c.s.o
	switch {
	case m.FrameMax > 0 && m.FrameMax < frameMaxMin:
		return errTune("frame_max", m.FrameMax, "", "lower", "minimum", frameMaxMin)
	case m.FrameMax == 0 || int64(m.FrameMax) > int64(o.FrameMax):
		return errTune("frame_max", m.FrameMax, noLimit(m.FrameMax), "higher", "maximum", o.FrameMax)
	case m.ChannelMax == 0 || int(m.ChannelMax) > o.ChannelMax:
		return errTune("channel_max", uint32(m.ChannelMax), noLimit(uint32(m.ChannelMax)), "higher", "maximum", o.ChannelMax)
	}
	c.channelMax = int(m.ChannelMax)
	c.frameMax = int(m.FrameMax)
	c.frames.SetMax(c.frameMax)
	c.heartbeat = time.Duration(m.Heartbeat) * time.Second
	return nil
}

func noLimit(v uint32) string {
	if v == 0 {
		return " (no limit)"
	}
	return ""
}

func errTune(what string, got uint32, detail, how, bound string, allowed int) error {
	return amqp.Errorf(amqp.NotAllowed, "negotiated %s = %d%s is %s than the %s allowed value (%d)", what, got, detail, how, bound, allowed)
}

// enter connects to a vhost of the core.
func (c *conn) enter(vhost string) error {
	out := newWriter(c)
	c.out, c.who.End = out, c.forced
	c.who.State = c.state
	_, secure := c.nc.(*tls.Conn)
	c.who.Terms = broker.Terms{
		TLS: secure, Mechanism: c.mechanism, Heartbeat: c.heartbeat, FrameMax: c.frameMax, ChannelMax: c.channelMax,
	}
	core, err := c.s.o.Broker.Connect(vhost, c.who, out.deliverable)
	if err != nil {
		c.out = nil
	}
	if errors.Is(err, broker.ErrNoVHost) {
		return amqp.Errorf(amqp.NotAllowed, "vhost %s not found", vhost)
	}
	if err != nil {
		return err
	}
	c.core, out.core = core, core
	return nil
}

// send writes one method before there is a writer.
func (c *conn) send(m wire091.Method) error {
	lent := c.s.buffers.Get().(*[]byte)
	defer c.s.buffers.Put(lent)
	b := wire091.AppendMethod((*lent)[:0], 0, m)
	*lent = b[:0]
	c.s.counts.bytesOut.Add(uint64(len(b)))
	if _, err := c.nc.Write(b); err != nil {
		return fmt.Errorf("send %s: %w", m.Name(), err)
	}
	return nil
}

// refuseHandshake says why and waits for the peer to have read it.
func (c *conn) refuseHandshake(at wire091.MethodID, e *amqp.Error) {
	_ = c.nc.SetDeadline(time.Now().Add(handshakeCloseTimeout))
	if err := c.send(connectionClose(at, e)); err != nil {
		return
	}
	c.awaitCloseOk()
}

// client is what a client has told of itself.
type client struct {
	product string // with its version; for logs
	name    string // connection_name
	about   []byte // see aboutKeys
	node    bool   // it is a broker of our kind: believed where a message has been
	// Capabilities.
	authenticationFailureClose bool
	consumerCancelNotify       bool
	connectionBlocked          bool
}

func clientOf(properties amqp.Table) client {
	v, _ := properties.Get("capabilities")
	capabilities, _ := v.(amqp.Table)
	can := func(name string) bool {
		v, _ := capabilities.Get(name)
		yes, _ := v.(bool)
		return yes
	}
	text := func(name string) string {
		v, _ := properties.Get(name)
		s, _ := v.(string)
		return s[:min(len(s), clientTextMax)]
	}
	c := client{
		product:                    text("product"),
		node:                       text("leveret-node") != "",
		authenticationFailureClose: can("authentication_failure_close"),
		consumerCancelNotify:       can("consumer_cancel_notify"),
		connectionBlocked:          can("connection.blocked"),
	}
	if version := text("version"); version != "" {
		c.product += " " + version
	}
	c.name = text("connection_name")
	var about amqp.Table
	for _, key := range aboutKeys {
		if v := text(key); v != "" {
			about = append(about, amqp.Field{Key: key, Value: v})
		}
	}
	c.about = about.AppendTo(nil)
	return c
}

// aboutKeys are the texts of a client's own description that operators see,
// each cut at clientTextMax.
var aboutKeys = [...]string{"product", "version", "platform", "information", "connection_name"}

// clientTextMax bounds what of a client's own description is kept and logged.
const clientTextMax = 100
