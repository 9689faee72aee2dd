package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
	"leveret/bridge/remote/remotetest"
)

func TestNothingIsAcknowledgedBeforeItIsSettled(t *testing.T) {
	acked, looked := make(chan []uint16, 1), make(chan struct{})
	var connect mqttwire.Connect
	var subscribe mqttwire.Subscribe
	r := open(t, 1, 8, func(p *peer5) {
		if !p.greet(false, nil) {
			return
		}
		connect = p.connect
		subscribe, _ = p.grant(mqttwire.GrantedQoS1)
		for id := uint16(1); id <= 5; id++ {
			p.publish(mqttwire.PublishOut{QoS: 1, PacketID: id, Payload: fmt.Append(nil, id)})
		}
		_ = p.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if early := p.acks(mqttwire.TypePuback, 1); len(early) > 0 {
			t.Errorf("%v is acknowledged before it is settled", early)
		}
		_ = p.SetReadDeadline(time.Now().Add(longMax))
		close(looked)
		acked <- p.acks(mqttwire.TypePuback, 5)
		p.rest()
	})
	got, err := remotetest.Take(t, r, 5)
	if err != nil {
		t.Fatal(err)
	}
	<-looked
	// Out of order; the far side must hear of them in order (section 4.6).
	for _, a := range []bridge.Ack{{Tag: got[3].Tag}, {Tag: got[2].Tag}, {Tag: got[1].Tag, Multiple: true}, {Tag: got[4].Tag}} {
		if err := r.Settle([]bridge.Ack{a}); err != nil {
			t.Fatal(err)
		}
	}
	if ids := <-acked; !slices.Equal(ids, []uint16{1, 2, 3, 4, 5}) {
		t.Errorf("acknowledged %v", ids)
	}
	window, _ := connect.Props.Uint32(mqttwire.ReceiveMaximum)
	expiry, _ := connect.Props.Uint32(mqttwire.SessionExpiry)
	size, _ := connect.Props.Uint32(mqttwire.MaximumPacketSize)
	if connect.CleanStart || window != 8 || expiry != 7*24*3600 || size != 1<<20 || connect.Username != "gw" || string(connect.Password) != secret {
		t.Errorf("CONNECT: clean %v, window %d, expiry %d, size %d, user %q", connect.CleanStart, window, expiry, size, connect.Username)
	}
	if s := subscribe.Filters; len(s) != 1 || s[0].Filter != "#" || s[0].QoS != 1 || !s[0].NoLocal || !s[0].RetainAsPublished {
		t.Errorf("SUBSCRIBE: %+v", s)
	}
}

func TestWhatComesAgainKeepsItsID(t *testing.T) {
	out := func(id uint16, body string, dup bool) mqttwire.PublishOut {
		return mqttwire.PublishOut{QoS: 1, PacketID: id, Payload: []byte(body), Dup: dup}
	}
	address := serve(t, func(p *peer5) {
		if p.greet(false, nil) {
			_, _ = p.grant(1)
			p.publish(out(7, "same", false))
			p.publish(out(8, "other", false))
			p.rest()
		}
	}, func(p *peer5) {
		if p.greet(true, nil) {
			_, _ = p.grant(1)
			p.publish(out(7, "same", true))
			p.publish(out(8, "changed", true))
			p.publish(out(9, "same", false))
			p.rest()
		}
	}, func(p *peer5) {
		if p.greet(false, nil) { // the session is lost
			_, _ = p.grant(1)
			p.publish(out(7, "same", true))
			p.rest()
		}
	})
	s := newSource(t, SourceOptions{Options: options(address), QoS: 1})
	var got []bridge.Message
	for _, n := range []int{2, 3, 1} {
		r, err := s.Open(context.Background(), 8)
		if err != nil {
			t.Fatal(err)
		}
		more, err := remotetest.Take(t, r, n)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, more...)
		r.Close()
	}
	id := func(i int) string { return got[i].Props.MessageID }
	if id(0) == "" || id(0) != id(2) || !got[2].Redelivered || got[0].Redelivered {
		t.Errorf("%q came again as %q, marked %v", id(0), id(2), got[2].Redelivered)
	}
	for _, pair := range [][2]int{{0, 1}, {1, 3}, {0, 4}, {0, 5}} {
		if id(pair[0]) == id(pair[1]) {
			t.Errorf("messages %v have one id", pair)
		}
	}
}

func TestGrantedQoSIsInsistedOn(t *testing.T) {
	tests := []struct {
		name  string
		codes []mqttwire.ReasonCode
		want  string
	}{
		{"less", []mqttwire.ReasonCode{1, 0}, `topic "b": the far side grants QoS 0 and not 1`},
		{"refused", []mqttwire.ReasonCode{mqttwire.NotAuthorized, 1}, `topic "a": not authorized`},
		{"one answer too few", []mqttwire.ReasonCode{1}, "answered 1 of 2 topics"},
		{"never answered", nil, "subscribe: no answer in time"},
		{"more is fine", []mqttwire.ReasonCode{2, 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := serve(t, func(p *peer5) {
				if p.greet(false, nil) {
					if tt.codes != nil {
						_, _ = p.grant(tt.codes...)
					}
					p.rest()
				}
			})
			s := newSource(t, SourceOptions{Options: options(address), QoS: 1, Topics: []string{"a", "b"}})
			limit := time.Second // of what is waited for in vain when all is well
			if tt.codes == nil {
				s.patience, limit = 500*time.Millisecond, longMax
			} else if tt.want != "" {
				limit = longMax
			}
			r, err := s.Open(context.Background(), 4)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			_, err = r.Take(ctx)
			if want := orElse(tt.want, "context deadline exceeded"); !strings.Contains(err.Error(), want) {
				t.Errorf("Take = %v, want %q", err, want)
			}
		})
	}
}

// TestTheGuard: what has been here is acknowledged and not taken again, and so
// is what nobody asks for.
func TestTheGuard(t *testing.T) {
	acked := make(chan []uint16, 1)
	paths := []string{"there", "there here", "", strings.TrimSpace(strings.Repeat("x1 ", 3)), strings.Repeat("y ", 15) + "y"}
	address := serve(t, func(p *peer5) {
		if !p.greet(false, func(w *mqttwire.PropertyWriter) { w.User(bridge.UserNode, "there") }) {
			return
		}
		_, _ = p.grant(1)
		for i, path := range paths {
			p.publish(mqttwire.PublishOut{QoS: 1, Topic: "a/b", PacketID: uint16(i + 1), Payload: fmt.Append(nil, i), Props: list(func(w *mqttwire.PropertyWriter) {
				if path != "" {
					w.User(bridge.HeaderPath, path)
				}
			})})
		}
		p.publish(mqttwire.PublishOut{QoS: 1, Topic: "b", PacketID: 6, Payload: []byte("unasked")})
		acked <- p.acks(mqttwire.TypePuback, 6)
		p.rest()
	})
	s := newSource(t, SourceOptions{Options: options(address), QoS: 1, Topics: []string{"a/#"}})
	r, err := s.Open(context.Background(), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := remotetest.Take(t, r, 3)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, m := range got {
		path, _ := m.Props.Headers.Get(bridge.HeaderPath)
		seen = append(seen, fmt.Sprint(string(m.Body), " ", m.Key, " ", path))
	}
	if want := []string{"0 a.b there here", "2 a.b there here", "3 a.b x1 x1 x1 there here"}; !slices.Equal(seen, want) {
		t.Errorf("took %q, want %q", seen, want)
	}
	if err := r.Settle([]bridge.Ack{{Tag: got[2].Tag, Multiple: true}}); err != nil {
		t.Fatal(err)
	}
	if ids := <-acked; !slices.Equal(ids, []uint16{1, 2, 3, 4, 5, 6}) {
		t.Errorf("acknowledged %v", ids)
	}
	if n := s.Ignored(); n != 3 {
		t.Errorf("%d were ignored, want 3", n)
	}
}

// TestWhatWasHereComesBackOverAStranger: a broker that names no node hands on what we
// have sent there, and it is not taken again.
func TestWhatWasHereComesBackOverAStranger(t *testing.T) {
	address := serve(t, func(p *peer5) {
		if !p.greet(false, nil) {
			return
		}
		_, _ = p.grant(1)
		for id, path := range []string{"here", "far", "far here"} {
			p.publish(mqttwire.PublishOut{QoS: 1, Topic: "a", PacketID: uint16(id + 1), Payload: []byte(path), Props: list(func(w *mqttwire.PropertyWriter) {
				w.User(bridge.HeaderPath, path)
			})})
		}
		p.rest()
	})
	s := newSource(t, SourceOptions{Options: options(address), QoS: 1, Topics: []string{"a"}})
	r, err := s.Open(context.Background(), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := remotetest.Take(t, r, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := bridge.PathOf(&got[0])
	if string(got[0].Body) != "far" || !path.Has("here") || !path.Has("far") || !path.Has(r.(*reader).conn.node()) {
		t.Errorf("taken was %q, which has been at %q", got[0].Body, path)
	}
}

// TestThePathOutlivesTheBound: what is left out of too many user properties is
// not what keeps the message from going round.
func TestThePathOutlivesTheBound(t *testing.T) {
	p := packets.Publish{Topic: "a", Properties: &packets.Properties{}}
	for range userPropertiesMax + 1 {
		p.Properties.User = append(p.Properties.User, packets.User{Key: "k", Value: "v"})
	}
	p.Properties.User = append(p.Properties.User, packets.User{Key: bridge.HeaderPath, Value: "there"})
	m, err := received(&p, bridge.DotsExact)
	if err != nil {
		t.Fatal(err)
	}
	if cut, _ := m.Props.Headers.Get(HeaderCut); cut != true || bridge.PathOf(&m) != "there" {
		t.Errorf("cut is %v, the path %q", cut, bridge.PathOf(&m))
	}
}

func TestExactlyOnceWhileWeLive(t *testing.T) {
	address := serve(t, func(p *peer5) {
		if p.greet(false, nil) {
			_, _ = p.grant(2)
			p.publish(mqttwire.PublishOut{QoS: 2, PacketID: 5, Payload: []byte("once")})
			p.acks(mqttwire.TypePubrec, 1)
		} // lost before PUBREL
	}, func(p *peer5) {
		if p.greet(true, nil) {
			_, _ = p.grant(2)
			p.publish(mqttwire.PublishOut{QoS: 2, PacketID: 5, Payload: []byte("once"), Dup: true})
			if ids := p.acks(mqttwire.TypePubrec, 1); !slices.Equal(ids, []uint16{5}) {
				t.Errorf("PUBREC %v", ids)
			}
			p.send(mqttwire.AppendAck(nil, mqttwire.TypePubrel, mqttwire.V5, &mqttwire.Ack{PacketID: 5}))
			if ids := p.acks(mqttwire.TypePubcomp, 1); !slices.Equal(ids, []uint16{5}) {
				t.Errorf("PUBCOMP %v", ids)
			}
			p.publish(mqttwire.PublishOut{QoS: 2, PacketID: 5, Payload: []byte("another")})
			p.rest()
		}
	})
	s := newSource(t, SourceOptions{Options: options(address), QoS: 2})
	var bodies []string
	for range 2 {
		r, err := s.Open(context.Background(), 4)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remotetest.Take(t, r, 1)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(got[0].Body))
		if err := r.Settle([]bridge.Ack{{Tag: got[0].Tag}}); err != nil {
			t.Fatal(err)
		}
		if len(bodies) == 1 {
			_, err := remotetest.Take(t, r, 1)
			if err == nil || !strings.Contains(err.Error(), "closed the connection") {
				t.Errorf("Take on a lost connection = %v", err)
			}
		}
		r.Close()
	}
	if !slices.Equal(bodies, []string{"once", "another"}) {
		t.Errorf("took %q", bodies)
	}
}

// TestHostileWhileRunning: each ends the connection with a reason, and nothing
// is believed or acknowledged for it.
func TestHostileWhileRunning(t *testing.T) {
	raw := func(b ...byte) func(*peer5) { return func(p *peer5) { p.say(b) } }
	tests := []struct {
		name string
		act  func(*peer5)
		want string
	}{
		{"garbage", raw(0xff, 0xff, 0xff, 0xff, 0xff), "malformed packet"},
		{"a huge length", raw(0x30, 0xff, 0xff, 0xff, 0x7f), "packet too large"},
		{"a topic that is no text", raw(0x30, 0x04, 0x00, 0x01, 0xff, 0x00), "malformed packet"},
		{"a topic alias", raw(0x30, 0x07, 0x00, 0x01, 't', 0x03, 0x23, 0x00, 0x01), "topic alias"},
		{"a second CONNACK", raw(0x20, 0x03, 0x00, 0x00, 0x00), "second CONNACK"},
		{"AUTH", raw(0xf0, 0x00), "sent AUTH"},
		{"PUBACK to a subscriber", raw(0x40, 0x02, 0x00, 0x01), "sent PUBACK"},
		{"SUBSCRIBE", raw(0x82, 0x06, 0x00, 0x01, 0x00, 0x00, 0x01, 'a', 0x00), "sent SUBSCRIBE"},
		{"closes", func(*peer5) {}, "closed the connection"},
		{"goodbye", func(p *peer5) {
			p.send(mqttwire.AppendDisconnect(nil, mqttwire.V5, &mqttwire.Disconnect{Reason: mqttwire.ServerShuttingDown}))
		}, "server shutting down"},
		{"taken over", func(p *peer5) {
			p.send(mqttwire.AppendDisconnect(nil, mqttwire.V5, &mqttwire.Disconnect{Reason: mqttwire.SessionTakenOver,
				Props: list(func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ReasonString, "by "+secret) })}))
		}, "session taken over: by ***"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := open(t, 1, 4, func(p *peer5) {
				if p.greet(false, nil) {
					if _, ok := p.grant(1); ok {
						tt.act(p)
					}
				}
			})
			_, err := remotetest.Take(t, r, 100)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("Take = %v, want ... %s", err, tt.want)
			}
			if unwelcome := errors.Is(err, bridge.ErrUnwelcome); unwelcome != (tt.name == "taken over") {
				t.Errorf("%v is unwelcome: %v", err, unwelcome)
			}
		})
	}
}

// TestAFloodIsLeftInTheSocket: messages of QoS 0 have no window of their own,
// and not every broker keeps to that of the others.
func TestAFloodIsLeftInTheSocket(t *testing.T) {
	for qos, most := range []int{16, 32} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) { testFlood(t, byte(qos), most) })
	}
}

func testFlood(t *testing.T, qos byte, most int) {
	r := open(t, 1, 16, func(p *peer5) {
		if !p.greet(false, nil) {
			return
		}
		_, _ = p.grant(1)
		for i := range 2000 {
			p.publish(mqttwire.PublishOut{QoS: qos, PacketID: uint16(i+1) * uint16(qos), Payload: make([]byte, 1000)})
		}
		p.rest()
	}).(*reader)
	inbox := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.inbox)
	}
	for late := time.Now().Add(longMax); inbox() == 0 && time.Now().Before(late); time.Sleep(time.Millisecond) {
	}
	time.Sleep(300 * time.Millisecond) // for those that should not follow
	if waiting := inbox(); waiting == 0 || waiting > most {
		t.Errorf("%d messages wait in memory, at most %d should", waiting, most)
	}
	got := 0
	for got < 2000 {
		batch, err := remotetest.Take(t, r, 1)
		if err != nil {
			t.Fatal(err)
		}
		got += len(batch)
		if err := r.Settle([]bridge.Ack{{Tag: batch[len(batch)-1].Tag, Multiple: true}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeepAliveShowsThatWeLiveAndNoticesTheDead(t *testing.T) {
	t.Parallel()       // it waits, by the real clock
	const answered = 3 // pings, then none
	pings := make(chan int, 1)
	o := options(serve(t, func(p *peer5) {
		if !p.greet(false, func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.ServerKeepAlive, 2) }) {
			return
		}
		_, _ = p.grant(1)
		n := 0
		for ; n < answered; n++ {
			if _, ok := p.expect(mqttwire.TypePingreq); !ok {
				break
			}
			p.send(mqttwire.AppendPingresp(nil), nil)
		}
		pings <- n
		p.rest() // silent from now on
	}))
	began := time.Now() // earlier than anything that is heard
	r, err := newSource(t, SourceOptions{Options: o, QoS: 1}).Open(context.Background(), 4)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = remotetest.Take(t, r, 1)
	// Each ping is three quarters of a keep alive after the last, and the third
	// one's answer is the last that is heard.
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "nothing was heard for 3s") || took < (answered*1500+3000)*time.Millisecond {
		t.Errorf("after %v: %v", took, err)
	}
	if n := <-pings; n != answered {
		t.Errorf("%d pings came, want %d", n, answered)
	}
}
