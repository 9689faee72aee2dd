package mqtt

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

func TestSessionSurvivesAPowerCut(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "archive", keep, with(mqttwire.SessionExpiry, 3600))
		c.subscribe(7, mqttwire.Subscription{Filter: "plant/+/temp", QoS: 2})
		c.subscribe(8, mqttwire.Subscription{Filter: "plant/#", QoS: 1, RetainAsPublished: true})
		c.subscribe(9, mqttwire.Subscription{Filter: "lamp", QoS: 0})
		c.expect("SUBACK 1 2", "SUBACK 1 1", "SUBACK 1 0")
		c.drop()
		sensor := s.joined(mqttwire.V311, "sensor")
		sensor.publish("plant/1/temp", "20.5", 1, 1)
		sensor.publish("lamp", "on", 1, 2)
		sensor.publish("plant/1/temp", "20.6", 1, 3, retain)
		sensor.expect("PUBACK 1", "PUBACK 2", "PUBACK 3")
		s.cutPower(nil)

		c = s.connect(mqttwire.V5, "archive", keep, with(mqttwire.SessionExpiry, 3600))
		c.expect("CONNACK success present",
			"PUBLISH plant/1/temp=20.5 q1 #1 [subscription identifier 8] [subscription identifier 7]",
			"PUBLISH plant/1/temp=20.6 q1 #2 retain [subscription identifier 8] [subscription identifier 7]")
		sensor = s.joined(mqttwire.V311, "sensor")
		sensor.publish("lamp", "off", 1, 1)
		sensor.expect("PUBACK 1")
		c.expect("PUBLISH lamp=off q0 [subscription identifier 9]")
		c.unsubscribe("lamp", "plant/#")
		c.expect("UNSUBACK 2 0 0")
		c.puback(1)
		s.cutPower(nil)

		c = s.connect(mqttwire.V5, "archive", keep)
		c.expect("CONNACK success present", "PUBLISH plant/1/temp=20.6 q1 #2 dup [subscription identifier 7]")
	})
}

// What was not acknowledged comes again, in order, marked and under the
// identifiers that it had.
func TestRedelivery(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "archive", keep)
		c.listens("a", 1)
		sensor := s.joined(mqttwire.V311, "sensor")
		for i, text := range []string{"1", "2", "3"} {
			sensor.publish("a", text, 1, uint16(i+1))
		}
		c.expect("PUBLISH a=1 q1 #1", "PUBLISH a=2 q1 #2", "PUBLISH a=3 q1 #3")
		c.puback(2)
		c.drop()
		sensor.publish("a", "4", 1, 4)
		sensor.expect("PUBACK 1", "PUBACK 2", "PUBACK 3", "PUBACK 4")
		c = s.connect(mqttwire.V311, "archive", keep)
		c.expect("CONNACK success present", "PUBLISH a=1 q1 #1 dup", "PUBLISH a=3 q1 #3 dup", "PUBLISH a=4 q1 #4")
		c.puback(1, 3, 4)
		c.bye()
		c = s.connect(mqttwire.V311, "archive", keep)
		c.expect("CONNACK success present")
	})
}

func TestSessionPresent(t *testing.T) {
	five, three := mqttwire.V5, mqttwire.V311
	hour := with(mqttwire.SessionExpiry, 3600)
	for _, tc := range []struct {
		name  string
		v     mqttwire.Version
		first []func(*mqttwire.Connect)
		then  []func(*mqttwire.Connect)
		want  string
	}{
		{"kept", three, []func(*mqttwire.Connect){keep}, []func(*mqttwire.Connect){keep}, "CONNACK success present"},
		{"kept, then clean", three, []func(*mqttwire.Connect){keep}, nil, "CONNACK success"},
		{"clean, then kept", three, nil, []func(*mqttwire.Connect){keep}, "CONNACK success"},
		{"3.1 cannot say it", mqttwire.V31, []func(*mqttwire.Connect){keep}, []func(*mqttwire.Connect){keep}, "CONNACK success"},
		{"5: clean start, kept", five, []func(*mqttwire.Connect){hour}, []func(*mqttwire.Connect){keep}, "CONNACK success present"},
		{"5: expiry 0", five, []func(*mqttwire.Connect){keep}, []func(*mqttwire.Connect){keep}, "CONNACK success"},
		{"5: clean start again", five, []func(*mqttwire.Connect){hour}, []func(*mqttwire.Connect){hour}, "CONNACK success"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				c := s.joined(tc.v, "c", tc.first...)
				c.listens("old", 1)
				c.bye()
				c = s.connect(tc.v, "c", tc.then...)
				c.expect(tc.want)
				if tc.want == "CONNACK success" && tc.v != mqttwire.V31 {
					s.joined(tc.v, "p").publish("old", "gone", 0, 0)
					c.expect() // nothing of the old session is left
				}
			})
		})
	}
}

func TestSessionExpiry(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		hour := with(mqttwire.SessionExpiry, 3600)
		s.joined(mqttwire.V5, "away", hour).drop()
		s.joined(mqttwire.V5, "back", hour).drop()
		s.joined(mqttwire.V5, "ever", with(mqttwire.SessionExpiry, expiryNever)).drop()
		s.joined(mqttwire.V311, "old", keep).drop()
		time.Sleep(59 * time.Minute)
		back := s.connect(mqttwire.V5, "back", keep, hour)
		back.expect("CONNACK success present")
		time.Sleep(2 * time.Minute)
		for id, kept := range map[string]bool{"away": false, "back": true, "ever": true, "old": true} {
			if _, ok := s.b.QueueStatus("/", queuePrefix+id); ok != kept {
				t.Errorf("session %q kept = %v, want %v", id, ok, kept)
			}
		}
		// A connected client's session does not end, whatever the time.
		time.Sleep(2 * time.Hour)
		back.send(mqttwire.AppendPingreq(nil))
		back.expect("PINGRESP")
	})
}

// While we are off no session's time passes, as nobody knows how long that was.
func TestSessionExpiryGoesOnAfterARestart(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.joined(mqttwire.V5, "away", with(mqttwire.SessionExpiry, 100)).drop()
		time.Sleep(90 * time.Second)
		s.cutPower(nil)
		time.Sleep(99 * time.Second)
		if _, ok := s.b.QueueStatus("/", "mqtt.away"); !ok {
			t.Fatal("session ended before its time")
		}
		time.Sleep(2 * time.Second)
		if _, ok := s.b.QueueStatus("/", "mqtt.away"); ok {
			t.Fatal("session was not ended")
		}
	})
}

func TestSessionExpiryLimit(t *testing.T) {
	onStage(t, func(o *Options) { o.SessionExpiryMax = time.Minute }, func(s *stage) {
		c := s.connect(mqttwire.V5, "a", with(mqttwire.SessionExpiry, 3600))
		c.expect("CONNACK success [session expiry interval 60]")
		c.drop()
		s.joined(mqttwire.V311, "b", keep).drop()
		time.Sleep(61 * time.Second)
		if n := len(s.b.Status().Queues); n != 0 {
			t.Fatalf("%d sessions are left, want none", n)
		}
	})
}

func TestDisconnectChangesTheExpiry(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before, after uint32
		want          string
	}{
		{"to longer", 10, 1000, "CONNACK success present"},
		{"to nothing", 1000, 0, "CONNACK success"},
		{"to shorter", 1000, 10, "CONNACK success"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, tc.before))
				c.must(mqttwire.AppendDisconnect(nil, c.version, &mqttwire.Disconnect{
					Props: props(func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.SessionExpiry, tc.after) }),
				}))
				c.expect("closed")
				time.Sleep(100 * time.Second)
				s.connect(mqttwire.V5, "c", keep).expect(tc.want)
			})
		})
	}
}

// A session with subscriptions is not for a user who may not have them.
func TestSessionOfAnotherUser(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "c", keep)
		c.listens("secret/#", 1)
		c.bye()
		s.connect(mqttwire.V5, "c", keep, login("writer", "")).expect("CONNACK not authorized", "closed")
		s.connect(mqttwire.V311, "c", keep).expect("CONNACK success present")
	})
}

func TestTakeOver(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		watcher := s.joined(mqttwire.V311, "watcher")
		watcher.listens("gone/#", 1)
		first := s.joined(mqttwire.V5, "c", keep, with(mqttwire.SessionExpiry, 100), willTo("gone/c", "first", false))
		first.listens("a", 1)
		s.joined(mqttwire.V311, "p").publish("a", "1", 1, 1)
		first.expect("PUBLISH a=1 q1 #1")
		second := s.connect(mqttwire.V311, "c", keep, willTo("gone/c", "second", false))
		first.expect("DISCONNECT session taken over", "closed")
		watcher.expect("PUBLISH gone/c=first q1 #1")
		second.expect("CONNACK success present", "PUBLISH a=1 q1 #1 dup")
		third := s.connect(mqttwire.V5, "c")
		second.expect("closed")
		watcher.expect("PUBLISH gone/c=second q1 #2")
		third.expect("CONNACK success")
		if n := len(s.door.clients); n != 3 {
			t.Errorf("%d clients are known, want 3", n)
		}
	})
}

// An operator may delete a session's queue like any other.
func TestDeletedQueueEndsTheConnection(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 100))
		if _, _, err := s.door.keeper.DeleteQueue("mqtt.c", false, false); err != nil {
			t.Fatal(err)
		}
		c.expect("DISCONNECT administrative action", "closed")
	})
}

// Messages of QoS 0 are for those who are there, unless the operator says
// otherwise; they would pile up in memory for a client that never returns.
func TestQoS0WhileAway(t *testing.T) {
	for _, kept := range []bool{false, true} {
		onStage(t, func(o *Options) { o.KeepQoS0 = kept }, func(s *stage) {
			c := s.joined(mqttwire.V311, "archive", keep)
			c.listens("a/0", 0)
			c.listens("a/+", 1)
			c.bye()
			sensor := s.joined(mqttwire.V311, "sensor")
			sensor.publish("a/1", "of QoS 0", 0, 0)
			sensor.publish("a/1", "of QoS 1", 1, 1)
			sensor.expect("PUBACK 1")
			c = s.connect(mqttwire.V311, "archive", keep)
			if kept {
				c.expect("CONNACK success present", "PUBLISH a/1=of QoS 0 q0", "PUBLISH a/1=of QoS 1 q1 #2")
			} else {
				c.expect("CONNACK success present", "PUBLISH a/1=of QoS 1 q1 #1")
			}
			sensor.publish("a/0", "now", 0, 0)
			c.expect("PUBLISH a/0=now q0")
		})
	}
}

// TestALostRightCostsOneSubscription: a kept session whose user lost the right to
// some of what it is subscribed to goes on with the rest, also over a power cut.
func TestALostRightCostsOneSubscription(t *testing.T) {
	var access broker.Access // everything
	asUser := func(o *Options) {
		o.Authenticate = func(l Login) (string, broker.Access, error) {
			if l.User == "u" {
				return "u", access, nil
			}
			return l.User, nil, nil
		}
	}
	onStage(t, asUser, func(s *stage) {
		c := s.joined(mqttwire.V311, "c", login("u", ""), keep)
		for _, filter := range []string{"house/+", "garden/+", "$share/g/house/+", "$share/g/garden/#"} {
			c.listens(filter, 1)
		}
		c.bye()
		sensor := s.joined(mqttwire.V311, "sensor")
		for i, topic := range []string{"house/1", "garden/1"} {
			sensor.publish(topic, "x", 1, uint16(i+1))
			sensor.expect(fmt.Sprint("PUBACK ", i+1))
		}
		access = gardener{}
		s.cutPower(asUser)
		c = s.connect(mqttwire.V311, "c", login("u", ""), keep)
		got := c.got()
		slices.Sort(got[1:])
		if want := []string{"CONNACK success present", "PUBLISH garden/1=x q1 #2", "PUBLISH garden/1=x q1 #3"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if st := s.door.Stats(); st.SubscriptionsLost != 2 || st.Unmatched != 1 {
			t.Errorf("%d subscriptions were lost and %d messages dropped, want 2 and 1", st.SubscriptionsLost, st.Unmatched)
		}
		if names := s.shares(); len(names) != 1 {
			t.Errorf("groups are %q, want that of the garden", names)
		}
		access = nil // what is lost is lost: it must be subscribed to again
		c.puback(2, 3)
		s.cutPower(asUser)
		c = s.connect(mqttwire.V311, "c", login("u", ""), keep)
		c.expect("CONNACK success present")
		s.joined(mqttwire.V311, "sensor").publish("house/1", "y", 1, 1)
		c.expect()
		if n := s.door.Stats().SubscriptionsLost; n != 0 {
			t.Errorf("%d subscriptions were lost again", n)
		}
	})
}
