package mqtt

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

func TestConnect(t *testing.T) {
	long := strings.Repeat("x", clientIDMax+1)
	for _, tc := range []struct {
		name   string
		v      mqttwire.Version
		id     string
		edits  []func(*mqttwire.Connect)
		answer []string
	}{
		{"plain", mqttwire.V31, "c", nil, []string{"CONNACK success"}},
		{"plain", mqttwire.V311, "c", nil, []string{"CONNACK success"}},
		{"plain", mqttwire.V5, "c", nil, []string{"CONNACK success"}},
		{"long id", mqttwire.V31, strings.Repeat("x", 60), nil, []string{"CONNACK success"}},
		{"id is ours", mqttwire.V311, "", nil, []string{"CONNACK success"}},
		{"id is ours", mqttwire.V5, "", nil, []string{"CONNACK success [assigned client identifier]"}},
		{"no id for a kept session", mqttwire.V311, "", []func(*mqttwire.Connect){keep}, []string{"CONNACK client identifier not valid", "closed"}},
		{"no id in 3.1", mqttwire.V31, "", nil, []string{"CONNACK client identifier not valid", "closed"}},
		{"id too long", mqttwire.V311, long, nil, []string{"CONNACK client identifier not valid", "closed"}},
		{"id too long", mqttwire.V5, long, nil, []string{"CONNACK client identifier not valid", "closed"}},
		{"login", mqttwire.V5, "c", []func(*mqttwire.Connect){login("u", "right")}, []string{"CONNACK success"}},
		{"wrong password", mqttwire.V5, "c", []func(*mqttwire.Connect){login("u", "wrong")}, []string{"CONNACK bad user name or password", "closed"}},
		{"wrong password", mqttwire.V311, "c", []func(*mqttwire.Connect){login("u", "wrong")}, []string{"CONNACK bad user name or password", "closed"}},
		{"enhanced authentication", mqttwire.V5, "c", []func(*mqttwire.Connect){func(m *mqttwire.Connect) {
			m.Props = props(func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.AuthenticationMethod, "SCRAM") })
		}}, []string{"CONNACK bad authentication method", "closed"}},
		{"will of QoS 2", mqttwire.V5, "c", []func(*mqttwire.Connect){willTo("w", "", false), func(m *mqttwire.Connect) { m.Will.QoS = 2 }}, []string{"CONNACK success"}},
		{"will of QoS 2", mqttwire.V311, "c", []func(*mqttwire.Connect){willTo("w", "", false), func(m *mqttwire.Connect) { m.Will.QoS = 2 }}, []string{"CONNACK success"}},
		{"will to the server's topics", mqttwire.V5, "c", []func(*mqttwire.Connect){willTo("$SYS/x", "", false)}, []string{"CONNACK not authorized", "closed"}},
		{"will to a share", mqttwire.V5, "c", []func(*mqttwire.Connect){willTo("$share/g/x", "", false)}, []string{"CONNACK topic name invalid", "closed"}},
		{"keep alive is capped", mqttwire.V5, "c", []func(*mqttwire.Connect){keepAlive(1000)}, []string{"CONNACK success [server keep alive 60]"}},
		{"keep alive is set", mqttwire.V5, "c", []func(*mqttwire.Connect){keepAlive(0)}, []string{"CONNACK success [server keep alive 60]"}},
	} {
		if !strings.HasPrefix(tc.name, "keep alive") { // else it is capped
			tc.edits = append(tc.edits, keepAlive(60))
		}
		t.Run(tc.v.String()+" "+tc.name, func(t *testing.T) {
			onStage(t, func(o *Options) { o.KeepAliveMax = time.Minute }, func(s *stage) {
				s.connect(tc.v, tc.id, tc.edits...).expect(tc.answer...)
			})
		})
	}
}

func TestConnackSaysWhatWeDo(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.connect(mqttwire.V5, "c")
		synctest.Wait()
		var m mqttwire.Connack
		packet, err := s.door.clients["c"].connack(false)
		if err != nil || m.Decode(packet[2:], mqttwire.V5) != nil {
			t.Fatal(packet, err)
		}
		for id, want := range map[mqttwire.PropertyID]uint32{
			mqttwire.ReceiveMaximum: 100, mqttwire.MaximumPacketSize: 1 << 20,
			mqttwire.TopicAliasMaximum: topicAliasMax,
		} {
			if got, ok := m.Props.Uint32(id); !ok || got != want {
				t.Errorf("%s = %d, %v, want %d", id, got, ok, want)
			}
		}
		c.bye()
	})
}

func TestAnonymousByRule(t *testing.T) {
	onStage(t, func(o *Options) { o.Authenticate = denyAnonymous }, func(s *stage) {
		s.connect(mqttwire.V5, "c").expect("CONNACK not authorized", "closed")
		s.connect(mqttwire.V311, "c").expect("CONNACK not authorized", "closed")
		s.joined(mqttwire.V311, "c", login("u", "right"))
	})
}

// stranger is a user whom no vhost lets in.
type stranger struct{}

func (stranger) Allows(broker.Action, string) bool             { return true }
func (stranger) Enter(_, _ string) (in broker.Access, ok bool) { return nil, false }

func TestUserOfAnotherVHostIsRefused(t *testing.T) {
	onStage(t, func(o *Options) { o.Authenticate = loginAs(stranger{}) }, func(s *stage) {
		s.connect(mqttwire.V5, "c", login("u", "p")).expect("CONNACK not authorized", "closed")
	})
}

func TestKeepAlive(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", keepAlive(10))
		old := s.joined(mqttwire.V311, "old", keepAlive(10))
		never := s.joined(mqttwire.V311, "never")
		for range 5 {
			time.Sleep(14 * time.Second)
			c.send(mqttwire.AppendPingreq(nil))
			old.publish("a", "", 0, 0) // any packet will do
			c.expect("PINGRESP")
		}
		time.Sleep(14 * time.Second)
		c.expect()
		time.Sleep(2 * time.Second)
		c.expect("DISCONNECT keep alive timeout", "closed")
		old.expect("closed")
		time.Sleep(24 * time.Hour)
		never.send(mqttwire.AppendPingreq(nil))
		never.expect("PINGRESP")
	})
}

func TestStrangersAreSentAway(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		silent, slow := s.raw(mqttwire.V311), s.raw(mqttwire.V311)
		time.Sleep(9 * time.Second)
		slow.send([]byte{0x10}) // a byte now and then does not buy time
		silent.expect()
		time.Sleep(2 * time.Second)
		silent.expect("closed")
		slow.expect("closed")
	})
}

func TestStrangersDoNotKeepOthersOut(t *testing.T) {
	onStage(t, func(o *Options) { o.ConnectingMax, o.ConnectionsMax = 3, 5 }, func(s *stage) {
		good := s.joined(mqttwire.V311, "good")
		var idle []*client
		for range 4 {
			idle = append(idle, s.raw(mqttwire.V311))
			time.Sleep(time.Millisecond)
		}
		idle[0].expect("closed")
		idle[1].expect()
		s.joined(mqttwire.V311, "second")
		idle[1].expect("closed")
		for _, id := range []string{"third", "fourth", "fifth"} {
			s.joined(mqttwire.V311, id)
		}
		idle[3].expect("closed")
		s.raw(mqttwire.V311).expect("closed") // full of clients
		good.send(mqttwire.AppendPingreq(nil))
		good.expect("PINGRESP")
		if st := s.door.Stats(); st.Connections != 5 || st.Connected != 5 {
			t.Errorf("%d connections, %d connected since the start, want 5 and 5", st.Connections, st.Connected)
		}
	})
}

func TestPanicEndsOneConnection(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		good := s.joined(mqttwire.V311, "good")
		s.connect(mqttwire.V311, "bad", login("bomb", "")).expect("closed")
		good.send(mqttwire.AppendPingreq(nil))
		good.expect("PINGRESP")
		if n := s.door.counts.panics.Swap(0); n != 1 {
			t.Errorf("%d panics were counted, want 1", n)
		}
		if n := s.door.Stats().Connections; n != 1 {
			t.Errorf("%d connections are left, want 1", n)
		}
	})
}

func TestShutdown(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		old := s.joined(mqttwire.V311, "old")
		stranger := s.raw(mqttwire.V311)
		s.stop()
		c.expect("DISCONNECT server shutting down", "closed")
		old.expect("closed")
		stranger.expect("closed")
	})
}

// A client that takes nothing is given up, with everything that waits for it.
func TestDeafClient(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		near, far := net.Pipe()
		s.dial.conns <- far
		m := mqttwire.Connect{Version: mqttwire.V311, ClientID: "deaf", CleanStart: true}
		packet, _ := mqttwire.AppendConnect(nil, &m)
		_, _ = near.Write(packet)
		time.Sleep(s.door.WriteTimeout - time.Second)
		if n := s.door.Stats().Connections; n != 1 {
			t.Fatalf("%d connections before the timeout, want 1", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := s.door.Stats().Connections; n != 0 {
			t.Fatalf("%d connections after the timeout, want none", n)
		}
	})
}
