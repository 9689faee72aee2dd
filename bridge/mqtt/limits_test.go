package mqtt

import (
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"leveret/bridge/mqttwire"
)

// sensorsAndRest has a class for clients whose ids begin with s, and one for
// everybody who logs in as reader.
func sensorsAndRest(sensors Limits) func(*Options) {
	return func(o *Options) {
		o.ReceiveMax = 50
		o.Classes = []Class{
			{Name: "sensors", Client: regexp.MustCompile("^s"), ConnectionsMax: 2, Limits: sensors},
			{Name: "readers", User: regexp.MustCompile("^reader$"), Limits: Limits{ReceiveMax: 7}},
		}
	}
}

func qos(n byte) *byte { return &n }

// A client is told of its own limits; what its class leaves open is the door's.
func TestClassLimitsAreOffered(t *testing.T) {
	onStage(t, sensorsAndRest(Limits{PacketBytesMax: 1000, SessionExpiryMax: time.Minute, QoSMax: qos(1)}), func(s *stage) {
		for _, c := range []struct {
			id, user, want string
		}{
			{"s1", "", "receive maximum 50] [maximum packet size 1000] [topic alias maximum 16] [maximum QoS 1] [session expiry interval 60]"},
			{"s2", "reader", "receive maximum 50] [maximum packet size 1000] [topic alias maximum 16] [maximum QoS 1] [session expiry interval 60]"},
			{"x1", "reader", "receive maximum 7] [maximum packet size 1048576] [topic alias maximum 16]"},
			{"x2", "", "receive maximum 50] [maximum packet size 1048576] [topic alias maximum 16]"},
		} {
			edits := []func(*mqttwire.Connect){with(mqttwire.SessionExpiry, 3600)}
			if c.user != "" {
				edits = append(edits, login(c.user, ""))
			}
			raw := s.connect(mqttwire.V5, c.id, edits...)
			raw.whole = true
			if got, want := raw.got(), "CONNACK success ["+c.want; len(got) != 1 || got[0] != want {
				t.Errorf("client %q of user %q: %q, want %q", c.id, c.user, got, want)
			}
		}
	})
}

func TestClassConnectionsMax(t *testing.T) {
	onStage(t, sensorsAndRest(Limits{}), func(s *stage) {
		s.joined(mqttwire.V5, "s1")
		two := s.joined(mqttwire.V311, "s2")
		s.connect(mqttwire.V5, "s3").expect("CONNACK quota exceeded", "closed")
		s.connect(mqttwire.V311, "s3").expect("CONNACK server unavailable", "closed")
		s.joined(mqttwire.V5, "s2") // takes over: it is one of the two
		two.expect("closed")
		s.joined(mqttwire.V5, "x")
		two.drop()
		s.joined(mqttwire.V5, "s1").bye()
		s.joined(mqttwire.V5, "s3")
	})
}

// What was taken before a client has to wait is answered meanwhile, also what
// came with one read of the socket.
func TestThrottledClientsGetAnswers(t *testing.T) {
	onStage(t, sensorsAndRest(Limits{MessagesPerSecond: 5}), func(s *stage) {
		c := s.joined(mqttwire.V5, "s1")
		time.Sleep(10 * time.Second) // nobody writes by chance
		var all []byte
		for id := uint16(1); id <= 15; id++ {
			p := mqttwire.PublishOut{Topic: "a", QoS: 1, PacketID: id}
			all, _ = mqttwire.AppendPublish(all, c.version, &p)
		}
		c.send(all)
		for second := range 3 {
			if n := len(c.got()); n != 5 {
				t.Errorf("%d answers in second %d, want 5", n, second)
			}
			time.Sleep(time.Second)
		}
	})
}

// Nothing above the class's QoS is taken or granted.
func TestQoSMax(t *testing.T) {
	for most := byte(0); most < 2; most++ {
		onStage(t, sensorsAndRest(Limits{QoSMax: &most}), func(s *stage) {
			c := s.joined(mqttwire.V5, "s1")
			c.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 2}, mqttwire.Subscription{Filter: "$share/g/a", QoS: 2})
			c.expect(fmt.Sprintf("SUBACK 1 %d %d", most, most))
			c.publish("b", "x", most+1, 1)
			c.expect("DISCONNECT QoS not supported", "closed")
			three := s.joined(mqttwire.V311, "s1")
			three.publish("b", "x", 2, 1)
			three.expect("closed")
			will := func(m *mqttwire.Connect) {
				m.HasWill, m.Will = true, mqttwire.Will{QoS: 2, Topic: "w"}
			}
			s.connect(mqttwire.V5, "s1", will).expect("CONNACK QoS not supported", "closed")
			s.connect(mqttwire.V311, "s1", will).expect("closed") // it has no word for it
			s.joined(mqttwire.V5, "x", will)
		})
	}
}

// A session's queue is bounded, and the class says what gives way.
func TestQueuedMaxAndOverflow(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		want   []string // what the client finds of 1 to 5, of topics a and b in turn
		last   string   // the publisher's answer to the last
	}{
		{Limits{QueuedMax: 3}, []string{"a=3", "b=4", "a=5"}, "PUBACK 5"},
		{Limits{QueuedBytesMax: 2}, []string{"b=4", "a=5"}, "PUBACK 5"},
		{Limits{QueuedMax: 3, Overflow: "reject-publish"}, []string{"a=1", "b=2", "a=3"}, "PUBACK 5 quota exceeded"},
		{Limits{QueuedMax: 2, Overflow: "keep-last"}, []string{"b=4", "a=5"}, "PUBACK 5"},
		{Limits{QueuedMax: 4, Overflow: "thin"}, []string{"a=1", "a=3", "b=4", "a=5"}, "PUBACK 5"},
	} {
		onStage(t, sensorsAndRest(c.limits), func(s *stage) {
			sub := s.joined(mqttwire.V5, "s1", with(mqttwire.SessionExpiry, 60))
			sub.listens("#", 1)
			sub.drop()
			p := s.joined(mqttwire.V5, "p")
			for i := 1; i <= 5; i++ {
				p.publish([]string{"b", "a"}[i%2], fmt.Sprint(i), 1, uint16(i))
			}
			if got := p.got(); len(got) != 5 || got[4] != c.last {
				t.Errorf("%+v: the publisher got %q, want the last to be %q", c.limits, got, c.last)
			}
			back := s.joined5(t, "s1")
			var want []string
			for _, m := range c.want {
				want = append(want, fmt.Sprintf("PUBLISH %s q1 #%s", m, m[len(m)-1:])) // by its place
			}
			back.expect(want...)
		})
	}
}

// A client that publishes too fast is read from more slowly: every message
// comes, none before its time, and others do not notice.
func TestMessagesPerSecond(t *testing.T) {
	for _, v := range []mqttwire.Version{mqttwire.V31, mqttwire.V311, mqttwire.V5} {
		onStage(t, sensorsAndRest(Limits{MessagesPerSecond: 10}), func(s *stage) {
			sub := s.joined(mqttwire.V5, "x")
			sub.listens("#", 0)
			fast := s.joined(v, "s1")
			go func() {
				for i := range 35 {
					fast.publish("a", fmt.Sprint(i), 0, 0)
				}
			}()
			total := len(sub.got())
			if total != 10 {
				t.Errorf("%s: %d messages came at once, want a second's worth, 10", v, total)
			}
			for second := 1; second <= 3; second++ {
				time.Sleep(time.Second)
				total += len(sub.got())
				if least, most := 10*second+8, 10*second+10; total < min(least, 35) || total > most {
					t.Errorf("%s: %d messages after %d s, want %d to %d", v, total, second, least, most)
				}
			}
			if total != 35 {
				t.Errorf("%s: %d messages came, want all 35", v, total)
			}
			if n := s.door.Stats().Throttled; n == 0 {
				t.Error("no pause was counted")
			}
			synctest.Wait()
		})
	}
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(0, 0)
	for i := range 5 {
		if wait := m.take(5, now); wait != 0 {
			t.Fatalf("message %d waits for %v", i, wait)
		}
	}
	if wait := m.take(5, now); wait != 200*time.Millisecond {
		t.Errorf("the sixth of five a second waits for %v", wait)
	}
	if wait := m.take(5, now.Add(200*time.Millisecond)); wait != 0 {
		t.Errorf("after that it waits for %v", wait)
	}
	if wait := m.take(5, now.Add(-time.Hour)); wait <= 0 || wait > 200*time.Millisecond {
		t.Errorf("a clock that went back makes it wait for %v", wait)
	}
}
