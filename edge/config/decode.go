package config

import (
	"log/slog"
	"time"

	"leveret/edge/users"
)

// Bounds of the values.
const (
	spoolBytesMin = 16 << 20

	commitsPerSecondMax = 100_000
	cardEnduranceMax    = 1_000_000 // TB
	commitWindowMax     = 5 * time.Second
	reconnectLeast      = 10 * time.Millisecond
	reconnectMost       = 24 * time.Hour
	prefetchDefault     = 256
	prefetchMax         = 65535
	channelsMost        = 65535
	channelsDefault     = 256
)

// decoder makes a Config of a tree.
type decoder struct {
	found  *collector
	folder string // where relative paths of secrets start

	// Names that must stand elsewhere in the file.
	inVHosts, ofUsers, routed []mention
}

// socketMode lets the service's own account connect, and those who were put into
// its group.
const socketMode = 0o660

// defaults is a Config without a file, before anything is chosen.
func defaults() *Config {
	return &Config{
		DataDir: "leveret-data",
		Log:     Log{Level: slog.LevelInfo},
		AMQP: AMQP{Listen: []string{"127.0.0.1:5672"}, SocketMode: socketMode, ExternalLogin: CommonName, Anonymous: AnonymousNever, Product: "leveret", Proxied: proxied(),
			ChannelsMax: channelsDefault, MapQueueTypes: MapQueueTypes{QueueQuorum, QueueRefused}},
		MQTT: MQTT{
			Listen: []string{"127.0.0.1:1883"}, SocketMode: socketMode, Anonymous: AnonymousLoopback, TopicDots: ExactDots, ClientIDTakeover: SameUser,
			CertificateLogin: NoName, CertificateClientID: NoName, Redirect: Temporary, Proxied: proxied(),
		},
		Admin: Admin{Listen: []string{"127.0.0.1:15672"}, SocketMode: socketMode, TrustLoopback: true},
	}
}

func proxied() Proxied { return Proxied{ProxyFrom: []string{"127.0.0.0/8", "::1/128"}} }

// guest is the account of a broker that nobody has configured yet.
func guest() User {
	return User{
		Name: "guest", Hash: users.HashPassword("guest"), Tags: []string{"administrator"},
		Configure: ".*", Write: ".*", Read: ".*", LoopbackOnly: true,
	}
}

// config reads the whole tree.
func (d *decoder) config(root *node) *Config {
	c := defaults()
	s := &section{found: d.found, table: root}
	if s.text("data_dir", &c.DataDir) && c.DataDir == "" {
		s.bad("data_dir", root.get("data_dir").value, "must not be empty")
	}
	choice(s, "profile", &c.Profile, "", Tiny, Small, Server)
	if c.Profile == "" {
		c.Profile = ProfileFor(AvailableMemory())
	}
	s.section("log", func(s *section) { d.log(s, &c.Log) })
	d.doors(s, c)
	c.Spool.CommitWindow = c.Profile.commitWindow()
	c.Spool.CommitsPerSecond = c.Profile.commitsPerSecond()
	c.Spool.Sync = true
	s.section("spool", func(s *section) { d.spool(s, &c.Spool) })
	s.section("devices", func(s *section) { d.devices(s, &c.Devices) })
	if c.Devices.Max == 0 {
		c.Devices.Max = c.Profile.devices()
	}
	d.topology(s, c)
	s.done()
	if len(c.Users) == 0 {
		c.Users = []User{guest()}
	}
	d.mentioned(c)
	d.routes(c)
	return c
}

func (d *decoder) log(s *section, l *Log) {
	var level string
	if choice(s, "level", &level, "debug", "info", "warn", "error") {
		l.Level.UnmarshalText([]byte(level)) // cannot fail: it is one of the four
	}
}

// doors reads the tables of everything that listens.
func (d *decoder) doors(s *section, c *Config) {
	s.section("amqp", func(s *section) {
		s.texts("listen", &c.AMQP.Listen, true, checkSocket)
		s.mode("socket_mode", &c.AMQP.SocketMode)
		s.texts("tls_listen", &c.AMQP.TLSListen, true, checkAddress)
		d.certificates(s, &c.AMQP.TLS, len(c.AMQP.TLSListen) > 0)
		d.logins(s, &c.AMQP)
		s.name("product", &c.AMQP.Product)
		s.short("product_version", &c.AMQP.ProductVersion)
		d.proxied(s, &c.AMQP.Proxied)
		s.integer("channels_max", &c.AMQP.ChannelsMax, 1, channelsMost)
		s.section("map_queue_types", func(s *section) {
			choice(s, "quorum", &c.AMQP.MapQueueTypes.Quorum, QueueClassic, QueueQuorum, QueueRefused)
			choice(s, "stream", &c.AMQP.MapQueueTypes.Stream, QueueClassic, QueueQuorum, QueueRefused)
		})
	})
	c.MQTT.ConnectionsMax, c.MQTT.MQTTLimits = c.Profile.connections(), c.Profile.mqttLimits()
	s.section("mqtt", func(s *section) { d.mqtt(s, &c.MQTT) })
	s.section("admin", func(s *section) {
		s.texts("listen", &c.Admin.Listen, true, checkSocket)
		s.mode("socket_mode", &c.Admin.SocketMode)
		s.boolean("trust_loopback", &c.Admin.TrustLoopback)
	})
	d.unshared(s, c)
}

// logins reads who comes into the AMQP door without a password.
func (d *decoder) logins(s *section, a *AMQP) {
	choice(s, "external_login", &a.ExternalLogin, CommonName, DistinguishedName, SubjectAlternativeName)
	choice(s, "anonymous", &a.Anonymous, AnonymousNever, AnonymousLoopback, AnonymousAlways)
	if s.has("anonymous_user") || a.Anonymous != AnonymousNever {
		d.account(s, "anonymous_user", &a.AnonymousUser)
	}
	s.knows("anonymous_user")
}

func (d *decoder) spool(s *section, to *Spool) {
	s.size("max_bytes", &to.MaxBytes, spoolBytesMin)
	s.integer("commits_per_second", &to.CommitsPerSecond, 0, commitsPerSecondMax)
	s.boolean("sync", &to.Sync)
	s.integer("card_endurance", &to.CardEndurance, 0, cardEnduranceMax)
	if n := s.value("commit_window"); n != nil && n.kind == text && n.text == "" {
		return // left to the profile
	}
	s.duration("commit_window", &to.CommitWindow, 0, commitWindowMax)
}
