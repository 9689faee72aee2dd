package config

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"leveret/amqp"
	"leveret/edge/users"
)

var comparable = cmp.Options{cmp.AllowUnexported(users.Hash{}, URI{}), cmpopts.EquateEmpty()}

func mustParse(t *testing.T, file string, sets ...string) *Config {
	t.Helper()
	c, err := Parse("leveret.toml", []byte(file), sets)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, "")
	profile := ProfileFor(AvailableMemory())
	want := &Config{
		DataDir: "leveret-data",
		Profile: profile,
		AMQP: AMQP{Listen: []string{"127.0.0.1:5672"}, SocketMode: 0o660, ExternalLogin: CommonName, Anonymous: AnonymousNever, Product: "leveret", Proxied: Proxied{ProxyFrom: []string{"127.0.0.0/8", "::1/128"}},
			ChannelsMax: 256, MapQueueTypes: MapQueueTypes{QueueQuorum, QueueRefused}},
		MQTT: MQTT{
			Listen: []string{"127.0.0.1:1883"}, SocketMode: 0o660, Anonymous: "loopback", TopicDots: "exact", ClientIDTakeover: "same_user", CertificateLogin: "none",
			CertificateClientID: "none", Redirect: "temporary", ConnectionsMax: profile.connections(), MQTTLimits: profile.mqttLimits(),
			Proxied: Proxied{ProxyFrom: []string{"127.0.0.0/8", "::1/128"}},
		},
		Admin:   Admin{Listen: []string{"127.0.0.1:15672"}, SocketMode: 0o660, TrustLoopback: true},
		Spool:   Spool{CommitWindow: profile.commitWindow(), CommitsPerSecond: profile.commitsPerSecond(), Sync: true},
		Devices: Devices{Max: profile.devices()},
		Users: []User{{
			Name: "guest", Hash: users.HashPassword("guest"), Tags: []string{"administrator"},
			Configure: ".*", Write: ".*", Read: ".*", LoopbackOnly: true,
		}},
	}
	if diff := cmp.Diff(want, c, comparable); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if loaded, err := Load("", nil); err != nil || len(Diff(c, loaded)) != 0 {
		t.Errorf("Load without a path: %v, %v", Diff(c, loaded), err)
	}
}

func TestWholeFile(t *testing.T) {
	t.Setenv("UPLINK", "amqp://u:p@h/v")
	c := mustParse(t, "\ufeff"+`# a comment
data_dir = '/var/lib/leveret'
profile = "tiny"
log.level = "debug"
[amqp]
listen = ["127.0.0.1:0", "[::1]:5672", "unix:/run/a.sock"]
socket_mode = "0666"
external_login = "distinguished_name"
anonymous = "loopback"
anonymous_user = "anna"
product = "RabbitMQ"
product_version = "3.10.8"
channels_max = 31
map_queue_types = {quorum = "classic", stream = "quorum"}
[mqtt]
listen = []
socket_mode = "600"
websocket_listen = "unix.example:8083"
websocket_origins = ["*.example:1", "*"]
keep_qos0 = true
publisher_header = true
topic_dots = "rabbit"
anonymous = "never"
client_ids = "^{username}-"
client_id_takeover = "any"
redirect_to = "h:1"
redirect = "moved"
connections_max = 7
keep_alive_max = "1m"
packet_bytes_max = "2KiB"
inflight_max = 3
session_expiry_max = "1h"
messages_per_second = 4
qos_max = 1
queued_max = 5
queued_bytes_max = 6
overflow = "thin"
proxy_protocol = true
proxy_from = "10.0.0.0/8"
[[mqtt.class]]
name = "s"
user = "u"
client = "^c"
connections_max = 8
qos_max = 0
queued_max = 0
overflow = "keep-last"
[[mqtt.route]]
topic = "z/#"
exchange = "amq.topic"
[admin]
listen = [":15672", "unix:/run/b.sock"]
socket_mode = "0640"
trust_loopback = false
[spool]
max_bytes = "1.5GiB"
commit_window = "7ms"
commits_per_second = 25
sync = false
card_endurance = 80
[devices]
max = 12
silent_after = "15m"
[[devices.rule]]
client = "meter-*"
silent_after = "1h"
[[devices.rule]]
client = "display"
silent_after = "0s"
[[user]]
name = "anna"
password = """
long
er"""
tags = ["monitoring"]
write = ""
read = '^a\.b$'
connections_max = 3
channels_max = 4
[[vhost]]
name = "lab"
connections_max = 5
queues_max = 6
[[user]]
name = "ben"
password = "b"
read = "r"
[[permission]]
user = "ben"
vhost = "lab"
write = "^w$"
[[topic_permission]]
user = "anna"
write = "^{client_id}"
[[topic_permission]]
user = "anna"
vhost = "lab"
exchange = "t"
read = ""
[[exchange]]
name = "e"
type = "headers"
durable = false
auto_delete = true
internal = true
[exchange.arguments]
alternate-exchange = "amq.fanout"
x-a.b = [1, -2.5, true, {c = "d"}]
[[queue]]
name = "q"
arguments = {x-max-length = 0x10, x-f = 1_000.5}
[[queue]]
name = "q"
vhost = "lab"
[[binding]]
source = "amq.topic"
destination = "q"
key = "a.#"
arguments = {x-match = "all"}
[[binding]]
vhost = "lab"
source = "amq.topic"
destination = "amq.fanout"
destination_type = "exchange"
[[policy]]
name = "short"
vhost = "lab"
pattern = "^a"
apply_to = "queues"
priority = -1
operator = true
definition = {max-length = 9}
[[shovel]]
name = "up"
source = {queue = "q"}
target = {uri_env = "UPLINK", key = "k"}
prefetch = 1
on_refusal = "drop"
refusal_tries = 3
reconnect_min = "10ms"
reconnect_max = "24h"
[[shovel]]
name = "up2"
source = {queue = "q", vhost = "lab"}
target.uri = "amqps://u:p%40@h:5671/%2F"
target.exchange = ""
target.key = "far"
target.server_name = "h2"
[[shovel]]
name = "home"
on_refusal = "hold"
[shovel.source]
uri = "mqtts://z:p@h"
topics = ["zigbee2mqtt/#", "a/+"]
qos = 2
client_id = "box"
keep_alive = "1m"
session_expiry = "1h"
packet_max = "2MiB"
will = {topic = "w", payload = "gone", qos = 1, retain = true}
[shovel.target]
exchange = "amq.topic"
vhost = "lab"
mandatory = true
[[shovel]]
name = "mqtt"
source = {queue = "q"}
target = {uri = "mqtt://h:1884", prefix = "site7/"}
[[shovel]]
name = "commands"
source = {uri = "amqps://u:p@h", queue = "c", exchange = "x", key = "site.#", arguments = {x-queue-type = "quorum"}, exclusive = false, dead_letters = true}
target = {exchange = "amq.topic"}
[[shovel]]
name = "stream"
source = {uri = "amqp://h", queue = "s", declare = true, stream_offset = 2026-01-31T12:00:00Z}
target = {exchange = "amq.topic"}
`)
	want := &Config{
		DataDir: "/var/lib/leveret",
		Profile: Tiny,
		Log:     Log{slog.LevelDebug},
		AMQP: AMQP{
			Listen: []string{"127.0.0.1:0", "[::1]:5672", "unix:/run/a.sock"}, SocketMode: 0o666,
			ExternalLogin: DistinguishedName, Anonymous: AnonymousLoopback, AnonymousUser: "anna",
			Product: "RabbitMQ", ProductVersion: "3.10.8",
			Proxied:     Proxied{ProxyFrom: []string{"127.0.0.0/8", "::1/128"}},
			ChannelsMax: 31, MapQueueTypes: MapQueueTypes{QueueClassic, QueueQuorum},
		},
		MQTT: MQTT{
			Listen: []string{}, SocketMode: 0o600, WebSocketListen: []string{"unix.example:8083"}, WebSocketOrigins: []string{"*.example:1", "*"},
			KeepQoS0: true, PublisherHeader: true, TopicDots: RabbitDots, Anonymous: AnonymousNever, ClientIDs: "^{username}-", ClientIDTakeover: AnyUser,
			CertificateLogin: NoName, CertificateClientID: NoName, RedirectTo: "h:1", Redirect: Moved,
			ConnectionsMax: 7, KeepAliveMax: time.Minute, MQTTLimits: MQTTLimits{
				PacketBytesMax: 2048, InflightMax: 3, SubscriptionsMax: 200, SessionExpiryMax: time.Hour, MessagesPerSecond: 4,
				QoSMax: 1, QueuedMax: 5, QueuedBytesMax: 6, Overflow: Thin,
			},
			Classes: []MQTTClass{{Name: "s", User: "u", Client: "^c", ConnectionsMax: 8, MQTTLimits: MQTTLimits{
				PacketBytesMax: 2048, InflightMax: 3, SubscriptionsMax: 200, SessionExpiryMax: time.Hour, MessagesPerSecond: 4,
				QoSMax: 0, QueuedMax: 0, QueuedBytesMax: 6, Overflow: KeepLast,
			}}},
			Routes:  []MQTTRoute{{Topic: "z/#", Exchange: "amq.topic"}},
			Proxied: Proxied{ProxyProtocol: true, ProxyFrom: []string{"10.0.0.0/8"}},
		},
		Admin:   Admin{Listen: []string{":15672", "unix:/run/b.sock"}, SocketMode: 0o640},
		Spool:   Spool{MaxBytes: 3 << 29, CommitWindow: 7 * time.Millisecond, CommitsPerSecond: 25, CardEndurance: 80},
		Devices: Devices{Max: 12, SilentAfter: 15 * time.Minute, Rules: []DeviceRule{{"meter-*", time.Hour}, {"display", 0}}},
		Users: []User{{
			Name: "anna", Hash: users.HashPassword("long\ner"), Tags: []string{"monitoring"},
			Configure: ".*", Write: "", Read: `^a\.b$`, ConnectionsMax: 3, ChannelsMax: 4,
		}, {Name: "ben", Hash: users.HashPassword("b"), Read: "r"}},
		VHosts:      []VHost{{Name: "lab", ConnectionsMax: 5, QueuesMax: 6}},
		Permissions: []Permission{{User: "ben", VHost: "lab", Configure: ".*", Write: "^w$", Read: ".*"}},
		TopicPermissions: []TopicPermission{
			{User: "anna", VHost: "/", Exchange: "amq.topic", Write: "^{client_id}", Read: ".*"},
			{User: "anna", VHost: "lab", Exchange: "t", Write: ".*"},
		},
		Exchanges: []Exchange{{
			Name: "e", VHost: "/", Type: "headers", AutoDelete: true, Internal: true,
			Arguments: amqp.Table{
				{Key: "alternate-exchange", Value: "amq.fanout"},
				{Key: "x-a", Value: amqp.Table{{Key: "b", Value: amqp.Array{int64(1), -2.5, true, amqp.Table{{Key: "c", Value: "d"}}}}}},
			},
		}},
		Queues: []Queue{
			{Name: "q", VHost: "/", Durable: true, Arguments: amqp.Table{{Key: "x-max-length", Value: int64(16)}, {Key: "x-f", Value: 1000.5}}},
			{Name: "q", VHost: "lab", Durable: true},
		},
		Bindings: []Binding{
			{VHost: "/", Source: "amq.topic", Destination: "q", DestinationType: ToQueue, Key: "a.#", Arguments: amqp.Table{{Key: "x-match", Value: "all"}}},
			{VHost: "lab", Source: "amq.topic", Destination: "amq.fanout", DestinationType: ToExchange},
		},
		Policies: []Policy{{
			Name: "short", VHost: "lab", Pattern: "^a", ApplyTo: "queues", Priority: -1, Operator: true,
			Definition: amqp.Table{{Key: "max-length", Value: int64(9)}},
		}},
		Shovels: []Shovel{
			{
				Name: "up", Source: ShovelSource{Queue: "q", VHost: "/"}, Target: ShovelTarget{Remote: Remote{URI: URI{"amqp://u:p@h/v"}}, Key: "k", VHost: "/"},
				OnRefusal: RefusalDrop, RefusalTries: 3, Prefetch: 1, ReconnectMin: 10 * time.Millisecond, ReconnectMax: 24 * time.Hour,
			},
			{
				Name: "up2", Source: ShovelSource{Queue: "q", VHost: "lab"},
				Target:    ShovelTarget{Remote: Remote{URI: URI{"amqps://u:p%40@h:5671/%2F"}, ServerName: "h2"}, Key: "far", VHost: "/"},
				OnRefusal: RefusalDeadLetter, RefusalTries: 10, Prefetch: 256, ReconnectMin: time.Second, ReconnectMax: time.Minute,
			},
			{
				Name: "home", Source: ShovelSource{
					VHost: "/", Remote: Remote{URI: URI{"mqtts://z:p@h"}, ClientID: "box", KeepAlive: time.Minute},
					Topics: []string{"zigbee2mqtt/#", "a/+"}, QoS: 2, SessionExpiry: time.Hour, PacketMax: 2 << 20,
					Will: &Will{Topic: "w", Payload: "gone", QoS: 1, Retain: true},
				},
				Target:    ShovelTarget{Exchange: "amq.topic", VHost: "lab", Mandatory: true},
				OnRefusal: RefusalHold, RefusalTries: 10, Prefetch: 256, ReconnectMin: time.Second, ReconnectMax: time.Minute,
			},
			{
				Name: "mqtt", Source: ShovelSource{Queue: "q", VHost: "/"},
				Target:    ShovelTarget{Remote: Remote{URI: URI{"mqtt://h:1884"}, KeepAlive: 30 * time.Second}, VHost: "/", Prefix: "site7/"},
				OnRefusal: RefusalDeadLetter, RefusalTries: 10, Prefetch: 256, ReconnectMin: time.Second, ReconnectMax: time.Minute,
			},
			{
				Name: "commands", Source: ShovelSource{
					Queue: "c", VHost: "/", Remote: Remote{URI: URI{"amqps://u:p@h"}}, RemoteQueue: RemoteQueue{
						Exchange: "x", Key: "site.#", Arguments: amqp.Table{{Key: "x-queue-type", Value: "quorum"}}, DeadLetters: true,
					},
				},
				Target:    ShovelTarget{Exchange: "amq.topic", VHost: "/"},
				OnRefusal: RefusalDeadLetter, RefusalTries: 10, Prefetch: 256, ReconnectMin: time.Second, ReconnectMax: time.Minute,
			},
			{
				Name: "stream", Source: ShovelSource{
					Queue: "s", VHost: "/", Remote: Remote{URI: URI{"amqp://h"}},
					RemoteQueue: RemoteQueue{Declare: true, Exclusive: true, StreamOffset: "2026-01-31T12:00:00Z"},
				},
				Target:    ShovelTarget{Exchange: "amq.topic", VHost: "/"},
				OnRefusal: RefusalDeadLetter, RefusalTries: 10, Prefetch: 256, ReconnectMin: time.Second, ReconnectMax: time.Minute,
			},
		},
	}
	if diff := cmp.Diff(want, c, comparable); diff != "" {
		t.Errorf("whole file (-want +got):\n%s", diff)
	}
}

func TestCommitWindowFollowsProfile(t *testing.T) {
	for profile, want := range map[string]time.Duration{"tiny": 100 * time.Millisecond, "small": 20 * time.Millisecond, "server": 0} {
		if c := mustParse(t, "", "profile="+profile); c.Spool.CommitWindow != want {
			t.Errorf("%s: commit window %v, want %v", profile, c.Spool.CommitWindow, want)
		}
		if c := mustParse(t, "spool.commit_window = '3ms'", "profile="+profile); c.Spool.CommitWindow != 3*time.Millisecond {
			t.Errorf("%s: commit window %v, want what the file says", profile, c.Spool.CommitWindow)
		}
	}
}

// The shipped file shows every key. With the comments taken from the defaults
// it must mean the same as no file, and with the examples it must be right.
func TestShippedFile(t *testing.T) {
	shipped, err := os.ReadFile("../../configs/leveret.toml")
	if err != nil {
		t.Fatal(err)
	}
	if c := mustParse(t, string(shipped)); len(Diff(mustParse(t, ""), c)) != 0 {
		t.Errorf("as shipped it changes %v", Diff(mustParse(t, ""), c))
	}
	settings := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAll(shipped, []byte("$1"))
	if bytes.Equal(settings, shipped) {
		t.Fatal("nothing was uncommented")
	}
	if diff := cmp.Diff(mustParse(t, ""), mustParse(t, string(settings)), comparable); diff != "" {
		t.Errorf("the defaults it shows are not the defaults (-want +got):\n%s", diff)
	}
	all := regexp.MustCompile(`(?m)^#: `).ReplaceAll(settings, nil)
	c := mustParse(t, string(all))
	if len(c.Users) != 2 || len(c.Exchanges) != 2 || len(c.Queues) != 1 || len(c.Bindings) != 1 || len(c.Shovels) != 4 {
		t.Errorf("the examples gave %+v", c.Redacted())
	}
	for _, key := range []string{
		"data_dir", "profile", "level", "listen", "anonymous", "tls_listen", "websocket_listen",
		"websocket_tls_listen", "websocket_origins", "keep_qos0", "publisher_header", "topic_dots", "max_bytes", "commit_window", "name", "password",
		"password_hash", "tags", "configure", "write", "read", "loopback_only", "type", "durable", "auto_delete",
		"internal", "arguments", "vhost", "user", "connections_max", "channels_max", "queues_max", "destination_type", "pattern",
		"apply_to", "priority", "operator", "definition", "external_login", "anonymous_user", "map_queue_types", "source", "destination", "key", "prefetch", "reconnect_min", "reconnect_max", "uri", "exchange",
		"max", "silent_after", "client",
		"client_ids", "client_id_takeover", "certificate_login", "certificate_client_id", "redirect_to", "redirect", "keep_alive_max",
		"packet_bytes_max", "inflight_max", "subscriptions_max", "session_expiry_max", "messages_per_second", "qos_max", "queued_max",
		"queued_bytes_max", "overflow", "exclusive", "stream_offset", "dead_letters", "declare", "proxy_protocol", "proxy_from", "topic", "client",
	} {
		if !regexp.MustCompile(`(?m)^` + key + ` = `).Match(all) {
			t.Errorf("the shipped file does not show %s", key)
		}
	}
	for _, key := range []string{"password_file", "uri_file", "uri_env", "cert_file", "key_file", "client_ca_file", "acl_file"} {
		if !strings.Contains(string(shipped), key) {
			t.Errorf("the shipped file does not mention %s", key)
		}
	}
}

func TestSet(t *testing.T) {
	for _, c := range []struct {
		set  string
		got  func(*Config) any
		want any
	}{
		{"amqp.listen=127.0.0.1:0", func(c *Config) any { return c.AMQP.Listen }, []string{"127.0.0.1:0"}},
		{"amqp.listen=[::1]:0", func(c *Config) any { return c.AMQP.Listen }, []string{"[::1]:0"}},
		{`amqp.listen=["127.0.0.1:0", "[::1]:0"]`, func(c *Config) any { return c.AMQP.Listen }, []string{"127.0.0.1:0", "[::1]:0"}},
		{"mqtt.listen=[]", func(c *Config) any { return c.MQTT.Listen }, []string{}},
		{"log.level=debug", func(c *Config) any { return c.Log.Level }, slog.LevelDebug},
		{`log.level = "warn"`, func(c *Config) any { return c.Log.Level }, slog.LevelWarn},
		{"data_dir=/x", func(c *Config) any { return c.DataDir }, "/x"},
		{"data_dir=2026", func(c *Config) any { return c.DataDir }, "2026"},
		{"data_dir=a=b", func(c *Config) any { return c.DataDir }, "a=b"},
		{"spool.max_bytes=64MiB", func(c *Config) any { return c.Spool.MaxBytes }, Size(64 << 20)},
		{"spool.max_bytes=67108864", func(c *Config) any { return c.Spool.MaxBytes }, Size(64 << 20)},
		{"spool.commit_window=20ms", func(c *Config) any { return c.Spool.CommitWindow }, 20 * time.Millisecond},
		{"spool.commit_window=0", func(c *Config) any { return c.Spool.CommitWindow }, time.Duration(0)},
		{"spool={max_bytes='1GB'}", func(c *Config) any { return c.Spool.MaxBytes }, Size(1e9)},
		{`user=[{name="a", password="b"}]`, func(c *Config) any { return c.Users[0].Name }, "a"},
	} {
		got := c.got(mustParse(t, "data_dir = 'of the file'\n[log]\nlevel = 'error'", c.set))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("--set %s (-want +got):\n%s", c.set, diff)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	folder, credentials := t.TempDir(), t.TempDir()
	write := func(folder, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(folder, "beside", "one\n")
	write(folder, "both", "wrong")
	write(credentials, "both", "two\r\n")
	write(folder, "uri", "amqp://u:p@h\n")
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	c, err := Parse(filepath.Join(folder, "leveret.toml"), []byte(`
user = [{name = "a", password_file = "beside"}, {name = "b", password_file = "both"}]
[[shovel]]
name = "s"
source.queue = "q"
target = {uri_file = "uri", key = "k"}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Users[0].Hash != users.HashPassword("one") || c.Users[1].Hash != users.HashPassword("two") {
		t.Error("the passwords are not those of the files")
	}
	if got := c.Shovels[0].Target.URI.Reveal(); got != "amqp://u:p@h" {
		t.Errorf("the URI is %q", got)
	}
}

func TestLoadRefusesFiles(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "leveret.toml")
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"missing":  {nil, path + ": cannot be read: no such file or directory"},
		"too long": {bytes.Repeat([]byte("# a\n"), fileBytesMax/4+1), path + ": cannot be read: longer than 1MiB"},
	} {
		if c.data != nil {
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load(path, nil); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		os.Remove(path)
	}
	if _, err := Load(folder, nil); err == nil || err.Error() != folder+": cannot be read: is a directory" {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Parse("x", bytes.Repeat([]byte{'#'}, fileBytesMax+1), nil); err == nil || !strings.Contains(err.Error(), "longer than 1MiB") {
		t.Errorf("too many bytes: %v", err)
	}
}

// FuzzParse: any bytes give a Config or Problems, quickly; and what is taken as
// TOML here is TOML for the library too.
func FuzzParse(f *testing.F) {
	for _, c := range broken {
		f.Add([]byte(c.file), "log.level=debug")
	}
	shipped, err := os.ReadFile("../../configs/leveret.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(regexp.MustCompile(`(?m)^#(: )?`).ReplaceAll(shipped, nil), "user=[]")
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		found := &collector{}
		readTree("x", data, found)
		dates := regexp.MustCompile(`\d-|\d:|-\d`).Match(data) // their digits are not looked at here
		var any map[string]any
		if len(found.list) == 0 && !dates && !bytes.HasPrefix(data, []byte("\ufeff")) {
			if err := toml.Unmarshal(data, &any); err != nil && !strings.Contains(err.Error(), "number") && !strings.Contains(err.Error(), "range") {
				t.Errorf("taken, but %v", err)
			}
		}
		c, err := Parse("x", data, []string{set})
		if problems, ok := err.(Problems); err != nil && (!ok || len(problems) == 0 || len(problems) > problemsMax+1) {
			t.Fatalf("Parse gave %v", err)
		}
		if (c == nil) == (err == nil) {
			t.Fatalf("Parse gave %v and %v", c, err)
		}
	})
}

// A file that is one long line, or deep, or nothing but mistakes must not keep
// a gateway from starting.
func TestOddFilesAreReadQuickly(t *testing.T) {
	for name, file := range map[string]string{
		"a long key":     strings.Repeat("a.", fileBytesMax/2-8) + "a=1",
		"a deep list":    "a=" + strings.Repeat("[", fileBytesMax-8),
		"a deep table":   strings.Repeat("a={", fileBytesMax/3-8),
		"many tables":    strings.Repeat("[[a]]\n", fileBytesMax/6),
		"bad headers":    strings.Repeat("[\n", fileBytesMax/2),
		"a long text":    "a='''" + strings.Repeat("x\n[\n", fileBytesMax/4-8),
		"many mistakes":  strings.Repeat("[[queue]]\n", fileBytesMax/10),
		"a list of many": "[mqtt]\nlisten=[" + strings.Repeat("'x',", fileBytesMax/4-8) + "]",
	} {
		start := time.Now()
		if _, err := Parse("x", []byte(file), nil); err == nil {
			t.Errorf("%s is taken", name)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", name, took)
		}
	}
}
