package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/edge/devices"
	"leveret/edge/health"
	"leveret/edge/users"
	"leveret/spool/mem"
)

// gateway is the door over a real core, with things to look at.
type gateway struct {
	t       *testing.T
	log     *mem.Log
	core    *broker.Broker
	devices *devices.Registry
	server  *Server
	handler http.Handler
	lines   *strings.Builder // what was logged

	sensor *broker.Conn // an MQTT client of user anna
	worker *broker.Conn // an AMQP client of user root
	ended  []string     // why connections were asked to end
}

// accounts: their password is "right". Each has the tag of its name, but for
// tagless, who has none, anna, who has management, and local.
func accounts() []users.Account {
	all := func(name string, tags ...string) users.Account {
		return users.Account{Name: name, Hash: users.HashPassword("right"), Tags: tags, Configure: ".*", Write: ".*", Read: ".*"}
	}
	only := func(name string, tags ...string) users.Account {
		a := all(name, tags...)
		a.Configure, a.Write, a.Read = "", "", ""
		a.Permissions = []users.Permission{{VHost: "/", Configure: "^mine$", Write: ".*", Read: "^(mine|amq.topic)$"}}
		a.Topics = []users.TopicPermission{{VHost: "/", Exchange: "amq.topic", Write: ".*", Read: `^plant\.`}}
		return a
	}
	local := all("local", administrator)
	local.LoopbackOnly = true
	return []users.Account{
		all("tagless"), all("manager", management), all("policymaker", policymaker), all("monitor", monitoring), all("root", administrator),
		only("anna", management), only("rules", policymaker), local,
	}
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	return newGatewayOn(t, mem.New().Auto())
}

func newGatewayOn(t *testing.T, spool *mem.Log) *gateway {
	t.Helper()
	g := &gateway{t: t, log: spool, lines: new(strings.Builder)}
	log := slog.New(slog.NewTextHandler(g.lines, nil))
	now := func() amqp.Instant { return amqp.Instant(time.Second) }
	g.devices = devices.New(devices.Options{Rules: devices.Rules{Max: 100}, Now: now, Alarm: func(amqp.Instant) {}, Deaf: func() bool { return false }, Log: log})
	var err error
	g.core, err = broker.Open(broker.Options{
		Log: g.log, Now: now, Watcher: g.devices,
		Boot: broker.BootRecord{Base: time.Unix(1_700_000_000, 0), Synchronised: true},
	})
	g.must(err)
	g.must(g.devices.Attach(g.core))
	book, err := users.NewBook(accounts())
	g.must(err)
	g.server = New(Options{
		TrustLoopback: true,
		Status: func() Status {
			return Status{Version: "1.2.3", Listeners: []Listener{{Door: "admin", Address: "127.0.0.1:15672"}}}
		},
		Metrics:  func(w io.Writer) { io.WriteString(w, "leveret_up 1\n") },
		Troubles: func() []health.Trouble { return nil },
		Alarms:   func() []string { return nil },
		Login: func(name, password string, remote netip.Addr) (*users.User, error) {
			return book.Authenticate(name, password, remote)
		},
		Broker: g.core, Devices: g.devices, Node: "leveret@test", Log: log,
	})
	g.handler = g.server.handler()
	g.fill()
	return g
}

func (g *gateway) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// fill makes two vhosts, and in them queues, clients and values.
func (g *gateway) fill() {
	g.t.Helper()
	_, err := g.core.AddVHost("lab/a", broker.VHostLimits{})
	g.must(err)
	connect := func(vhost string, who broker.Identity) *broker.Conn {
		who.Host = "127.0.0.1:1"
		who.End = func(why *amqp.Error) { g.ended = append(g.ended, who.Peer+": "+why.Error()) }
		c, err := g.core.Connect(vhost, who, func() {})
		g.must(err)
		return c
	}
	g.sensor = connect("/", broker.Identity{User: "anna", Client: "meter/1", Peer: "10.0.0.7:4711", Protocol: "MQTT 3.1.1"})
	g.worker = connect("lab/a", broker.Identity{
		User: "root", Name: "worker", Peer: "[fe80::1]:5", Protocol: "AMQP 0-9-1",
		About: amqp.Table{{Key: "connection_name", Value: "worker"}, {Key: "product", Value: "<b>"}}.AppendTo(nil),
		Terms: broker.Terms{TLS: true, Mechanism: "PLAIN", Heartbeat: time.Minute, FrameMax: 131072, ChannelMax: 2047},
		State: func() broker.LinkState {
			return broker.LinkState{Blocked: true, OctetsIn: 11, ReadsIn: 2, OctetsOut: 33, WritesOut: 4}
		},
	})
	own := connect("/", broker.Identity{})
	declare := func(c *broker.Conn, name string, args amqp.Table) {
		_, _, err := c.DeclareQueue(broker.QueueSpec{Name: name, Durable: true, Args: args})
		g.must(err)
	}
	declare(own, "mine", nil)
	declare(own, "other", nil)
	declare(g.worker, "a/b c", amqp.Table{{Key: "x-note", Value: []any(nil)}, {Key: "x-nan", Value: nan}, {Key: "x-max-length", Value: int32(9)}}[1:])
	session := g.worker.OpenChannel(3)
	session.Describe(func() broker.ChannelState { return broker.ChannelState{Confirms: true, Prefetch: 5, Unconfirmed: 7} })
	consumer, err := session.Consume("a/b c", broker.ConsumerSpec{Tag: "tag", Prefetch: 5})
	g.must(err)
	consumer.Start()
	_, err = own.BindQueue("mine", "amq.topic", "plant.#", amqp.Table{{Key: "k", Value: int32(1)}})
	g.must(err)
	g.publish(own, "", "mine", "ready", false)
	g.publish(own, "amq.topic", "plant.1.temp", "21.5", true)
	g.publish(own, "amq.topic", "plant.1.raw", "\xff\xfe", true)
	g.publish(own, "amq.topic", "other.1", "hidden", true)
}

func (g *gateway) publish(c *broker.Conn, exchange, key, body string, retain bool) {
	g.t.Helper()
	m := &amqp.Message{Exchange: exchange, Key: key, Body: []byte(body), Props: amqp.PropertyList{DeliveryMode: 2}.Encode()}
	_, err := c.Open().Publish(amqp.Instant(time.Second), []broker.Publish{{Msg: m, Retain: retain}})
	g.must(err)
}

// ask sends a request; who is "" for nobody from afar, "local" for nobody on
// this machine, else a user from afar, with a password after a colon if it is
// not the right one.
func (g *gateway) ask(who, method, target string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	g.t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	r.RemoteAddr, r.Host = "192.0.2.7:1", "gateway"
	path, query, _ := strings.Cut(target, "?")
	u, err := r.URL.Parse("http://gateway" + path)
	g.must(err)
	u.RawQuery = query
	r.URL = u
	switch name, password, wrong := strings.Cut(who, ":"); {
	case who == "local":
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost:15672"
	case wrong:
		r.SetBasicAuth(name, password)
	case who != "":
		r.SetBasicAuth(name, "right")
	}
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if body := w.Body.String(); strings.Contains(body, "right") && strings.Contains(body, "password") {
		g.t.Errorf("%s %s shows a password: %s", method, target, body)
	}
	return w
}

// get is the answer to a GET, which must be a success.
func (g *gateway) get(who, target string, into any) {
	g.t.Helper()
	w := g.ask(who, "GET", target)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		g.t.Fatalf("GET %s as %q: %d %s", target, who, w.Code, w.Body)
	}
	g.must(json.Unmarshal(w.Body.Bytes(), into))
}

// names are what stands under a key in each item of a list.
func (g *gateway) names(who, target, key string) (list []string) {
	g.t.Helper()
	var items []map[string]any
	g.get(who, target, &items)
	for _, item := range items {
		text, ok := item[key].(string)
		if !ok {
			g.t.Fatalf("GET %s: no %s in %v", target, key, item)
		}
		list = append(list, text)
	}
	return list
}
