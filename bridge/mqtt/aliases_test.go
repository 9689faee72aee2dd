package mqtt

import (
	"fmt"
	"strings"
	"testing"

	"leveret/bridge/mqttwire"
)

// Topics are said once to a client that takes aliases, and then called by them:
// for deliveries, retained messages, and repeats on the connection after.
func TestOutgoingTopicAliases(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V311, "p")
		c := s.joined(mqttwire.V5, "c", with(mqttwire.TopicAliasMaximum, 2), with(mqttwire.SessionExpiry, 60))
		c.listens("#", 1)
		for i, topic := range []string{"plant/1/temp", "plant/1/temp", "plant/2/temp", "plant/3/temp", "plant/2/temp", "abc", "abc"} {
			p.publish(topic, fmt.Sprint(i), 0, 0)
		}
		c.expect(
			"PUBLISH plant/1/temp=0 q0 [topic alias 1]", "PUBLISH =1 q0 [topic alias 1]",
			"PUBLISH plant/2/temp=2 q0 [topic alias 2]", "PUBLISH plant/3/temp=3 q0", "PUBLISH =4 q0 [topic alias 2]",
			"PUBLISH abc=5 q0", "PUBLISH abc=6 q0", // too short to gain anything
		)
		p.publish("plant/2/temp", "x", 1, 1)
		c.expect("PUBLISH =x q1 #8 [topic alias 2]")
		c.drop()
		// Aliases end with their connection.
		c = s.joined5(t, "c", with(mqttwire.TopicAliasMaximum, 65_535))
		c.expect("PUBLISH plant/2/temp=x q1 #8 dup [topic alias 1]")
		p.publish("plant/2/temp", "kept", 0, 0, retain)
		c.expect("PUBLISH =kept q0 [topic alias 1]")
		c.subscribe(0, mqttwire.Subscription{Filter: "plant/2/temp"})
		c.expect("SUBACK 1 0", "PUBLISH =kept q0 retain [topic alias 1]")
	})
}

// Never more than either side allows, and none to a client that asked for none.
func TestOutgoingTopicAliasesAreBounded(t *testing.T) {
	for most, want := range map[uint32]int{0: 0, 10: 10, 65_535: outAliasesMax} {
		onStage(t, nil, func(s *stage) {
			p := s.joined(mqttwire.V311, "p")
			c := s.joined(mqttwire.V5, "c", with(mqttwire.TopicAliasMaximum, most))
			c.listens("#", 0)
			for range 2 {
				for i := range 100 {
					p.publish(fmt.Sprintf("plant/%d", i), "", 0, 0)
				}
			}
			short := 0
			for _, got := range c.got() {
				var alias int
				if _, err := fmt.Sscanf(got, "PUBLISH = q0 [topic alias %d]", &alias); err == nil {
					short++
				}
			}
			if short != want {
				t.Errorf("of at most %d aliases %d were used, want %d", most, short, want)
			}
		})
	}
}

// A client that has given a topic an alias and then subscribes to it without
// echo does not hear itself, whichever name it uses.
func TestAliasesKnowNoLocal(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		alias := carrying(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.TopicAlias, 1) })
		c.publish("a", "before", 1, 1, alias)
		c.expect("PUBACK 1 no matching subscribers")
		c.subscribe(0, mqttwire.Subscription{Filter: "a", NoLocal: true})
		c.expect("SUBACK 1 0")
		c.publish("", "by alias", 1, 2, alias)
		c.publish("a", "by name", 1, 3)
		c.expect("PUBACK 2", "PUBACK 3")
	})
}

// A message that fits into a client's packets comes, also when the property that
// would tell it an alias does not fit.
func TestAliasGivesWayToTheMessage(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V311, "p")
		const most = 100
		c := s.joined(mqttwire.V5, "c", with(mqttwire.TopicAliasMaximum, 2), with(mqttwire.MaximumPacketSize, most))
		c.listens("#", 0)
		whole := mqttwire.PublishOut{Topic: "plant/1"}
		room := strings.Repeat("x", most-whole.Size(mqttwire.V5))
		p.publish("plant/1", room, 0, 0)
		c.expect("PUBLISH plant/1=" + room + " q0")
		p.publish("plant/1", "short", 0, 0)
		c.expect("PUBLISH plant/1=short q0 [topic alias 1]")
		p.publish("plant/1", room+"x", 0, 0)
		c.expect("PUBLISH =" + room + "x q0 [topic alias 1]")
	})
}
