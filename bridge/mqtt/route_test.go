package mqtt

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// routed makes exchanges and leads topics to them.
func (s *stage) routed(exchanges ...string) {
	s.t.Helper()
	conn, err := s.b.Connect(broker.DefaultVHost, broker.Identity{}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	for _, name := range exchanges {
		if _, err := conn.DeclareExchange(broker.ExchangeSpec{Name: name, Type: "topic", Durable: true}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func homeAndPlant(o *Options) {
	o.Routes = []Route{
		{Filter: "zigbee2mqtt/secret/#", Exchange: "vault"},
		{Filter: "zigbee2mqtt/#", Exchange: "home"},
		{Filter: "plant/+/temp", Exchange: "plant"},
	}
}

func onRoutedStage(t *testing.T, play func(*stage)) {
	t.Helper()
	onStage(t, homeAndPlant, func(s *stage) {
		s.routed("home", "plant", "vault")
		play(s)
	})
}

func TestExchangesOf(t *testing.T) {
	d := New(Options{Routes: []Route{{"z/secret/#", "vault"}, {"z/#", "home"}, {"p/+/temp", "plant"}}})
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{"#", []string{"vault", "home", "plant", "amq.topic"}},
		{"z/#", []string{"vault", "home"}},
		{"z/lamp", []string{"home"}},
		{"z/secret/key", []string{"vault"}},
		{"z/secret", []string{"vault"}},
		{"z/+", []string{"vault", "home"}},
		{"p/1/temp", []string{"plant"}},
		{"p/+/temp", []string{"plant"}},
		{"p/#", []string{"plant", "amq.topic"}},
		{"p/+", []string{"amq.topic"}},
		{"+/1/temp", []string{"home", "plant", "amq.topic"}},
		{"$SYS/#", []string{"amq.topic"}},
		{"a", []string{"amq.topic"}},
	} {
		if got := d.exchangesOf(c.filter); !slices.Equal(got, c.want) {
			t.Errorf("exchangesOf(%q) = %q, want %q", c.filter, got, c.want)
		}
	}
}

// A message goes to the exchange of its topic and nowhere else, and a filter
// that spans several gets each message once.
func TestRoutesPublishAndSubscribe(t *testing.T) {
	onRoutedStage(t, func(s *stage) {
		all := s.joined(mqttwire.V5, "all")
		all.listens("#", 1)
		some := s.joined(mqttwire.V311, "some")
		some.listens("zigbee2mqtt/+", 1)
		p := s.joined(mqttwire.V311, "p")
		for i, topic := range []string{"zigbee2mqtt/lamp", "plant/1/temp", "plant/1/hum", "zigbee2mqtt/secret/key", "zigbee2mqtt"} {
			p.publish(topic, "x", 1, uint16(i+1))
		}
		p.expect("PUBACK 1", "PUBACK 2", "PUBACK 3", "PUBACK 4", "PUBACK 5")
		all.expect("PUBLISH zigbee2mqtt/lamp=x q1 #1", "PUBLISH plant/1/temp=x q1 #2", "PUBLISH plant/1/hum=x q1 #3",
			"PUBLISH zigbee2mqtt/secret/key=x q1 #4", "PUBLISH zigbee2mqtt=x q1 #5")
		some.expect("PUBLISH zigbee2mqtt/lamp=x q1 #1")

		// A queue of the one exchange has what belongs to it.
		if got := s.boundTo("home", "#", func() { p.publish("zigbee2mqtt/lamp", "y", 1, 9); p.publish("plant/1/temp", "y", 1, 10) }); !slices.Equal(got, []string{"zigbee2mqtt.lamp"}) {
			t.Errorf("exchange home had %q", got)
		}
		all.expect("PUBLISH zigbee2mqtt/lamp=y q1 #6", "PUBLISH plant/1/temp=y q1 #7")
		all.unsubscribe("#")
		all.expect("UNSUBACK 2 0")
		p.publish("zigbee2mqtt/lamp", "z", 1, 11)
		p.publish("a", "z", 1, 12)
		all.expect()
	})
}

// boundTo gives the routing keys that come through an exchange while something
// is done.
func (s *stage) boundTo(exchange, key string, do func()) (keys []string) {
	s.t.Helper()
	conn, err := s.b.Connect(broker.DefaultVHost, broker.Identity{}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	info, _, err := conn.DeclareQueue(broker.QueueSpec{Exclusive: true})
	if err == nil {
		_, err = conn.BindQueue(info.Name, exchange, key, nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	do()
	synctest.Wait()
	session := conn.Open()
	for {
		d, _, ok, err := session.Get(info.Name, true)
		if err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			return keys
		}
		keys = append(keys, d.Msg.Key)
	}
}

// An exchange that leads on to another one does not make copies.
func TestRoutesOverBoundExchanges(t *testing.T) {
	onRoutedStage(t, func(s *stage) {
		if _, err := s.core().BindExchange("amq.topic", "home", "#", nil); err != nil {
			t.Fatal(err)
		}
		all := s.joined(mqttwire.V5, "all")
		all.listens("#", 1)
		all.publish("zigbee2mqtt/lamp", "x", 0, 0)
		all.expect("PUBLISH zigbee2mqtt/lamp=x q0")
	})
}

// core is a connection of nobody's.
func (s *stage) core() *broker.Conn {
	s.t.Helper()
	conn, err := s.b.Connect(broker.DefaultVHost, broker.Identity{}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func TestRoutesRetained(t *testing.T) {
	onRoutedStage(t, func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		p.publish("zigbee2mqtt/lamp", "on", 1, 1, retain)
		p.publish("other", "o", 1, 2, retain)
		p.expect("PUBACK 1 no matching subscribers", "PUBACK 2 no matching subscribers")
		// A value of the same key in an exchange where the topic does not live
		// is no value of the topic.
		m := &amqp.Message{Exchange: "amq.topic", Key: "zigbee2mqtt.lamp", Body: []byte("stray")}
		if _, err := s.core().Open().Publish(s.door.Now(), []broker.Publish{{Msg: m, Retain: true}}); err != nil {
			t.Fatal(err)
		}
		c := s.joined(mqttwire.V311, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "#", QoS: 0})
		c.expect("SUBACK 1 0", "PUBLISH other=o q0 retain", "PUBLISH zigbee2mqtt/lamp=on q0 retain")
		p.publish("zigbee2mqtt/lamp", "", 1, 3, retain)
		c.expect("PUBLISH zigbee2mqtt/lamp= q0")
		c.subscribe(0, mqttwire.Subscription{Filter: "zigbee2mqtt/#", QoS: 0})
		c.expect("SUBACK 1 0")
	})
}

func TestRoutesWills(t *testing.T) {
	onRoutedStage(t, func(s *stage) {
		keys := s.boundTo("home", "#", func() {
			s.joined(mqttwire.V311, "now", willTo("zigbee2mqtt/now", "x", false)).drop()
			s.joined(mqttwire.V5, "late", append(delayed(1), willTo("zigbee2mqtt/late", "x", false),
				func(m *mqttwire.Connect) {
					m.Will.Props = props(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.WillDelay, 1) })
				})...).drop()
			time.Sleep(2 * time.Second)
		})
		if !slices.Equal(keys, []string{"zigbee2mqtt.now", "zigbee2mqtt.late"}) {
			t.Errorf("exchange home had the wills %q", keys)
		}
	})
}

func TestRoutesShared(t *testing.T) {
	onRoutedStage(t, func(s *stage) {
		a := s.joined(mqttwire.V5, "a")
		a.listens("$share/g/#", 1)
		a.publish("zigbee2mqtt/lamp", "x", 0, 0)
		a.publish("plant/1/temp", "x", 0, 0)
		a.publish("elsewhere", "x", 0, 0)
		a.expect("PUBLISH zigbee2mqtt/lamp=x q0", "PUBLISH plant/1/temp=x q0", "PUBLISH elsewhere=x q0")
	})
}

// Who may not read one of the exchanges that a filter meets is refused the
// filter, and nothing of it is left.
func TestRoutesPermission(t *testing.T) {
	onStage(t, func(o *Options) {
		homeAndPlant(o)
		o.Authenticate = loginAs(onlyExchange("home"))
	}, func(s *stage) {
		s.routed("home", "plant", "vault")
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "#"}, mqttwire.Subscription{Filter: "zigbee2mqtt/lamp"})
		c.expect("SUBACK 1 87 0")
		c.publish("zigbee2mqtt/lamp", "x", 1, 1)
		c.expect("PUBACK 1", "PUBLISH zigbee2mqtt/lamp=x q0")
		c.publish("zigbee2mqtt/secret/1", "x", 1, 2)
		c.publish("plant", "x", 1, 3)
		c.expect("PUBACK 2 not authorized", "PUBACK 3 not authorized")
	})
}

// onlyExchange may do everything with one exchange.
type onlyExchange string

func (x onlyExchange) Allows(_ broker.Action, resource string) bool { return resource == string(x) }

// Sessions that are kept follow routes that change with a restart, and what
// they were subscribed to stays one subscription.
func TestRoutesChangeWithARestart(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 3600))
		c.subscribe(7, mqttwire.Subscription{Filter: "zigbee2mqtt/#", QoS: 1}, mqttwire.Subscription{Filter: "$share/g/zigbee2mqtt/#", QoS: 1})
		c.expect("SUBACK 1 1 1")
		s.routed("home", "plant", "vault")
		for _, routes := range []func(*Options){homeAndPlant, nil, homeAndPlant} {
			s.cutPower(routes)
			p := s.joined(mqttwire.V5, "p")
			p.publish("zigbee2mqtt/lamp", "x", 1, 1)
			p.expect("PUBACK 1")
			c := s.joined5(t, "c")
			if got := c.got(); len(got) != 2 {
				t.Fatalf("got %q, want the message from the session and from the group", got)
			}
			c.puback(1, 2)
			synctest.Wait()
			for _, b := range s.bindings("mqtt.c") {
				if slices.Contains([]string{"amq.topic", "home", "vault"}, b.Source) && !slices.Contains(s.door.exchangesOf("zigbee2mqtt/#"), b.Source) {
					t.Errorf("the session is still bound to %s", b.Source)
				}
			}
			c.drop()
		}
	})
}

func (s *stage) bindings(queue string) []broker.Binding {
	s.t.Helper()
	conn := s.core()
	defer conn.Close()
	bs, err := conn.Bindings(queue)
	if err != nil {
		s.t.Fatal(err)
	}
	return bs
}

// joined5 takes a kept session up.
func (s *stage) joined5(t *testing.T, id string, edits ...func(*mqttwire.Connect)) *client {
	t.Helper()
	c := s.connect(mqttwire.V5, id, append(edits, keep, with(mqttwire.SessionExpiry, 3600))...)
	synctest.Wait()
	if p := <-c.packets; !strings.HasPrefix(p, "CONNACK success present") {
		t.Fatalf("CONNECT answered by %q", p)
	}
	return c
}

// Retained values go along when their topics move; a newer one that is there
// already counts, and nobody takes them for new messages.
func TestRetainedValuesFollowTheRoutes(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V5, "p", with(mqttwire.SessionExpiry, 60))
		p.listens("#", 1)
		p.publish("zigbee2mqtt/lamp", "on", 1, 1, retain)
		p.publish("plant/1/temp", "old", 1, 2, retain)
		p.publish("other", "o", 1, 3, retain)
		p.got()
		p.puback(1, 2, 3)
		synctest.Wait()
		p.drop()
		s.routed("home", "plant", "vault")
		newer := &amqp.Message{Exchange: "plant", Key: "plant.1.temp", Body: []byte("new")}
		if _, err := s.core().Open().Publish(s.door.Now(), []broker.Publish{{Msg: newer, Retain: true}}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // and it lasts
			s.cutPower(homeAndPlant)
			s.joined5(t, "p").drop() // nothing waits for it
			c := s.joined(mqttwire.V311, "c")
			c.subscribe(0, mqttwire.Subscription{Filter: "#"})
			c.expect("SUBACK 1 0", "PUBLISH other=o q0 retain", "PUBLISH plant/1/temp=new q0 retain", "PUBLISH zigbee2mqtt/lamp=on q0 retain")
			if n := s.b.Status().Retained; n != 3 {
				t.Errorf("%d values are kept, want 3", n)
			}
			c.bye()
		}
	})
}
