package mqtt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// shares gives the names of the queues of groups that there are.
func (s *stage) shares() (names []string) {
	synctest.Wait()
	for _, q := range s.b.Status().Queues {
		if strings.HasPrefix(q.Name, sharePrefix) {
			names = append(names, q.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestSharedSubscription(t *testing.T) {
	for _, v := range []mqttwire.Version{mqttwire.V311, mqttwire.V5} {
		t.Run(v.String(), func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				sensor := s.joined(v, "sensor")
				sensor.publish("a/0", "old", 1, 9, retain)
				one, two, other := s.joined(v, "one"), s.joined(v, "two"), s.joined(v, "other")
				one.listens("$share/g/a/+", 1)
				two.subscribe(0, mqttwire.Subscription{Filter: "$share/g/a/+", QoS: 2})
				two.expect("SUBACK 1 1")
				other.listens("$share/h/a/+", 0)
				for i, text := range []string{"1", "2", "3", "4"} {
					sensor.publish("a/1", text, 2, uint16(i+1))
				}
				one.expect("PUBLISH a/1=1 q1 #1", "PUBLISH a/1=3 q1 #2")
				two.expect("PUBLISH a/1=2 q1 #1", "PUBLISH a/1=4 q1 #2")
				other.expect("PUBLISH a/1=1 q0", "PUBLISH a/1=2 q0", "PUBLISH a/1=3 q0", "PUBLISH a/1=4 q0")
				one.puback(1)
				one.drop()
				two.expect("PUBLISH a/1=3 q1 #3 dup")
				two.unsubscribe("$share/g/a/+")
				if two.got(); len(s.shares()) != 1 {
					t.Errorf("groups are %v, want that of the other one", s.shares())
				}
			})
		})
	}
}

func TestSharedSubscriptionHasItsOwnIdentifier(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(3, mqttwire.Subscription{Filter: "$share/g/#", QoS: 1})
		c.subscribe(4, mqttwire.Subscription{Filter: "a", QoS: 0})
		c.expect("SUBACK 1 1", "SUBACK 1 0")
		c.publish("a", "1", 0, 0)
		got := c.got()
		slices.Sort(got)
		if want := []string{"PUBLISH a=1 q0 [subscription identifier 3]", "PUBLISH a=1 q0 [subscription identifier 4]"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		c.publish("$SYSTEM", "2", 0, 0) // no wildcard at the start matches it
		c.expect()
	})
}

// A group with a kept session holds messages while nobody is there, also over a
// power cut; without one it is gone.
func TestSharedSubscriptionOutlivesItsConnections(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "worker", keep)
		c.listens("$share/kept/a", 1)
		guest := s.joined(mqttwire.V311, "guest")
		guest.listens("$share/guests/a", 1)
		c.bye()
		sensor := s.joined(mqttwire.V311, "sensor")
		sensor.publish("a", "1", 1, 1)
		sensor.expect("PUBACK 1")
		s.cutPower(nil)
		if names := s.shares(); len(names) != 1 || !strings.HasPrefix(names[0], "mqtt.share.kept.") {
			t.Errorf("groups are %v, want the kept one", names)
		}
		c = s.connect(mqttwire.V311, "worker", keep)
		c.expect("CONNACK success present", "PUBLISH a=1 q1 #1")
		c.bye()
		s.joined(mqttwire.V311, "worker").bye()
		if names := s.shares(); len(names) != 0 {
			t.Errorf("groups %v outlived their last member", names)
		}
	})
}

func TestSharedSubscriptionRefused(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", login("writer", ""))
		c.subscribe(0, mqttwire.Subscription{Filter: "$share/g/a"})
		c.expect("SUBACK 1 87")
		old := s.joined(mqttwire.V311, "old")
		old.subscribe(0, mqttwire.Subscription{Filter: "$share/g"})
		old.expect("SUBACK 1 80")
		if names := s.shares(); len(names) != 0 {
			t.Errorf("groups are %v", names)
		}
	})
}

func TestSessionQueueNames(t *testing.T) {
	for client, queue := range map[string]string{
		"sensor": "mqtt.sensor", "share.g.1": "mqtt.%share.g.1", "will.x": "mqtt.%will.x", "%": "mqtt.%%", "": "mqtt.",
	} {
		if got := sessionQueue(client); got != queue {
			t.Errorf("sessionQueue(%q) = %q, want %q", client, got, queue)
		}
		if got, ok := clientOf(queue); !ok || got != client {
			t.Errorf("clientOf(%q) = %q, %v, want %q", queue, got, ok, client)
		}
	}
	for _, queue := range []string{"mqtt.share.g.0", "mqtt.will.x", "mqtt.%x", "orders"} {
		if client, ok := clientOf(queue); ok {
			t.Errorf("clientOf(%q) = %q, want none", queue, client)
		}
	}
}

// noSecrets may subscribe to everything, and is not given a/secret.
type noSecrets struct{}

func (noSecrets) Allows(broker.Action, string) bool { return true }
func (noSecrets) MayReceive(topic string) bool      { return topic != "a/secret" }

// TestWhatOneMemberMayNotHaveAnotherGets: a message is not lost to the group
// because it was the turn of one who may not be given it, and the one who may is
// waited for; what nobody may have stops nobody.
func TestWhatOneMemberMayNotHaveAnotherGets(t *testing.T) {
	limited := func(o *Options) {
		o.Authenticate = func(l Login) (string, broker.Access, error) {
			if l.User == "limited" {
				return l.User, noSecrets{}, nil
			}
			return l.User, nil, nil
		}
	}
	onStage(t, limited, func(s *stage) {
		sensor := s.joined(mqttwire.V5, "sensor")
		limited := s.joined(mqttwire.V5, "limited", login("limited", ""))
		trusted := s.joined(mqttwire.V5, "trusted", login("trusted", ""), func(m *mqttwire.Connect) {
			m.Props = props(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.ReceiveMaximum, 1) })
		})
		for _, c := range []*client{limited, trusted} {
			c.listens("$share/g/a/+", 1)
		}
		for i := range 4 {
			sensor.publish("a/secret", strconv.Itoa(i), 1, uint16(i+1))
		}
		for i := range 4 {
			trusted.expect(fmt.Sprintf("PUBLISH a/secret=%d q1 #1", i))
			trusted.puback(1)
		}
		limited.expect()
		if n := s.door.Stats().Unmatched; n != 0 {
			t.Errorf("%d messages were dropped", n)
		}
		trusted.bye()
		sensor.publish("a/secret", "for nobody", 1, 5)
		sensor.publish("a/open", "x", 1, 6)
		limited.expect("PUBLISH a/open=x q1 #1")
		if n := s.door.Stats().Unmatched; n != 1 {
			t.Errorf("%d messages were dropped, want 1", n)
		}
	})
}
