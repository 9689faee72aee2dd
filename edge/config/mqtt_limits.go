package config

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"leveret/bridge/mqttwire"
	"leveret/edge/users"
)

// MQTTLimits bound what one MQTT client may use. They stand in [mqtt] for all
// clients and in a [[mqtt.class]] for some of them; what a class leaves out is
// as in [mqtt]. [restart]
type MQTTLimits struct {
	// PacketBytesMax is the largest packet that is taken, from 1KiB to 256MiB;
	// MQTT 5 clients are told. [1MiB]
	PacketBytesMax Size // packet_bytes_max
	// InflightMax is how many messages of QoS 1 and 2 may be unacknowledged in
	// each direction, 1 to 16383. MQTT 5 clients are told; others are not read
	// from beyond it. [by the profile: tiny 32, others 100]
	InflightMax int // inflight_max
	// SubscriptionsMax bounds the subscriptions of a session, 1 to 100000;
	// further ones are refused. [by the profile: tiny 200, others 1000]
	SubscriptionsMax int // subscriptions_max
	// SessionExpiryMax is how long a session is kept at most after its
	// connection ended, up to 87600h; MQTT 5 clients are told. 0s is as long as
	// the client asks. [0s]
	SessionExpiryMax time.Duration // session_expiry_max
	// MessagesPerSecond is how many messages a client may publish, a second's
	// worth at once; one that sends more is read from more slowly, which loses
	// nothing. Up to 1000000; 0 is no bound. [0]
	MessagesPerSecond int // messages_per_second
	// QoSMax is the highest QoS that is taken and granted: 0, 1 or 2. MQTT 5
	// clients are told; others are disconnected when they publish above it. [2]
	QoSMax int // qos_max
	// QueuedMax and QueuedBytesMax (of payloads) bound what waits in a session.
	// With 0 a session that is kept has no bound but the spool's, and one that
	// ends with its connection 10000 messages. They count when a session
	// begins. [0]
	QueuedMax      int  // queued_max
	QueuedBytesMax Size // queued_bytes_max
	// Overflow is what gives way beyond that: drop-head (the oldest),
	// reject-publish (the new one: MQTT 5 publishers get Quota Exceeded, older
	// ones are disconnected), thin (every second of the older ones) or
	// keep-last (the older one of the same topic). [drop-head]
	Overflow Overflow // overflow
}

// MQTTClass is a kind of MQTT client with limits of its own. The first class
// that a client is of counts. [none; restart]
type MQTTClass struct {
	// Name is what logs call it.
	Name string // name
	// User and Client are regular expressions, searched in the name of the user
	// and in the client id; the client must match both. "" matches all. [""]
	User   string // user
	Client string // client
	// ConnectionsMax bounds the clients of the class, all together, at most
	// 1000000; 0 is no bound but the door's. [0]
	ConnectionsMax int // connections_max
	MQTTLimits
}

// MQTTRoute says in which exchange topics live, for those who publish and those
// who subscribe. The first one that matches a topic counts; what matches none
// is in amq.topic. Sessions that are kept and retained values follow routes that
// are new; values in an exchange that no route names any more stay there. [none;
// restart]
type MQTTRoute struct {
	// Topic is a topic filter, like "zigbee2mqtt/#".
	Topic string // topic
	// Exchange is the name of a topic exchange of the vhost "/": amq.topic or a
	// durable one that this file declares.
	Exchange string // exchange
}

// Overflow is what gives way in a full queue.
type Overflow string

const (
	DropHead      Overflow = "drop-head"
	RejectPublish Overflow = "reject-publish"
	Thin          Overflow = "thin"
	KeepLast      Overflow = "keep-last"
)

// Bounds of the limits.
const (
	packetBytesMin    = 1 << 10
	packetBytesMost   = 256 << 20
	inflightMost      = 16_383
	subscriptionsMost = 100_000
	sessionExpiryMost = 87_600 * time.Hour
	queuedMost        = 1_000_000_000
	keepAliveMost     = 65_535 * time.Second
)

// mqttLimits are the profile's defaults.
func (p Profile) mqttLimits() MQTTLimits {
	l := MQTTLimits{PacketBytesMax: 1 << 20, InflightMax: 100, SubscriptionsMax: 1000, QoSMax: 2, Overflow: DropHead}
	if p == Tiny {
		l.InflightMax, l.SubscriptionsMax = 32, 200
	}
	return l
}

func (d *decoder) mqttLimits(s *section, l *MQTTLimits) {
	if s.size("packet_bytes_max", &l.PacketBytesMax, packetBytesMin) && (l.PacketBytesMax == 0 || l.PacketBytesMax > packetBytesMost) {
		s.bad("packet_bytes_max", s.table.get("packet_bytes_max").value, "must be from 1KiB to 256MiB")
	}
	s.integer("inflight_max", &l.InflightMax, 1, inflightMost)
	s.integer("subscriptions_max", &l.SubscriptionsMax, 1, subscriptionsMost)
	s.duration("session_expiry_max", &l.SessionExpiryMax, 0, sessionExpiryMost)
	s.integer("messages_per_second", &l.MessagesPerSecond, 0, limitMost)
	s.integer("qos_max", &l.QoSMax, 0, 2)
	s.integer("queued_max", &l.QueuedMax, 0, queuedMost)
	s.size("queued_bytes_max", &l.QueuedBytesMax, 1)
	choice(s, "overflow", &l.Overflow, DropHead, RejectPublish, Thin, KeepLast)
}

func (d *decoder) mqttClass(s *section, base MQTTLimits) MQTTClass {
	k := MQTTClass{MQTTLimits: base}
	d.must(s, "name", &k.Name, "sensors")
	pattern(s, "user", &k.User, users.CheckPattern)
	pattern(s, "client", &k.Client, users.CheckPattern)
	s.integer("connections_max", &k.ConnectionsMax, 0, limitMost)
	d.mqttLimits(s, &k.MQTTLimits)
	return k
}

var errFilter = errors.New(`not a topic filter; write it like "zigbee2mqtt/#" or "plant/+/temp"`)

// mqttRoute reads a route; that there is such an exchange is seen at the end.
func (d *decoder) mqttRoute(s *section) MQTTRoute {
	var r MQTTRoute
	if s.text("topic", &r.Topic) && (!mqttwire.ValidFilter(r.Topic) || strings.HasPrefix(r.Topic, "$share/")) {
		s.bad("topic", s.table.get("topic").value, "%s", errFilter)
	}
	if !s.has("topic") {
		s.lacks("topic", `is missing; write topic = "zigbee2mqtt/#"`)
	}
	d.must(s, "exchange", &r.Exchange, "home")
	if r.Exchange != "" {
		d.routed = append(d.routed, mention{s.table.get("exchange").value.at, s.key("exchange"), r.Exchange})
	}
	return r
}

// routes reports routes to what is no topic exchange.
func (d *decoder) routes(c *Config) {
	for _, m := range d.routed {
		if m.name == "amq.topic" {
			continue
		}
		var found *Exchange
		for i := range c.Exchanges {
			if e := &c.Exchanges[i]; e.Name == m.name && e.VHost == DefaultVHost {
				found = e
			}
		}
		switch {
		case found == nil:
			d.found.add(m.at, m.key, "there is no [[exchange]] with the name %q in the vhost %q", m.name, DefaultVHost)
		case found.Type != "topic":
			d.found.add(m.at, m.key, "the exchange %q is of type %q; topics need one of type topic", m.name, found.Type)
		case !found.Durable || found.AutoDelete || found.Internal:
			d.found.add(m.at, m.key, "the exchange %q must be durable, and neither auto_delete nor internal", m.name)
		case strings.HasPrefix(m.name, "mqtt."):
			d.found.add(m.at, m.key, `names that begin with "mqtt." belong to the MQTT door`)
		}
	}
}

// Pattern is one of a class's regular expressions; nil for one that matches all.
func Pattern(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil // the file would have been refused
	}
	return re
}
