package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"time"

	"leveret/amqp"
	"leveret/bridge/mqttwire"
)

// Shovel moves messages from a source to a target, in order, and takes them out
// of the source when the target has confirmed them: from a queue here to a
// broker elsewhere, from a broker elsewhere to an exchange here.
type Shovel struct {
	// Name is what logs, status and metrics call it, at most 255 bytes.
	Name   string       // name
	Source ShovelSource // source
	Target ShovelTarget // target
	// Prefetch is how many messages are under way unconfirmed, 1 to 65535.
	// [256]
	Prefetch int // prefetch
	// ReconnectMin and ReconnectMax bound the pause before the next try to
	// reach the other side; it doubles from the one to the other, with jitter.
	// From 10ms to 24h. [1s, 60s]
	ReconnectMin time.Duration // reconnect_min
	ReconnectMax time.Duration // reconnect_max
	// OnRefusal says what becomes of a message that the target itself refuses,
	// or has no queue for, RefusalTries times in a row: "dead-letter" puts it
	// into the dead letter exchange of the source queue, with the reason when
	// that is here, and holds it where there is no such place for it or none is
	// known; "hold" keeps it, and what is behind it waits; "drop" throws it away.
	// ["dead-letter"]
	OnRefusal OnRefusal // on_refusal
	// RefusalTries is from 1 to 1000. Between tries are the pauses above. [10]
	RefusalTries int // refusal_tries
}

// OnRefusal is what becomes of a message that the far side never takes.
type OnRefusal string

const (
	RefusalDeadLetter OnRefusal = "dead-letter"
	RefusalHold       OnRefusal = "hold"
	RefusalDrop       OnRefusal = "drop"
)

// ShovelSource is where a shovel takes from: a queue here, or without one a
// broker elsewhere, of AMQP 0-9-1 or MQTT 5.
type ShovelSource struct {
	// Queue is the name of a queue here, or at an AMQP broker elsewhere.
	Queue string // queue
	// VHost is the name of the vhost of a queue here. ["/"]
	VHost string // vhost
	// Remote names a broker elsewhere.
	Remote
	RemoteQueue
	// Topics are the topic filters to subscribe to at an MQTT broker, at least
	// one.
	Topics []string // topics
	// QoS is the most that messages come with, 0, 1 or 2. With 0 they may be
	// lost with the connection. A broker that grants less is not taken from. [1]
	QoS int // qos
	// SessionExpiry is how long messages wait there while this broker is away,
	// from 1s to 8760h. [168h]
	SessionExpiry time.Duration // session_expiry
	// PacketMax bounds what that broker may send at once, at most 16MiB: larger
	// messages it drops. [1MiB]
	PacketMax Size // packet_max
	// Will is what that broker publishes when this one is gone without a
	// goodbye. [none]
	Will *Will // will
}

// RemoteQueue is what a source at an AMQP broker elsewhere has beside a queue.
type RemoteQueue struct {
	// Exchange is bound to the queue with Key. Without queue the queue is one of
	// the shovel's own, whose name is made of the shovel's and this broker's; it
	// stays there, and fills, when this broker is away and when the shovel is
	// taken out of the file. [""]
	Exchange string // exchange
	Key      string // key; [""]
	// Declare makes the queue, durable, when it is not there; with an exchange
	// that is so anyway. Otherwise it must be there. [false]
	Declare bool // declare
	// Arguments are those of a queue that is declared.
	Arguments amqp.Table // arguments
	// Exclusive lets nobody else consume from the queue, which keeps the order
	// when a link is lost that the other broker takes for a living one. Queues
	// with a single active consumer refuse it. [true]
	Exclusive bool // exclusive
	// StreamOffset says that the queue is a stream, and where to begin in it the
	// first time: "first", "last", "next", a number, a time like
	// "2026-01-31T12:00:00Z" or an interval like "7D". [""]
	StreamOffset string // stream_offset
	// DeadLetters says that the queue has a dead letter exchange: what can never
	// be taken is rejected into it. Without one the other broker would throw it
	// away. It is known where Arguments have x-dead-letter-exchange. [false]
	DeadLetters bool // dead_letters
}

// Will is an MQTT will.
type Will struct {
	Topic   string // topic
	Payload string // payload
	QoS     int    // qos; [0]
	Retain  bool   // retain; [false]
}

// ShovelTarget is where a shovel brings to: a broker elsewhere, or without a
// URI an exchange here.
type ShovelTarget struct {
	// Remote names a broker elsewhere, of AMQP 0-9-1 or MQTT 5.
	Remote
	// Exchange is where to publish, here or at an AMQP broker. "" is the
	// nameless exchange, which brings a message to the queue that Key names. At
	// least one of Exchange and Key is given. [""]
	Exchange string // exchange
	// Key replaces the routing key; "" leaves the message its own. [""]
	Key string // key
	// VHost is the name of the vhost of an exchange here. ["/"]
	VHost string // vhost
	// Mandatory refuses messages that no queue takes, of an exchange here;
	// elsewhere it is always so. [false]
	Mandatory bool // mandatory
	// Topic, at an MQTT broker, replaces the topic that a message's routing key
	// stands for. [""]
	Topic string // topic
	// Prefix, at an MQTT broker, is put before that topic otherwise. [""]
	Prefix string // prefix
}

// Remote is a broker elsewhere.
type Remote struct {
	// URI is amqp://user:password@host:port/vhost, amqps for TLS, or
	// mqtt://user:password@host:port, mqtts for TLS, given as exactly one of
	// uri, uri_file (a file with the URI alone; found like a password_file) and
	// uri_env (the name of an environment variable). Reserved characters of the
	// user and the password are percent-encoded. Options after a ? are not
	// read, and therefore refused.
	URI URI // uri, uri_file, uri_env
	// ClientID names the MQTT session. [made of the shovel's name and this broker's]
	ClientID string // client_id
	// KeepAlive is how often an MQTT connection shows that it lives, from 1s to
	// 1h. [30s]
	KeepAlive time.Duration // keep_alive
	// CAFile has the certificates, in PEM form, that the broker's may be signed
	// by; "" is those of the system. CertFile and KeyFile are the certificate
	// that is shown to it. ServerName is what its certificate must be for; "" is
	// the host of the URI. They are read when the shovel starts. [""]
	CAFile     string // ca_file
	CertFile   string // cert_file
	KeyFile    string // key_file
	ServerName string // server_name
}

// Here reports that no broker elsewhere is named.
func (r *Remote) Here() bool { return r.URI == URI{} }

var uriKeys = []string{"uri", "uri_file", "uri_env"}

const (
	awayMost      = 8760 * time.Hour
	packetMaxMost = 16 << 20
	clientIDMax   = 200
	pemBytesMax   = 1 << 20
)

func (d *decoder) shovel(s *section) Shovel {
	v := Shovel{
		Prefetch: prefetchDefault, ReconnectMin: time.Second, ReconnectMax: time.Minute,
		OnRefusal: RefusalDeadLetter, RefusalTries: 10,
	}
	d.must(s, "name", &v.Name, "cloud")
	v.Source.VHost, v.Target.VHost = DefaultVHost, DefaultVHost
	s.section("source", func(s *section) { d.source(s, &v.Source) })
	if !s.has("source") {
		s.lacks("source", `is missing; write source = {queue = "readings"}`)
	}
	s.section("target", func(s *section) { d.target(s, &v.Target) })
	if !s.has("target") {
		s.lacks("target", `is missing; write target = {uri = "amqps://user:password@host/vhost", exchange = "readings"}`)
	}
	s.integer("prefetch", &v.Prefetch, 1, prefetchMax)
	s.duration("reconnect_min", &v.ReconnectMin, reconnectLeast, reconnectMost)
	s.duration("reconnect_max", &v.ReconnectMax, reconnectLeast, reconnectMost)
	if v.ReconnectMin > v.ReconnectMax {
		at := s.table.at
		if f := s.table.get("reconnect_min"); f != nil {
			at = f.value.at
		}
		d.found.add(at, s.key("reconnect_min"), "must be at most reconnect_max, which is %s", shortly(v.ReconnectMax))
	}
	choice(s, "on_refusal", &v.OnRefusal, RefusalDeadLetter, RefusalHold, RefusalDrop)
	s.integer("refusal_tries", &v.RefusalTries, 1, 1000)
	return v
}

// Keys of the sources of a kind.
var (
	sessionKeys      = []string{"client_id", "keep_alive"}
	subscriptionKeys = append([]string{"topics", "qos", "session_expiry", "packet_max", "will"}, sessionKeys...)
	remoteQueueKeys  = []string{"exchange", "key", "declare", "arguments", "exclusive", "stream_offset", "dead_letters"}
	certificateKeys  = []string{"ca_file", "cert_file", "key_file", "server_name"}
)

// source reads a queue here, or a queue or topics of a broker elsewhere.
func (d *decoder) source(s *section, to *ShovelSource) {
	remote := slices.ContainsFunc(uriKeys, s.has)
	s.knows(uriKeys...)
	if !remote {
		if !s.has("queue") {
			s.lacks("queue", `is missing; write queue = "readings", or the uri of a broker elsewhere`)
		}
		s.name("queue", &to.Queue)
		d.vhost(s, &to.VHost)
		s.only("for a source with a uri", certificateKeys...)
		s.only("for a source with an mqtt:// uri", subscriptionKeys...)
		s.only("for a source with an amqp:// uri", remoteQueueKeys...)
		return
	}
	s.only("for a source here, without a uri", "vhost")
	d.uri(s, &to.URI)
	switch {
	case to.Here(): // which is told; what else is right depends on it
		s.knows("queue")
		for _, keys := range [][]string{certificateKeys, subscriptionKeys, remoteQueueKeys} {
			s.knows(keys...)
		}
	case to.URI.IsMQTT():
		s.only("for a source here, or one with an amqp:// uri", "queue")
		s.only("for a source with an amqp:// uri", remoteQueueKeys...)
		d.subscription(s, to)
	default:
		s.only("for a source with an mqtt:// uri", subscriptionKeys...)
		d.remoteQueue(s, to)
	}
}

// remoteQueue reads a queue of an AMQP broker elsewhere.
func (d *decoder) remoteQueue(s *section, to *ShovelSource) {
	d.verified(s, &to.Remote)
	s.name("queue", &to.Queue)
	s.name("exchange", &to.Exchange)
	s.short("key", &to.Key)
	s.boolean("declare", &to.Declare)
	d.arguments(s, &to.Arguments)
	to.Exclusive = true
	s.boolean("exclusive", &to.Exclusive)
	s.boolean("dead_letters", &to.DeadLetters)
	if !s.has("queue") && !s.has("exchange") {
		s.lacks("queue", `is missing; write queue = "commands", or the exchange to which one is to be bound`)
	}
	if !s.has("exchange") {
		s.only("with an exchange, to which it binds the queue", "key")
		if !to.Declare {
			s.only("for a queue that is declared: with declare = true or an exchange", "arguments")
		}
	}
	d.streamOffset(s, &to.StreamOffset)
}

// streamOffset reads where to begin in a stream.
func (d *decoder) streamOffset(s *section, to *string) {
	n := s.value("stream_offset")
	switch {
	case n == nil:
	case n.kind != text && n.kind != integer && n.kind != date:
		s.bad("stream_offset", n, "must be text or a whole number, found %s", n.kind)
	case !isStreamOffset(n.text):
		s.bad("stream_offset", n, `must be "first", "last", "next", a number, a time like "2026-01-31T12:00:00Z" or an interval like "7D"`)
	default:
		*to = n.text
	}
}

// streamInterval is an interval as RabbitMQ writes it: years to seconds.
var streamInterval = regexp.MustCompile(`^[0-9]{1,9}[YMDhms]$`)

func isStreamOffset(text string) bool {
	if text == "" || text == "first" || text == "last" || text == "next" || streamInterval.MatchString(text) {
		return true
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n >= 0
	}
	t, err := time.Parse(time.RFC3339, text)
	return err == nil && t.Unix() >= 0
}

// subscription reads topics of an MQTT broker elsewhere.
func (d *decoder) subscription(s *section, to *ShovelSource) {
	d.session(s, &to.Remote)
	to.QoS, to.SessionExpiry, to.PacketMax = 1, 7*24*time.Hour, 1<<20
	s.texts("topics", &to.Topics, true, checkFilter)
	if n := s.table.get("topics"); n == nil {
		s.lacks("topics", `is missing; write topics = ["zigbee2mqtt/#"]`)
	} else if n.value.kind == list && len(n.value.items) == 0 {
		s.bad("topics", n.value, "must not be empty")
	}
	s.integer("qos", &to.QoS, 0, 2)
	s.duration("session_expiry", &to.SessionExpiry, time.Second, awayMost)
	s.size("packet_max", &to.PacketMax, 1<<10)
	if to.PacketMax == 0 || to.PacketMax > packetMaxMost {
		s.bad("packet_max", s.table.get("packet_max").value, "must be from 1KiB to 16MiB")
	}
	s.section("will", func(s *section) {
		to.Will = &Will{}
		s.text("topic", &to.Will.Topic)
		if !s.has("topic") {
			s.lacks("topic", "is missing")
		} else if !mqttwire.ValidTopic(to.Will.Topic) {
			s.bad("topic", s.table.get("topic").value, "must be a topic, not empty and without wildcards")
		}
		s.text("payload", &to.Will.Payload)
		s.integer("qos", &to.Will.QoS, 0, 2)
		s.boolean("retain", &to.Will.Retain)
	})
}

// target reads an exchange here, or where to publish at a broker elsewhere.
func (d *decoder) target(s *section, t *ShovelTarget) {
	s.knows(uriKeys...)
	if !slices.ContainsFunc(uriKeys, s.has) {
		d.vhost(s, &t.VHost)
		s.boolean("mandatory", &t.Mandatory)
		s.only("for a target with a uri", certificateKeys...)
		s.only("for a target with an mqtt:// uri", "client_id", "keep_alive", "topic", "prefix")
		d.address(s, t, "is missing; write where to publish: exchange or key here, or the uri of a broker elsewhere")
		return
	}
	d.uri(s, &t.URI)
	s.only("for a target here, without a uri", "vhost", "mandatory")
	if t.Here() { // which is told; what else is right depends on it
		s.knows("exchange", "key", "topic", "prefix", "client_id", "keep_alive", "ca_file", "cert_file", "key_file", "server_name")
		return
	}
	if t.URI.IsMQTT() {
		d.session(s, &t.Remote)
		s.only("for exchanges; write topic or prefix for MQTT", "exchange", "key")
		topic(s, "topic", &t.Topic)
		topic(s, "prefix", &t.Prefix)
		if t.Topic != "" && t.Prefix != "" {
			s.bad("prefix", s.table.get("prefix").value, "topic is there as well, which replaces the whole topic")
		}
		return
	}
	d.verified(s, &t.Remote)
	s.only("for a target with an mqtt:// uri", "client_id", "keep_alive", "topic", "prefix")
	d.address(s, t, "is missing; write where to publish: exchange, or key with the name of a queue there")
}

// address reads an exchange and a key.
func (d *decoder) address(s *section, t *ShovelTarget, missing string) {
	s.short("exchange", &t.Exchange)
	s.short("key", &t.Key)
	switch exchange := s.table.get("exchange"); {
	case t.Key != "" || t.Exchange != "":
	case exchange == nil:
		s.lacks("exchange", "%s", missing)
	case exchange.value.kind == text && exchange.value.text == "":
		s.bad("exchange", exchange.value, `the nameless exchange "" needs a key: the name of a queue there`)
	}
}

// uri reads the one of three keys that is there, and says which.
func (d *decoder) uri(s *section, to *URI) (from string) {
	var uri string
	var right bool
	from = s.one(uriKeys...)
	switch from {
	case "uri":
		right = s.text("uri", &uri)
	case "uri_file":
		right = d.secretFile(s, "uri_file", &uri)
	case "uri_env":
		right = d.secretEnv(s, "uri_env", &uri)
	}
	if right {
		var err error
		if *to, err = NewURI(uri); err != nil {
			s.bad(from, s.table.get(from).value, "%s", err)
		}
	}
	return from
}

// session reads what an MQTT connection wants to know.
func (d *decoder) session(s *section, to *Remote) {
	d.verified(s, to)
	if s.name("client_id", &to.ClientID) && (len(to.ClientID) > clientIDMax || !mqttwire.ValidText(to.ClientID)) {
		s.bad("client_id", s.table.get("client_id").value, "must be text of at most %d bytes", clientIDMax)
	}
	to.KeepAlive = 30 * time.Second
	s.duration("keep_alive", &to.KeepAlive, time.Second, time.Hour)
}

// verified reads how a TLS connection proves who is who.
func (d *decoder) verified(s *section, to *Remote) {
	if !to.Here() && !to.URI.isTLS() {
		s.only("for amqps:// and mqtts://", certificateKeys...)
		return
	}
	d.file(s, "ca_file", &to.CAFile)
	d.file(s, "cert_file", &to.CertFile)
	d.file(s, "key_file", &to.KeyFile)
	s.name("server_name", &to.ServerName)
	if to.CAFile != "" {
		if pem, err := readAtMost(to.CAFile, pemBytesMax); err != nil {
			s.bad("ca_file", s.table.get("ca_file").value, "%q cannot be read: %s", to.CAFile, reason(err))
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			s.bad("ca_file", s.table.get("ca_file").value, "there is no certificate in PEM form in it")
		}
	}
	if to.CertFile != "" && to.KeyFile != "" {
		if _, err := tls.LoadX509KeyPair(to.CertFile, to.KeyFile); err != nil {
			s.bad("cert_file", s.table.get("cert_file").value, "the certificate cannot be used: %s", reason(err))
		}
	}
	switch {
	case s.has("cert_file") && !s.has("key_file"):
		s.lacks("key_file", "is missing: cert_file needs it")
	case s.has("key_file") && !s.has("cert_file"):
		s.lacks("cert_file", "is missing: key_file needs it")
	}
}

// only notes keys that are there and mean nothing here.
func (s *section) only(where string, names ...string) {
	s.knows(names...)
	for _, name := range names {
		if f := s.table.get(name); f != nil {
			s.found.add(f.at, s.key(name), "is only %s", where)
		}
	}
}

// topic reads the beginning of a topic or all of it.
func topic(s *section, name string, to *string) {
	if s.text(name, to) && !mqttwire.ValidTopic(*to) {
		s.bad(name, s.table.get(name).value, "must be a topic, not empty and without wildcards")
	}
}

func checkFilter(filter string) error {
	if !mqttwire.ValidFilter(filter) {
		return errors.New("not a topic filter that MQTT allows")
	}
	return nil
}
