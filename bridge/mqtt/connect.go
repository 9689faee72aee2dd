package mqtt

import (
	"crypto/rand"
	"strings"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// terms is what a client and we agreed on in CONNECT and CONNACK.
type terms struct {
	version   mqttwire.Version
	client    string // client id
	assigned  bool   // by us
	bridge    bool   // another broker: it wants no echo and retain flags as they are
	user      string
	owner     string        // user, or "" of an anonymous client
	access    broker.Access // nil may do everything
	may       topicReader   // of access; nil: it may be given whatever it is subscribed to
	class     *Class
	limits    *Limits       // of class
	keepAlive time.Duration // 0: none
	capped    bool          // the keep alive is ours, not the client's
	window    int           // messages of QoS 1 and 2 in flight to the client
	sizeMax   int           // of a packet to the client; 0 is no limit
	texts     bool          // the client wants reason strings
	node      bool          // the client is a broker of our kind and has told its node: it is believed where a message has been
}

const (
	clientIDMax = 200 // bytes: with the prefix it must fit into a queue's name
	// topicAliasMax is how many topic aliases a client may set.
	topicAliasMax = 16
	// topicLevelsMax bounds the levels of topics and filters, as Mosquitto does:
	// 200 slashes.
	topicLevelsMax = 201
)

// connect reads CONNECT and lets the client in, or says why not.
func (c *conn) connect() error {
	p, err := c.in.Next()
	if err != nil {
		return err
	}
	c.door.known(c)
	if p.Type != mqttwire.TypeConnect {
		return refusal(mqttwire.ProtocolError, "%s before CONNECT", p.Type)
	}
	var m mqttwire.Connect
	err = m.Decode(p.Body)
	c.version, c.texts = m.Version, true // as long as nothing else was asked for
	if err != nil {
		return err
	}
	c.in.SetVersion(m.Version)
	for _, step := range []func(*mqttwire.Connect) error{c.name, c.authenticate, c.agree, c.setWill} {
		if err := step(&m); err != nil {
			return err
		}
	}
	if err := c.door.enter(c, c.accepted.Add(c.door.ConnectTimeout)); err != nil {
		return err
	}
	present, lsn, err := c.open(&m)
	if err != nil {
		return err
	}
	return c.welcome(present, lsn)
}

// name takes the client's identifier over, and what a refusal must keep to.
func (c *conn) name(m *mqttwire.Connect) error {
	if n, ok := m.Props.Uint32(mqttwire.MaximumPacketSize); ok {
		c.sizeMax = int(min(n, 1<<30))
	}
	wanted, ok := m.Props.Uint32(mqttwire.RequestProblemInformation)
	c.texts = !ok || wanted == 1
	switch {
	case m.Props.Has(mqttwire.AuthenticationMethod):
		return refusal(mqttwire.BadAuthenticationMethod, "enhanced authentication is not supported")
	case len(m.ClientID) > clientIDMax:
		return refusal(mqttwire.ClientIDNotValid, "client identifier of %d bytes, at most %d are taken", len(m.ClientID), clientIDMax)
	}
	c.client, c.bridge = m.ClientID, m.Bridge
	if c.assigned = c.client == ""; c.assigned {
		c.client = "auto-" + rand.Text()
	}
	c.log = c.door.Log.With("client", c.client)
	return nil
}

// agree takes over what the client asks for, as far as we go along.
func (c *conn) agree(m *mqttwire.Connect) error {
	d := c.door
	c.class = d.classOf(c.user, c.client)
	c.limits = &c.class.Limits
	c.in.SetMax(c.limits.PacketBytesMax)
	if m.HasWill && m.Will.QoS > *c.limits.QoSMax {
		return refusal(mqttwire.QoSNotSupported, "will of QoS %d, at most %d is taken", m.Will.QoS, *c.limits.QoSMax)
	}
	c.keepAlive = time.Duration(m.KeepAlive) * time.Second
	if limit := d.KeepAliveMax.Truncate(time.Second); m.Version == mqttwire.V5 && limit > 0 && (c.keepAlive == 0 || c.keepAlive > limit) {
		c.keepAlive, c.capped = limit, true
	}
	c.window = c.limits.ReceiveMax
	if n, ok := m.Props.Uint32(mqttwire.ReceiveMaximum); ok {
		c.window = min(c.window, int(n))
	}
	c.inflight.max = c.window
	if n, ok := m.Props.Uint32(mqttwire.TopicAliasMaximum); ok {
		c.aliases.max = min(int(n), outAliasesMax)
	}
	for name, value := range m.Props.UserProperties {
		c.node = c.node || string(name) == bridge.UserNode && bridge.ValidNode(string(value))
	}
	return nil
}

// welcome promises CONNACK and lets deliveries of the session begin behind it.
func (c *conn) welcome(present bool, lsn spool.LSN) error {
	packet, err := c.connack(present)
	if err == nil {
		err = c.fits(packet, mqttwire.TypeConnack)
	}
	if err != nil {
		return err
	}
	r := &reply{packet: packet}
	if c.session.consumer != nil {
		r.start = append(r.start, c.session.consumer)
	}
	if err := c.resumeShares(r); err != nil {
		return err
	}
	c.source.patience = c.keepAlive + c.keepAlive/2
	if c.source.patience == 0 {
		_ = c.socket.SetReadDeadline(time.Time{}) // it was that of CONNECT
	}
	c.door.counts.connected.Add(1)
	c.log.Info("mqtt client connected", "user", c.user, "peer", c.socket.RemoteAddr().String(), "version", c.version.String(), "session_present", present)
	c.welcomed = true
	if err := c.reply(lsn, r); err != nil {
		return err
	}
	return c.promiseOwed(0)
}

// fits ends the connection of a client that has no room for an answer (5.0,
// section 3.1.2.11.4): unlike a message, an answer cannot be left out. A client
// that takes our CONNACK takes any PUBACK.
func (c *conn) fits(packet []byte, kind mqttwire.Type) error {
	if c.sizeMax > 0 && len(packet) > c.sizeMax {
		return refusal(mqttwire.PacketTooLarge, "%s of %d bytes, the client takes %d", kind, len(packet), c.sizeMax)
	}
	return nil
}

func (c *conn) connack(present bool) ([]byte, error) {
	ack := mqttwire.Connack{SessionPresent: present}
	if c.version == mqttwire.V5 {
		var w mqttwire.PropertyWriter
		c.offer(&w)
		props, err := w.Properties()
		if err != nil {
			return nil, err
		}
		ack.Props = props
	}
	return mqttwire.AppendConnack(nil, c.version, &ack)
}

// offer says in CONNACK what we do and do not.
func (c *conn) offer(w *mqttwire.PropertyWriter) {
	w.Number(mqttwire.ReceiveMaximum, uint32(c.limits.ReceiveMax))
	w.Number(mqttwire.MaximumPacketSize, uint32(c.limits.PacketBytesMax))
	w.Number(mqttwire.TopicAliasMaximum, topicAliasMax)
	if most := *c.limits.QoSMax; most < 2 {
		w.Number(mqttwire.MaximumQoS, uint32(most))
	}
	if c.expiryCut {
		w.Number(mqttwire.SessionExpiry, c.expiry)
	}
	if c.assigned {
		w.Text(mqttwire.AssignedClientID, c.client)
	}
	if c.capped {
		w.Number(mqttwire.ServerKeepAlive, uint32(c.keepAlive/time.Second))
	}
	if c.node {
		w.User(bridge.UserNode, c.door.Broker.Node())
	}
}

// refuse answers a CONNECT that failed, if there is an answer to it: what is no
// CONNECT gets none (5.0, section 3.1.4), and 3.1.1 has few words for why.
func (c *conn) refuse(err error) {
	c.end(endingOf(err))
	why := c.why() // somebody else may have been first
	c.door.counts.refused.Add(1)
	switch log := c.log.With("peer", c.socket.RemoteAddr().String()); {
	case why.err != nil:
		log.Error("mqtt client refused", "reason", why.text, "err", why.err)
	case c.version == 0: // port scans, health probes
		log.Debug("mqtt connection without a client closed", "reason", why.text)
	default:
		log.Info("mqtt client refused", "reason", why.text)
	}
	if c.version == 0 && why.reason != mqttwire.UnsupportedProtocolVersion || why.silent || !why.reason.Failed() {
		return
	}
	for _, text := range []string{strings.ToValidUTF8(why.text, "?"), ""} { // without it if the client has no room
		if packet, err := c.refusing(&why, text); err == nil && c.fits(packet, mqttwire.TypeConnack) == nil {
			_, _ = c.socket.Write(packet) // the client may be gone; it is refused in any case
			return
		}
	}
}

// refusing is the CONNACK that refuses.
func (c *conn) refusing(why *ending, text string) ([]byte, error) {
	ack := mqttwire.Connack{Reason: why.reason}
	if c.version == mqttwire.V5 {
		var w mqttwire.PropertyWriter
		if why.server != "" {
			w.Text(mqttwire.ServerReference, why.server)
		}
		if c.texts && text != "" {
			w.Text(mqttwire.ReasonString, text)
		}
		ack.Props, _ = w.Properties() // without the text if it cannot be sent
	}
	return mqttwire.AppendConnack(nil, c.version, &ack)
}
