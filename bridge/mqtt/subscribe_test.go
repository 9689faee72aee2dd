package mqtt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"leveret/bridge/mqttwire"
)

func TestOverlappingSubscriptions(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(1, mqttwire.Subscription{Filter: "a/#", QoS: 0})
		c.subscribe(2, mqttwire.Subscription{Filter: "a/+", QoS: 1})
		c.subscribe(0, mqttwire.Subscription{Filter: "+/b", QoS: 0})
		c.subscribe(3, mqttwire.Subscription{Filter: "x", QoS: 1})
		c.expect("SUBACK 1 0", "SUBACK 1 1", "SUBACK 1 0", "SUBACK 1 1")
		p := s.joined(mqttwire.V311, "p")
		p.publish("a/b", "1", 1, 1)
		p.publish("a", "2", 1, 2)
		p.publish("a/b", "3", 0, 0)
		p.publish("c/b", "4", 1, 3)
		p.publish("c", "5", 1, 4)
		c.expect(
			"PUBLISH a/b=1 q1 #1 [subscription identifier 1] [subscription identifier 2]",
			"PUBLISH a=2 q0 [subscription identifier 1]",
			"PUBLISH a/b=3 q0 [subscription identifier 1] [subscription identifier 2]",
			"PUBLISH c/b=4 q0")
		// Subscribing anew replaces the options, and leaves no second binding.
		c.subscribe(9, mqttwire.Subscription{Filter: "a/+", QoS: 0})
		c.unsubscribe("a/#", "+/b", "never")
		c.expect("SUBACK 1 0", "UNSUBACK 2 0 0 11")
		p.publish("a/b", "6", 1, 5)
		c.expect("PUBLISH a/b=6 q0 [subscription identifier 9]")
		c.unsubscribe("a/+", "x")
		c.expect("UNSUBACK 2 0 0")
		if bs, _ := s.door.clients["c"].core.Bindings("mqtt.c"); len(bs) != 0 {
			t.Errorf("bindings %v are left", bs)
		}
	})
}

func TestNoLocal(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(1, mqttwire.Subscription{Filter: "a/#", QoS: 1, NoLocal: true})
		c.subscribe(2, mqttwire.Subscription{Filter: "a/b", QoS: 0})
		c.expect("SUBACK 1 1", "SUBACK 1 0")
		other := s.joined(mqttwire.V5, "other")
		other.listens("a/#", 0)
		c.publish("a/c", "mine", 0, 0)
		c.publish("a/b", "mine", 1, 1)
		c.expect("PUBACK 1", "PUBLISH a/b=mine q0 [subscription identifier 2]")
		other.expect("PUBLISH a/c=mine q0", "PUBLISH a/b=mine q0") // and nothing of who sent it
		other.publish("a/c", "yours", 1, 1)
		c.expect("PUBLISH a/c=yours q1 #3 [subscription identifier 1]")
		// Without no-local it comes back after all.
		c.subscribe(1, mqttwire.Subscription{Filter: "a/#", QoS: 0})
		c.publish("a/c", "mine", 0, 0)
		c.expect("SUBACK 1 0", "PUBLISH a/c=mine q0 [subscription identifier 1]")
	})
}

// A bridge gets no echo, and retain flags as they are.
func TestBridge(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "c", func(m *mqttwire.Connect) { m.Bridge = true })
		c.listens("#", 1)
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 0, 0, retain)
		c.publish("a", "2", 0, 0, retain)
		c.expect("PUBLISH a=1 q0 retain")
	})
}

func TestDollarTopics(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		all := s.joined(mqttwire.V311, "all")
		all.subscribe(0, mqttwire.Subscription{Filter: "#", QoS: 1}, mqttwire.Subscription{Filter: "+/x", QoS: 1})
		all.expect("SUBACK 1 1 1")
		named := s.joined(mqttwire.V311, "named")
		named.listens("$app/#", 1)
		p := s.joined(mqttwire.V5, "p")
		p.publish("$app/x", "1", 1, 1)
		p.publish("$SYS/uptime", "2", 1, 2)
		p.publish("$SYS/uptime", "3", 0, 0)
		p.expect("PUBACK 1", "PUBACK 2 not authorized")
		all.expect()
		named.expect("PUBLISH $app/x=1 q1 #1")
		if st := s.door.Stats(); st.Unmatched != 1 || st.Rejected != 2 {
			t.Errorf("unmatched %d and rejected %d, want 1 and 2", st.Unmatched, st.Rejected)
		}
	})
}

func TestRefusedSubscriptions(t *testing.T) {
	few := func(o *Options) { o.SubscriptionsMax = 3 }
	deep := strings.Repeat("a/", topicLevelsMax)
	for _, tc := range []struct {
		name    string
		edits   []func(*mqttwire.Connect)
		filters []string
		v5, v3  string
	}{
		{"too deep", nil, []string{deep, "b"}, "SUBACK 1 8f 0", "SUBACK 1 80 0"},
		{"too many", nil, []string{"a", "b", "a", "c", "d"}, "SUBACK 1 0 0 0 0 97", "SUBACK 1 0 0 0 0 80"},
		{"not allowed", []func(*mqttwire.Connect){login("writer", "")}, []string{"a"}, "SUBACK 1 87", "SUBACK 1 80"},
	} {
		for v, want := range map[mqttwire.Version]string{mqttwire.V5: tc.v5, mqttwire.V311: tc.v3} {
			t.Run(fmt.Sprint(v, " ", tc.name), func(t *testing.T) {
				onStage(t, few, func(s *stage) {
					c := s.joined(v, "c", tc.edits...)
					var filters []mqttwire.Subscription
					for _, f := range tc.filters {
						filters = append(filters, mqttwire.Subscription{Filter: f})
					}
					c.subscribe(0, filters...)
					c.expect(want)
				})
			})
		}
	}
}

// Levels are matched, not characters: a dot is no separator in MQTT.
func TestTopicsWithAMQPsCharacters(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "a.b/+"}, mqttwire.Subscription{Filter: "*/x"}, mqttwire.Subscription{Filter: "/+//"})
		c.expect("SUBACK 1 0 0 0")
		p := s.joined(mqttwire.V5, "p")
		for _, topic := range []string{"a.b/c.d", "a/b/c", "*/x", "y/x", "/1//", "//", "a.b/%2E"} {
			p.publish(topic, "", 0, 0)
		}
		c.expect("PUBLISH a.b/c.d= q0", "PUBLISH */x= q0", "PUBLISH /1//= q0", "PUBLISH a.b/%2E= q0")
	})
}

// Rights to topics hold for subscriptions of every kind, messages and wills.
func TestTopicRights(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", append(delayed(1), login("gardener", ""))...)
		c.subscribe(0, mqttwire.Subscription{Filter: "garden/#", QoS: 1}, mqttwire.Subscription{Filter: "house/#"},
			mqttwire.Subscription{Filter: "$share/g/garden/#", QoS: 1}, mqttwire.Subscription{Filter: "$share/g/#"})
		c.expect("SUBACK 1 1 87 1 87")
		c.publish("garden/1", "wet", 1, 1)
		c.publish("house/1", "dry", 2, 2)
		got := c.got()
		slices.Sort(got)
		want := []string{"PUBACK 1", "PUBLISH garden/1=wet q1 #1", "PUBLISH garden/1=wet q1 #2", "PUBREC 2 not authorized"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		c.drop()
		if n := s.door.Stats().WillsLost; n != 1 {
			t.Errorf("%d wills lost, want that to gone/c", n)
		}
	})
}
