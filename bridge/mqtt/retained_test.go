package mqtt

import (
	"fmt"
	"testing"
	"time"

	"leveret/bridge/mqttwire"
)

func TestRetainHandling(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		p.publish("state/lamp", "on", 1, 1, retain)
		p.publish("state/door", "shut", 0, 0, retain)
		p.publish("$hidden", "x", 0, 0, retain)
		p.publish("other", "x", 0, 0, retain)
		p.publish("state/lamp", "live only", 0, 0)
		p.expect("PUBACK 1 no matching subscribers")
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(5, mqttwire.Subscription{Filter: "state/#", QoS: 1})
		both := []string{
			"SUBACK 1 1",
			"PUBLISH state/door=shut q0 retain [subscription identifier 5]",
			"PUBLISH state/lamp=on q1 #1 retain [subscription identifier 5]",
		}
		c.expect(both...)
		c.puback(1)
		c.subscribe(5, mqttwire.Subscription{Filter: "state/#", QoS: 1, RetainHandling: 1})
		c.expect("SUBACK 1 1") // it was there before
		c.subscribe(5, mqttwire.Subscription{Filter: "state/#", QoS: 1, RetainHandling: 2})
		c.expect("SUBACK 1 1")
		c.unsubscribe("state/#")
		c.expect("UNSUBACK 2 0")
		c.subscribe(5, mqttwire.Subscription{Filter: "state/#", QoS: 1, RetainHandling: 1})
		both[2] = "PUBLISH state/lamp=on q1 #2 retain [subscription identifier 5]"
		c.expect(both...)

		all := s.joined(mqttwire.V311, "all")
		all.subscribe(0, mqttwire.Subscription{Filter: "#"})
		all.expect("SUBACK 1 0", "PUBLISH other=x q0 retain", "PUBLISH state/door=shut q0 retain", "PUBLISH state/lamp=on q0 retain")
		exact := s.joined(mqttwire.V311, "exact")
		exact.subscribe(0, mqttwire.Subscription{Filter: "$hidden"}, mqttwire.Subscription{Filter: "nothing"})
		exact.expect("SUBACK 1 0 0", "PUBLISH $hidden=x q0 retain")
	})
}

func TestEmptyRetainedMessageDeletes(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		live := s.joined(mqttwire.V5, "live")
		live.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 1, RetainAsPublished: true})
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 0, 0, retain)
		p.publish("a", "", 0, 0, retain)
		live.expect("SUBACK 1 1", "PUBLISH a=1 q0 retain", "PUBLISH a= q0 retain")
		late := s.joined(mqttwire.V311, "late")
		late.listens("a", 1)
	})
}

func TestRetainFlagOfLiveMessages(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		plain := s.joined(mqttwire.V5, "plain")
		plain.listens("a", 1)
		as := s.joined(mqttwire.V5, "as")
		as.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 1, RetainAsPublished: true})
		as.expect("SUBACK 1 1")
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 0, 0, retain)
		p.publish("a", "2", 0, 0)
		plain.expect("PUBLISH a=1 q0", "PUBLISH a=2 q0")
		as.expect("PUBLISH a=1 q0 retain", "PUBLISH a=2 q0")
	})
}

func TestRetainedSurvivesAPowerCut(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		p.publish("a/b", "1", 1, 1, retain, carrying(func(w *mqttwire.PropertyWriter) { w.User("k", "v") }), retain)
		p.expect("PUBACK 1 no matching subscribers")
		s.cutPower(nil)
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "a/+", QoS: 1})
		c.expect("SUBACK 1 1", "PUBLISH a/b=1 q1 #1 retain [k: v]")
	})
}

func TestRetainedMessageExpires(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		p.publish("a", "1", 0, 0, carrying(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.MessageExpiry, 10) }), retain)
		p.expect()
		time.Sleep(3500 * time.Millisecond)
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 1})
		c.expect("SUBACK 1 1", "PUBLISH a=1 q0 retain [message expiry interval 7]")
		time.Sleep(7 * time.Second)
		c.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 1})
		c.expect("SUBACK 1 1")
	})
}

// Retained messages of QoS 1 come as the client acknowledges them, and none
// that was replaced meanwhile comes after its successor.
func TestRetainedMessagesKeepToTheWindow(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		for i := range uint16(5) {
			p.publish(fmt.Sprintf("a/%d", i), "old", 1, i+1, retain)
		}
		p.got()
		c := s.joined(mqttwire.V5, "c", with(mqttwire.ReceiveMaximum, 2))
		c.subscribe(0, mqttwire.Subscription{Filter: "a/#", QoS: 1})
		c.expect("SUBACK 1 1", "PUBLISH a/0=old q1 #1 retain", "PUBLISH a/1=old q1 #2 retain")
		p.publish("a/3", "new", 1, 1, retain)
		p.publish("a/3", "unconfirmed", 0, 0)
		p.expect("PUBACK 1")
		c.expect("PUBLISH a/3=unconfirmed q0") // has no part in the window
		c.puback(1)
		c.expect("PUBLISH a/2=old q1 #1 retain")
		c.puback(2)
		c.expect("PUBLISH a/4=old q1 #2 retain")
		c.puback(1)
		c.expect("PUBLISH a/3=new q1 #1")
		c.puback(2, 1)
		c.expect()
	})
}

// The reader does not look values up: it takes no deliveries, so one that is
// older than what it found could come behind it.
func TestReaderLooksNothingUp(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 0, 0, retain)
		s.joined(mqttwire.V311, "c").listens("b", 0)
		s.door.mu.Lock()
		w := &s.door.clients["c"].out
		s.door.mu.Unlock()
		w.turn.Lock()
		w.direct = true
		w.retained.filters = []string{"b", "a"}
		_, err := w.round()
		if err != nil || len(w.retained.filters) != 2 || w.retained.found != nil {
			t.Errorf("round: %v, %d values found for %q", err, len(w.retained.found), w.retained.filter)
		}
		w.direct, w.retained = false, retained{}
		w.turn.Unlock()
	})
}

// Nobody was subscribed: the publisher is told so, if its version can, also when
// the message is kept as the topic's value.
func TestNoMatchingSubscribers(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p, old := s.joined(mqttwire.V5, "p"), s.joined(mqttwire.V311, "old")
		for _, edit := range []func(*mqttwire.PublishOut){func(*mqttwire.PublishOut) {}, retain} {
			p.publish("a", "1", 1, 1, edit)
			p.publish("a", "1", 2, 2, edit)
			p.expect("PUBACK 1 no matching subscribers", "PUBREC 2 no matching subscribers")
			p.answer(mqttwire.TypePubrel, 2) // it is no failure
			p.expect("PUBCOMP 2")
			old.publish("a", "1", 1, 1, edit)
			old.expect("PUBACK 1")
		}
		c := s.joined(mqttwire.V311, "c", keep)
		c.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 1})
		c.expect("SUBACK 1 1", "PUBLISH a=1 q1 #1 retain")
		c.drop() // a session that is kept is a subscriber
		p.publish("a", "2", 1, 3)
		p.publish("a", "2", 2, 4, retain)
		p.expect("PUBACK 3", "PUBREC 4")
	})
}
