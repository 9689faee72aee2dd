package mqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"leveret/bridge/mqttwire"
)

// conversations are for normative statements of MQTT 5.0 (in its numbers, which
// 3.1.1 has others for) that no other test holds the door to.
var conversations = []struct {
	statement string
	name      string
	play      func(*stage)
}{
	{"1.5.4-3", "U+FEFF is a character like others", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("\ufeffa", 0)
		c.publish("a", "1", 0, 0)
		c.publish("\ufeffa", "2", 0, 0)
		c.expect("PUBLISH \ufeffa=2 q0")
	}},
	{"3.1.2-23", "a session that never ends outlives restarts", func(s *stage) {
		s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, expiryNever)).listens("a", 1)
		s.cutPower(nil)
		time.Sleep(100 * 24 * time.Hour)
		s.connect(mqttwire.V5, "c", keep).expect("CONNACK success present")
	}},
	{"3.1.2-24", "a client that takes less than CONNACK is refused with less", func(s *stage) {
		s.connect(mqttwire.V5, "", with(mqttwire.MaximumPacketSize, 49)).expect("CONNACK packet too large", "closed")
		s.connect(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 10)).expect("CONNACK packet too large", "closed")
		s.connect(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 4)).expect("closed")
		s.joined(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 16))
	}},
	{"3.1.2-24", "SUBACK and UNSUBACK that the client does not take end its connection", func(s *stage) {
		var many []mqttwire.Subscription
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprint(i))
			many = append(many, mqttwire.Subscription{Filter: names[i]})
		}
		c := s.joined(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 20))
		c.subscribe(0, many...)
		c.expect("DISCONNECT packet too large", "closed")
		c = s.joined(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 20))
		c.unsubscribe(names...)
		c.expect("DISCONNECT packet too large", "closed")
	}},
	{"3.1.2-25", "a message that is too large counts as sent, also of QoS 2 and a group's", func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.MaximumPacketSize, 20), with(mqttwire.ReceiveMaximum, 1))
		c.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 2}, mqttwire.Subscription{Filter: "$share/g/b", QoS: 1})
		c.expect("SUBACK 1 2 1")
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", strings.Repeat("x", 30), 2, 1)
		p.publish("b", strings.Repeat("x", 30), 1, 2)
		p.publish("b", "fits", 1, 3)
		c.expect("PUBLISH b=fits q1 #1")
		for _, q := range s.b.Status().Queues {
			if q.Ready+q.Unacked != 0 && q.Name == "mqtt.c" {
				s.t.Errorf("%d messages are left", q.Ready+q.Unacked)
			}
		}
	}},
	{"3.1.2-29", "no text in acknowledgements, wanted or not", func(s *stage) {
		for _, wanted := range []uint32{0, 1} {
			c := s.joined(mqttwire.V5, "c", with(mqttwire.RequestProblemInformation, wanted), login("reader", ""))
			before := s.door.clients["c"].acks.unanswered
			c.publish("a", "", 1, 1)
			c.publish("a", "", 2, 2)
			c.subscribe(0, mqttwire.Subscription{Filter: strings.Repeat("a/", topicLevelsMax)})
			c.unsubscribe("never")
			c.expect("PUBACK 1 not authorized", "PUBREC 2 not authorized", "SUBACK 1 8f", "UNSUBACK 2 11")
			if after := s.door.clients["c"].acks.unanswered; after != before {
				s.t.Errorf("%d messages count as unanswered", after)
			}
		}
	}},
	{"3.1.2-28", "nothing is told of response topics, wanted or not", func(s *stage) {
		for _, wanted := range []uint32{0, 1} {
			c := s.connect(mqttwire.V5, "c", with(mqttwire.RequestResponseInformation, wanted))
			c.whole = true
			if got := strings.Join(c.got(), " "); strings.Contains(got, "response") {
				s.t.Errorf("got %s", got)
			}
		}
	}},
	{"3.1.3-9", "a client that takes its connection over in time has no will sent", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("gone/#", 1)
		s.joined(mqttwire.V5, "c", delayed(10)...)
		s.connect(mqttwire.V5, "c", keep, with(mqttwire.SessionExpiry, 60)).got()
		time.Sleep(time.Minute)
		watcher.expect()
	}},
	{"3.1.3-9", "but has with a clean start, as that ends the session", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("gone/#", 1)
		s.joined(mqttwire.V5, "c", delayed(10)...)
		s.connect(mqttwire.V5, "c").got()
		watcher.expect(delayedWill)
	}},
	{"3.1.2-10", "a will is sent once", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("gone/#", 0)
		s.joined(mqttwire.V311, "c", keep, willTo("gone/c", "1", false)).drop()
		watcher.expect("PUBLISH gone/c=1 q0")
		s.connect(mqttwire.V311, "c", keep).drop() // it sets none
		watcher.expect()
	}},
	{"3.1.2-8", "DISCONNECT that ends the session sends its will at once, if asked to", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("gone/#", 1)
		c := s.joined(mqttwire.V5, "c", delayed(10)...)
		c.must(mqttwire.AppendDisconnect(nil, c.version, &mqttwire.Disconnect{
			Reason: mqttwire.DisconnectWithWill, Props: props(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.SessionExpiry, 0) }),
		}))
		watcher.expect(delayedWill)
	}},
	{"3.1.4-6", "what comes behind a CONNECT that is refused is not looked at", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("#", 0)
		c := s.raw(mqttwire.V5)
		m := mqttwire.Connect{Version: c.version, ClientID: "c", CleanStart: true}
		login("u", "wrong")(&m)
		packet, _ := mqttwire.AppendConnect(nil, &m)
		c.send(append(packet, publishTo(c.version, "a")...))
		c.expect("CONNACK bad user name or password", "closed")
		watcher.expect()
	}},
	{"3.2.2-6", "no session is present in a CONNACK that refuses", func(s *stage) {
		s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 100), login("u", "right")).bye()
		s.connect(mqttwire.V5, "c", keep, login("u", "wrong")).expect("CONNACK bad user name or password", "closed")
		s.connect(mqttwire.V5, "c", keep, login("u", "right")).expect("CONNACK success present")
	}},
	{"3.2.2-19", "the text of a CONNACK that refuses is left out where it does not fit", func(s *stage) {
		s.connect(mqttwire.V5, "c", login("u", "wrong"), with(mqttwire.MaximumPacketSize, 10)).expect("CONNACK bad user name or password", "closed")
		c := s.connect(mqttwire.V5, strings.Repeat("x", clientIDMax+1), with(mqttwire.MaximumPacketSize, 10))
		c.whole = true
		c.expect("CONNACK client identifier not valid", "closed")
	}},
	{"3.3.1-3", "DUP says nothing of what the publisher did", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("a", 2)
		p := s.joined(mqttwire.V5, "p")
		p.publish("a", "1", 1, 1, dup)
		p.publish("a", "2", 2, 2, dup)
		c.expect("PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #"+fmt.Sprint(exactFromQueue+2))
	}},
	{"3.3.1-7", "an empty retained message is none, whatever its QoS", func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		for qos := range byte(3) {
			p.publish("a", "1", 0, 0, retain)
			p.publish("a", "", qos, uint16(qos), retain)
		}
		p.publish("never", "", 0, 0, retain)
		p.got()
		if n := s.b.Status().Retained; n != 0 {
			s.t.Errorf("%d values are kept", n)
		}
	}},
	{"3.3.1-8", "a message without the flag leaves the value alone", func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		p.publish("a", "1", 0, 0, retain)
		p.publish("a", "2", 0, 0)
		p.publish("a", "", 0, 0)
		c := s.joined(mqttwire.V5, "c")
		c.listensTo("a")
		c.expect("SUBACK 1 0", "PUBLISH a=1 q0 retain")
	}},
	{"3.3.1-10", "retain handling is each subscription's own, and never a group's", func(s *stage) {
		p := s.joined(mqttwire.V5, "p")
		p.publish("a", "1", 0, 0, retain)
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 100))
		at := func(filter string, handling byte) mqttwire.Subscription {
			return mqttwire.Subscription{Filter: filter, RetainHandling: handling}
		}
		c.subscribe(0, at("a", 2), at("+", 1), at("$share/g/a", 0))
		c.expect("SUBACK 1 0 0 0", "PUBLISH a=1 q0 retain")
		c.drop()
		c = s.connect(mqttwire.V5, "c", keep, with(mqttwire.SessionExpiry, 100))
		c.expect("CONNACK success present")
		c.subscribe(0, at("a", 1), at("+", 1)) // they were there when it came back
		c.expect("SUBACK 1 0 0")
		c.subscribe(0, at("a", 0))
		c.expect("SUBACK 1 0", "PUBLISH a=1 q0 retain")
	}},
	{"3.3.1-12", "retain as published goes by the subscription, a group's too", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(1, mqttwire.Subscription{Filter: "a"})
		c.subscribe(2, mqttwire.Subscription{Filter: "+", RetainAsPublished: true})
		c.expect("SUBACK 1 0", "SUBACK 1 0")
		one, two := s.joined(mqttwire.V5, "one"), s.joined(mqttwire.V5, "two")
		one.subscribe(0, mqttwire.Subscription{Filter: "$share/g/a", RetainAsPublished: true})
		two.subscribe(0, mqttwire.Subscription{Filter: "$share/h/a"})
		one.expect("SUBACK 1 0")
		two.expect("SUBACK 1 0")
		s.joined(mqttwire.V311, "p").publish("a", "1", 0, 0, retain)
		c.expect("PUBLISH a=1 q0 retain [subscription identifier 1] [subscription identifier 2]")
		one.expect("PUBLISH a=1 q0 retain")
		two.expect("PUBLISH a=1 q0")
	}},
	{"3.3.2-7", "topic aliases are of one connection, both ways", func(s *stage) {
		alias := carrying(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.TopicAlias, 1) })
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 100), with(mqttwire.TopicAliasMaximum, 5))
		c.listens("#", 0)
		c.publish("long/topic", "1", 0, 0, alias)
		c.publish("", "2", 0, 0, alias)
		c.expect("PUBLISH long/topic=1 q0 [topic alias 1]", "PUBLISH =2 q0 [topic alias 1]")
		c.drop()
		c = s.connect(mqttwire.V5, "c", keep, with(mqttwire.TopicAliasMaximum, 5))
		c.expect("CONNACK success present")
		p := s.joined(mqttwire.V5, "p")
		p.publish("long/topic", "3", 0, 0)
		c.expect("PUBLISH long/topic=3 q0 [topic alias 1]")
		c.publish("", "4", 0, 0, alias)
		c.expect("DISCONNECT protocol error", "closed")
	}},
	{"3.10.4-1", "UNSUBSCRIBE compares letters", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("a/+", 0)
		c.unsubscribe("a/b", "a/#", "A/+", "a/+/", "a/+", "a/+")
		c.expect("UNSUBACK 2 11 11 11 11 0 11")
	}},
	{"3.10.4-3", "what is under way ends as it began after UNSUBSCRIBE", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("a", 2)
		p := s.joined(mqttwire.V5, "p")
		p.publish("a", "1", 2, 1)
		p.publish("a", "2", 1, 2)
		id := exactFromQueue + 1
		c.expect(fmt.Sprintf("PUBLISH a=1 q2 #%d", id), "PUBLISH a=2 q1 #2")
		c.unsubscribe("a")
		c.answer(pubrec, id)
		c.expect("UNSUBACK 2 0", fmt.Sprintf("PUBREL %d", id))
		c.answer(pubcomp, id)
		c.puback(2)
		p.publish("a", "3", 1, 3)
		c.expect()
		if n := s.door.clients["c"].inflight.used; n != 0 {
			s.t.Errorf("%d messages are in flight", n)
		}
	}},
	{"3.14.4-1", "what comes behind DISCONNECT is not looked at", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("#", 0)
		c := s.joined(mqttwire.V311, "c", willTo("w", "", false))
		packet, _ := mqttwire.AppendDisconnect(nil, c.version, &mqttwire.Disconnect{})
		c.send(append(packet, publishTo(c.version, "a")...))
		c.expect("closed")
		watcher.expect()
	}},
	{"4.3.2-5", "an identifier that was answered is free for the next message", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("#", 0)
		c := s.joined(mqttwire.V311, "c")
		c.publish("a", "1", 1, 7)
		c.expect("PUBACK 7")
		c.publish("a", "2", 1, 7, dup)
		c.expect("PUBACK 7")
		watcher.expect("PUBLISH a=1 q0", "PUBLISH a=2 q0")
	}},
	{"4.3.3-9", "an identifier whose PUBREC was a failure is free, and needs no PUBREL", func(s *stage) {
		watcher := s.joined(mqttwire.V5, "watcher")
		watcher.listens("#", 0)
		c := s.joined(mqttwire.V5, "c")
		c.publish("$SYS/x", "1", 2, 7)
		c.publish("a", "2", 2, 7)
		c.expect("PUBREC 7 not authorized", "PUBREC 7")
		watcher.expect("PUBLISH a=2 q0")
	}},
	{"4.3.3-13", "an exchange ends as it began though the message has expired", func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 100))
		c.listens("a", 2)
		short := carrying(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.MessageExpiry, 1) })
		p := s.joined(mqttwire.V5, "p", with(mqttwire.SessionExpiry, 100))
		p.publish("a", "1", 2, 1, short)
		id := exactFromQueue + 1
		c.expect(fmt.Sprintf("PUBLISH a=1 q2 #%d [message expiry interval 1]", id))
		c.answer(pubrec, id)
		c.expect(fmt.Sprintf("PUBREL %d", id))
		c.drop()
		time.Sleep(10 * time.Second)
		c = s.connect(mqttwire.V5, "c", keep)
		c.expect("CONNACK success present", fmt.Sprintf("PUBREL %d", id))
		p.answer(pubrel, 1)
		p.expect("PUBREC 1", "PUBCOMP 1")
	}},
	{"4.4.0-1", "nothing is sent again but to a client that is back", func(s *stage) {
		c := s.joined(mqttwire.V311, "c", keep)
		c.listens("a", 2)
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 1, 1)
		p.publish("a", "2", 2, 2)
		c.got()
		time.Sleep(24 * time.Hour)
		c.expect()
	}},
	{"4.4.0-2", "an answer of failure is an answer: it makes room, and nothing comes again", func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 100), with(mqttwire.ReceiveMaximum, 1))
		c.listens("a", 2)
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 1, 1)
		p.publish("a", "2", 2, 2)
		p.publish("a", "3", 1, 3)
		c.expect("PUBLISH a=1 q1 #1")
		fail := func(kind mqttwire.Type, id uint16) {
			c.must(mqttwire.AppendAck(nil, kind, c.version, &mqttwire.Ack{PacketID: id, Reason: mqttwire.UnspecifiedError}))
		}
		fail(mqttwire.TypePuback, 1)
		id := exactFromQueue + 2
		c.expect(fmt.Sprintf("PUBLISH a=2 q2 #%d", id))
		fail(pubrec, id)
		c.expect("PUBLISH a=3 q1 #1")
		fail(mqttwire.TypePuback, 1)
		c.drop()
		s.connect(mqttwire.V5, "c", keep).expect("CONNACK success present")
	}},
	{"4.6.0-4", "PUBREL in the order of PUBREC", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.listens("a", 2)
		p := s.joined(mqttwire.V311, "p")
		for i := range uint16(3) {
			p.publish("a", "", 2, i+1)
		}
		c.got()
		c.answer(pubrec, exactFromQueue+3, exactFromQueue+1, exactFromQueue+2)
		c.expect("PUBREL 32771", "PUBREL 32769", "PUBREL 32770")
	}},
	{"4.7.3-4", "topics are compared letter by letter", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "caf\u00e9"}, mqttwire.Subscription{Filter: "Up"}, mqttwire.Subscription{Filter: "/x"}, mqttwire.Subscription{Filter: " "})
		c.expect("SUBACK 1 0 0 0 0")
		for _, topic := range []string{"cafe\u0301", "up", "x", "/x/", "  ", "caf\u00e9", "Up", "/x", " "} {
			c.publish(topic, "", 0, 0)
		}
		c.expect("PUBLISH caf\u00e9= q0", "PUBLISH Up= q0", "PUBLISH /x= q0", "PUBLISH  = q0")
	}},
	{"4.8.2-6", "what a member of a group refuses goes to no other", func(s *stage) {
		one, two := s.joined(mqttwire.V5, "one"), s.joined(mqttwire.V5, "two")
		one.listens("$share/g/a", 1)
		two.listens("$share/g/a", 1)
		s.joined(mqttwire.V311, "p").publish("a", "1", 1, 1)
		one.expect("PUBLISH a=1 q1 #1")
		one.must(mqttwire.AppendAck(nil, mqttwire.TypePuback, one.version, &mqttwire.Ack{PacketID: 1, Reason: mqttwire.UnspecifiedError}))
		one.drop()
		two.expect()
	}},
	{"4.9.0-3", "a client whose window is closed gets all that is no message", func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.ReceiveMaximum, 1))
		c.listens("a", 1)
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 1, 1)
		p.publish("a", "2", 1, 2)
		c.expect("PUBLISH a=1 q1 #1")
		c.publish("b", "", 1, 1)
		c.subscribe(0, mqttwire.Subscription{Filter: "b"})
		c.send(mqttwire.AppendPingreq(nil))
		p.publish("a", "3", 0, 0)
		got := strings.Join(c.got(), ", ")
		for _, want := range []string{"PUBACK 1 no matching subscribers", "SUBACK 1 0", "PINGRESP", "PUBLISH a=3 q0"} {
			if !strings.Contains(got, want) {
				s.t.Errorf("%s is not in %s", want, got)
			}
		}
	}},
	{"4.9.0-1", "messages that are refused take nothing of the publisher's quota", func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		for id := range uint16(3 * 100) { // as many as may be unanswered, three times
			c.publish("$SYS/x", "", 1+byte(id%2), id+1)
			if got := c.got(); len(got) != 1 || !strings.HasSuffix(got[0], "not authorized") {
				s.t.Fatalf("answer %d is %q", id, got)
			}
		}
	}},
}

func TestStatements(t *testing.T) {
	for _, c := range conversations {
		t.Run(c.statement+" "+c.name, func(t *testing.T) { onStage(t, nil, c.play) })
	}
}

// What a client has not acknowledged keeps its packet identifier when it comes
// back, also after a power cut and whatever was acknowledged before it (5.0,
// MQTT-4.4.0-1).
func TestIdentifiersStay(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		few := with(mqttwire.ReceiveMaximum, 5)
		c := s.joined(mqttwire.V5, "c", few, with(mqttwire.SessionExpiry, 3600))
		c.listens("a", 1)
		p := s.joined(mqttwire.V311, "p")
		for i := range uint16(7) {
			p.publish("a", fmt.Sprint(i+1), 1, i+1)
		}
		c.expect("PUBLISH a=1 q1 #1", "PUBLISH a=2 q1 #2", "PUBLISH a=3 q1 #3", "PUBLISH a=4 q1 #4", "PUBLISH a=5 q1 #5")
		c.puback(1, 2, 4)
		c.expect("PUBLISH a=6 q1 #1", "PUBLISH a=7 q1 #2")
		again := []string{"CONNACK success present", "PUBLISH a=3 q1 #3 dup", "PUBLISH a=5 q1 #5 dup", "PUBLISH a=6 q1 #1 dup", "PUBLISH a=7 q1 #2 dup"}
		c.drop()
		c = s.connect(mqttwire.V5, "c", few, keep, with(mqttwire.SessionExpiry, 3600))
		c.expect(again...)
		s.cutPower(nil)
		c = s.connect(mqttwire.V5, "c", few, keep)
		c.expect(again...)
		c.puback(3, 5, 1, 2)
		time.Sleep(time.Hour) // the writer rests
		s.joined(mqttwire.V311, "p").publish("a", "8", 1, 1)
		c.expect("PUBLISH a=8 q1 #3")
	})
}

// Two messages of a window whose places lie a window apart do not stop each
// other: the later one has another identifier.
func TestIdentifiersWithGaps(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.ReceiveMaximum, 3))
		c.listens("a", 1)
		p := s.joined(mqttwire.V311, "p")
		p.publish("a", "1", 1, 1)
		c.expect("PUBLISH a=1 q1 #1")
		for range 2 {
			p.publish("a", "0", 0, 0)
			c.got()
		}
		for i := range uint16(3) {
			p.publish("a", fmt.Sprint(i+2), 1, i+2)
		}
		c.expect("PUBLISH a=2 q1 #2", "PUBLISH a=3 q1 #3")
		c.puback(1)
		c.expect("PUBLISH a=4 q1 #1")
		c.puback(2, 3, 1)
		c.expect()
		if n := s.door.clients["c"].inflight.used; n != 0 {
			t.Errorf("%d messages are in flight", n)
		}
	})
}
