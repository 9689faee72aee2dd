package mqtt

import (
	"strings"
	"testing"
	"time"

	"leveret/bridge/mqttwire"
)

func TestWill(t *testing.T) {
	disconnect := func(reason mqttwire.ReasonCode) func(*stage, *client) {
		return func(s *stage, c *client) {
			c.must(mqttwire.AppendDisconnect(nil, c.version, &mqttwire.Disconnect{Reason: reason}))
		}
	}
	for _, tc := range []struct {
		name string
		v    mqttwire.Version
		end  func(*stage, *client)
		sent bool
	}{
		{"clean disconnect", mqttwire.V311, disconnect(0), false},
		{"clean disconnect", mqttwire.V5, disconnect(0), false},
		{"disconnect with will", mqttwire.V5, disconnect(mqttwire.DisconnectWithWill), true},
		{"disconnect with an error", mqttwire.V5, disconnect(mqttwire.UnspecifiedError), true},
		{"lost connection", mqttwire.V311, func(_ *stage, c *client) { c.drop() }, true},
		{"keep alive", mqttwire.V5, func(*stage, *client) { time.Sleep(16 * time.Second) }, true},
		{"protocol error", mqttwire.V311, func(_ *stage, c *client) { c.send([]byte{0xF0, 0}) }, true},
		{"half a disconnect", mqttwire.V5, func(_ *stage, c *client) { c.send([]byte{0xE0}); c.drop() }, true},
		{"taken over", mqttwire.V311, func(s *stage, c *client) { s.joined(mqttwire.V311, "c") }, true},
	} {
		t.Run(tc.v.String()+" "+tc.name, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				watcher := s.joined(mqttwire.V311, "watcher")
				watcher.listens("#", 1)
				c := s.joined(tc.v, "c", keepAlive(10), willTo("gone/c", "bye", false))
				tc.end(s, c)
				if tc.sent {
					watcher.expect("PUBLISH gone/c=bye q1 #1")
				} else {
					watcher.expect()
				}
			})
		})
	}
}

func TestWillHasItsPropertiesAndIsRetained(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", willTo("gone/c", "", false), func(m *mqttwire.Connect) {
			m.Will = mqttwire.Will{Retain: true, Topic: "state/c", Payload: []byte("off"), Props: props(func(w *mqttwire.PropertyWriter) {
				w.Number(mqttwire.WillDelay, 5)
				w.Text(mqttwire.ContentType, "text/plain")
				w.User("why", "lost")
			})}
		})
		c.drop()
		late := s.joined(mqttwire.V5, "late")
		late.subscribe(0, mqttwire.Subscription{Filter: "state/+", QoS: 1})
		late.expect("SUBACK 1 1", "PUBLISH state/c=off q0 retain [content type text/plain] [why: lost]")
	})
}

func TestWillNeedsTheRightToPublish(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		watcher := s.joined(mqttwire.V311, "watcher")
		watcher.listens("#", 1)
		s.joined(mqttwire.V311, "c", login("reader", ""), willTo("gone/c", "bye", false)).drop()
		watcher.expect()
		if n := s.door.Stats().WillsLost; n != 1 {
			t.Errorf("%d wills were lost, want 1", n)
		}
	})
}

// delayed is a will with a delay, of a session that is kept for a minute.
func delayed(seconds uint32) []func(*mqttwire.Connect) {
	return []func(*mqttwire.Connect){
		keep, with(mqttwire.SessionExpiry, 60), willTo("gone/c", "bye", true),
		func(m *mqttwire.Connect) {
			m.Will.Props = props(func(w *mqttwire.PropertyWriter) {
				w.Number(mqttwire.WillDelay, seconds)
				w.Number(mqttwire.MessageExpiry, 5)
				w.User("why", "lost")
			})
		},
	}
}

const delayedWill = "PUBLISH gone/c=bye q1 #1 [message expiry interval 5] [why: lost]"

func TestDelayedWill(t *testing.T) {
	for _, tc := range []struct {
		name   string
		delay  uint32
		then   func(*stage)
		after  time.Duration // since the connection was lost
		before string        // what the watcher has at that time, if anything
		want   []string      // and a second later
	}{
		{"on time", 10, func(*stage) {}, 9 * time.Second, "", []string{delayedWill}},
		{"at the end of the session", 1000, func(*stage) {}, 59 * time.Second, "", []string{delayedWill}},
		{"client is back", 10, func(s *stage) { s.connect(mqttwire.V5, "c", keep).got() }, 9 * time.Second, "", nil},
		{"client is back with a clean start", 10, func(s *stage) { s.connect(mqttwire.V5, "c").got() }, 0, delayedWill, nil},
		{"power cut", 10, func(s *stage) { time.Sleep(4 * time.Second) }, 9 * time.Second, "", []string{delayedWill}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				s.joined(mqttwire.V5, "c", delayed(tc.delay)...).drop()
				lost := time.Now()
				if tc.name == "power cut" {
					tc.then(s)
					s.cutPower(nil)
				}
				watcher := s.joined(mqttwire.V5, "watcher")
				watcher.listens("gone/#", 1)
				if tc.name != "power cut" {
					tc.then(s)
				}
				time.Sleep(time.Until(lost.Add(tc.after)))
				if tc.before == "" {
					watcher.expect()
				} else {
					watcher.expect(tc.before)
				}
				time.Sleep(1100 * time.Millisecond)
				watcher.expect(tc.want...)
				if tc.want != nil { // it was retained, and its queue is gone
					late := s.joined(mqttwire.V311, "late")
					late.subscribe(0, mqttwire.Subscription{Filter: "gone/#"})
					late.expect("SUBACK 1 0", "PUBLISH gone/c=bye q0 retain")
				}
				for _, q := range s.b.Status().Queues {
					if strings.HasPrefix(q.Name, willPrefix) {
						t.Errorf("queue %q is left over", q.Name)
					}
				}
			})
		})
	}
}

func TestDelayedWillNeedsTheRight(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.joined(mqttwire.V5, "c", append(delayed(10), login("reader", ""))...).drop()
		if n := s.door.Stats().WillsLost; n != 1 {
			t.Errorf("%d wills lost, want 1", n)
		}
	})
}
