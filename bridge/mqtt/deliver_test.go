package mqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// asAMQP publishes as another protocol would.
func (s *stage) asAMQP(key string, list amqp.PropertyList, body string) {
	s.t.Helper()
	c, err := s.b.Connect("/", broker.Identity{Protocol: "AMQP 0-9-1"}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	m := &amqp.Message{Exchange: "amq.topic", Key: key, Props: list.Encode(), Body: []byte(body)}
	if _, err := c.Open().Publish(s.door.Now(), []broker.Publish{{Msg: m}}); err != nil {
		s.t.Fatal(err)
	}
}

func TestReceiveMaximumOfSubscribers(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.ReceiveMaximum, 2))
		c.listens("#", 1)
		p := s.joined(mqttwire.V311, "p")
		for i := range uint16(4) {
			p.publish("a", fmt.Sprint(i), 1, i+1)
		}
		p.publish("a", "unconfirmed", 0, 0)
		c.expect("PUBLISH a=0 q1 #1", "PUBLISH a=1 q1 #2", "PUBLISH a=unconfirmed q0")
		c.puback(2)
		c.expect("PUBLISH a=2 q1 #2")
		c.puback(99, 1, 1) // some of them are nonsense
		c.expect("PUBLISH a=3 q1 #1")
	})
}

// A backlog of thousands comes through the window, in order.
func TestBacklogComesInOrder(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "c", keep)
		c.listens("a", 1)
		c.bye()
		p := s.joined(mqttwire.V5, "p")
		const n = 3000
		for i := range n {
			p.publish("a", fmt.Sprint(i), 1, uint16(i+1))
			if i%50 == 0 {
				p.got()
			}
		}
		c = s.connect(mqttwire.V311, "c", keep)
		next := 0
		for next < n {
			got := c.got()
			if len(got) == 0 {
				t.Fatalf("nothing came after message %d", next)
			}
			for _, packet := range got {
				if strings.HasPrefix(packet, "CONNACK") {
					continue
				}
				var i int
				var id uint16
				if _, err := fmt.Sscanf(packet, "PUBLISH a=%d q1 #%d", &i, &id); err != nil || i != next {
					t.Fatalf("got %q, want message %d", packet, next)
				}
				next++
				c.puback(id)
			}
		}
	})
}

// What waits for a client is bounded, whether its session is kept or not.
func TestQueuedMax(t *testing.T) {
	onStage(t, func(o *Options) { o.QueuedMax = 5 }, func(s *stage) {
		slow := s.joined(mqttwire.V5, "slow", with(mqttwire.ReceiveMaximum, 1))
		slow.listens("#", 1)
		kept := s.joined(mqttwire.V311, "kept", keep)
		kept.listens("#", 1)
		kept.bye()
		p := s.joined(mqttwire.V311, "p")
		for i := range uint16(100) {
			p.publish("a", fmt.Sprint(i), 1, i+1)
			p.got()
		}
		if got := slow.got(); len(got) != 1 {
			t.Fatalf("got %q, want one message", got)
		}
		for want, i := range map[string]int{"mqtt.slow": 5, "mqtt.kept": 5} {
			if st, _ := s.b.QueueStatus("/", want); st.Ready != i {
				t.Errorf("%d messages wait in %s, want %d", st.Ready, want, i)
			}
		}
	})
}

func TestMaximumPacketSizeOfSubscribers(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 20), with(mqttwire.ReceiveMaximum, 1))
		c.listens("a", 1)
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", strings.Repeat("x", 30), 1, 1)
		p.publish("a", strings.Repeat("x", 30), 0, 0)
		p.publish("a", "fits", 1, 2)
		c.expect("PUBLISH a=fits q1 #1")
		if n := s.door.Stats().TooLarge; n != 2 {
			t.Errorf("%d messages were too large, want 2", n)
		}
	})
}

func TestMessageExpiry(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", keep, with(mqttwire.SessionExpiry, 1000))
		c.listens("a", 1)
		c.drop()
		p := s.joined(mqttwire.V5, "p")
		for i, seconds := range []uint32{5, 60, 0} {
			p.publish("a", fmt.Sprint(seconds), 1, uint16(i+1), carrying(func(w *mqttwire.PropertyWriter) {
				w.Number(mqttwire.MessageExpiry, seconds)
			}))
		}
		p.got()
		time.Sleep(10500 * time.Millisecond)
		c = s.connect(mqttwire.V5, "c", keep, with(mqttwire.SessionExpiry, 1000))
		c.expect("CONNACK success present", "PUBLISH a=60 q1 #2 [message expiry interval 50]")
		c.drop()
		s.cutPower(nil) // both clocks are good: the time goes on
		time.Sleep(20 * time.Second)
		c = s.connect(mqttwire.V5, "c", keep)
		c.expect("CONNACK success present", "PUBLISH a=60 q1 #2 dup [message expiry interval 30]")
	})
}

func TestTopicAlias(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("#", 0)
		p := s.joined(mqttwire.V5, "p")
		alias := func(n uint32) func(*mqttwire.PublishOut) {
			return carrying(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.TopicAlias, n) })
		}
		p.publish("long/topic", "1", 0, 0, alias(1))
		p.publish("", "2", 0, 0, alias(1))
		p.publish("other", "3", 0, 0, alias(16))
		p.publish("", "4", 0, 0, alias(1))
		p.publish("moved", "5", 0, 0, alias(1))
		p.publish("", "6", 0, 0, alias(1))
		c.expect("PUBLISH long/topic=1 q0", "PUBLISH long/topic=2 q0", "PUBLISH other=3 q0",
			"PUBLISH long/topic=4 q0", "PUBLISH moved=5 q0", "PUBLISH moved=6 q0")
	})
}

func TestFromAMQP(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("#", 1)
		s.asAMQP("plant.1.a/b", amqp.PropertyList{
			DeliveryMode: 2, ContentType: "application/json", CorrelationID: "7", MessageID: "id",
			Timestamp: 1700000000, Type: "t", AppID: "app", UserID: "u", Expiration: "1500",
			Headers: amqp.Table{{Key: "s", Value: "text"}, {Key: "n", Value: int64(-5)}, {Key: "b", Value: true}, {Key: "f", Value: 1.5},
				{Key: "nested", Value: amqp.Table{}}, {Key: "x-mqtt-retain", Value: "no bool"}, {Key: "x-reply-to-topic", Value: "r.s"}},
		}, "body")
		c.expect("PUBLISH plant/1/a%2Fb=body q1 #1 [message expiry interval 2] [content type application/json] " +
			"[correlation data 7] [s: text] [n: -5] [b: true] [f: 1.5] [response topic r/s] " +
			"[message-id: id] [timestamp: 2023-11-14T22:13:20Z] [type: t] [app-id: app]")
		s.asAMQP("bad.\xff", amqp.PropertyList{}, "")
		s.asAMQP("", amqp.PropertyList{}, "empty key")
		c.expect("PUBLISH %=empty key q0")
		if n := s.door.Stats().Foreign; n != 1 {
			t.Errorf("%d messages had no topic, want 1", n)
		}
		s.asAMQP("a", amqp.PropertyList{ContentType: "\xff", AppID: "\x00", Headers: amqp.Table{{Key: "k", Value: "\xff"}, {Key: "z", Value: []byte("ok")}}}, "odd")
		c.expect("PUBLISH a=odd q0 [z: ok]")
	})
}

// Names of user properties that mean something to AMQP have no message refused.
func TestUserPropertiesWithNamesOfAMQP(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("a", 0)
		for i, name := range []string{"CC", "BCC", "x-death", "x-delay", "x-deduplication-header"} {
			c.publish("a", "x", 1, uint16(i+1), carrying(func(w *mqttwire.PropertyWriter) { w.User(name, "de") }))
			c.expect(fmt.Sprintf("PUBACK %d", i+1), "PUBLISH a=x q0 ["+name+": de]")
		}
	})
}

// TestWhoIsBelievedWhereAMessageHasBeen: a client that tells its node, and no other:
// a message that has been somewhere is not taken there again.
func TestWhoIsBelievedWhereAMessageHasBeen(t *testing.T) {
	for _, tc := range []struct{ node, want string }{
		{"", "PUBLISH a=x q0 [k: 1] [k: 2]"},
		{"no node", "PUBLISH a=x q0 [k: 1] [k: 2]"},
		// The path is a header, and goes before the list.
		{"box-7", "PUBLISH a=x q0 [x-leveret-path: box-7 far] [k: 1] [k: 2]"},
	} {
		onStage(t, nil, func(s *stage) {
			path := func(w *mqttwire.PropertyWriter) {
				w.User("k", "1")
				w.User("x-leveret-path", "box-7 far")
				w.User("x-leveret-path", "elsewhere")
				w.User("k", "2")
			}
			c := s.joined(mqttwire.V5, "c")
			c.listens("#", 0)
			p := s.joined(mqttwire.V5, "p", func(m *mqttwire.Connect) {
				m.HasWill, m.Will = true, mqttwire.Will{Topic: "a", Payload: []byte("x"), Props: props(path)}
				if tc.node != "" {
					m.Props = props(func(w *mqttwire.PropertyWriter) { w.User(bridge.UserNode, tc.node) })
				}
			})
			p.publish("a", "x", 0, 0, carrying(path))
			c.expect(tc.want)
			p.drop()
			c.expect(tc.want)
		})
	}
}
