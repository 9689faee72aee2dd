package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
	"leveret/bridge/remote/remotetest"
)

func TestReasonCodesAreTheFarSidesWord(t *testing.T) {
	codes := []mqttwire.ReasonCode{
		mqttwire.Success, mqttwire.NoMatchingSubscribers, mqttwire.QuotaExceeded,
		mqttwire.NotAuthorized, mqttwire.TopicNameInvalid, mqttwire.PayloadFormatInvalid, mqttwire.UnspecifiedError,
	}
	l := dial(t, TargetOptions{}, 16, func(p *peer5) {
		if !p.greet(false, nil) {
			return
		}
		var ids []uint16
		for range codes {
			m, ok := p.receive()
			if !ok || m.QoS != 1 {
				return
			}
			ids = append(ids, m.PacketID)
		}
		for i := range codes { // in any order
			j := (i*3 + 2) % len(codes)
			p.puback(ids[j], codes[j])
		}
		p.rest()
	})
	for i := range codes {
		send(t, l, fmt.Sprint(i))
	}
	got := remotetest.Answers(t, l, len(codes))
	slices.SortFunc(got, func(a, b bridge.Answer) int { return int(a.Number) - int(b.Number) })
	want := []bridge.Answer{
		{Number: 1}, {Number: 2, Reason: "no matching subscribers"}, {Number: 3, Outcome: bridge.Busy, Reason: "quota exceeded"},
		{Number: 4, Outcome: bridge.Refused, Reason: "not authorized"}, {Number: 5, Outcome: bridge.Refused, Reason: "topic name invalid"},
		{Number: 6, Outcome: bridge.Refused, Reason: "payload format invalid"}, {Number: 7, Outcome: bridge.Refused, Reason: "unspecified error"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheFarSidesReceiveMaximumIsKept(t *testing.T) {
	l := dial(t, TargetOptions{}, 16, func(p *peer5) {
		if !p.greet(false, func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.ReceiveMaximum, 3) }) {
			return
		}
		for n := range 5 {
			var ids []uint16
			for range 3 {
				m, ok := p.receive()
				if !ok {
					return
				}
				ids = append(ids, m.PacketID)
			}
			if n == 0 {
				_ = p.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				if m, ok := p.receive(); ok {
					t.Errorf("message %s came beyond the maximum", m.Payload)
				}
				_ = p.SetReadDeadline(time.Now().Add(longMax))
			}
			for _, id := range ids {
				p.puback(id, mqttwire.Success)
			}
		}
		p.rest()
	})
	for i := range 15 {
		send(t, l, fmt.Sprint(i))
	}
	if got := remotetest.Answers(t, l, 15); len(got) != 15 {
		t.Errorf("%d answers: %v", len(got), l.Err())
	}
}

func TestAMessageOnItsWayToMQTT(t *testing.T) {
	got := make(chan mqttwire.Publish, 1)
	serve := func(retain uint32) func(p *peer5) {
		return func(p *peer5) {
			if p.greet(false, func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.RetainAvailable, retain) }) {
				m, _ := p.receive()
				got <- m
				p.puback(m.PacketID, mqttwire.Success)
				p.rest()
			}
		}
	}
	m := bridge.Message{
		Key: "plant.a%2Eb", Body: []byte("21.5"), Arrived: time.Now().Add(-10 * time.Second),
		Props: amqp.PropertyList{
			ContentType: "text/plain", MessageID: "id-7", Expiration: "60000", Timestamp: 1_700_000_000,
			Headers: amqp.Table{{Key: "x-mqtt-retain", Value: true}, {Key: "unit", Value: "C"}, {Key: bridge.HeaderPath, Value: "there"}},
		},
	}
	tests := []struct {
		o      TargetOptions
		retain uint32
		topic  string
	}{
		{TargetOptions{}, 1, "plant/a.b"},
		{TargetOptions{Prefix: "site7/"}, 0, "site7/plant/a.b"},
		{TargetOptions{Topic: "all", Prefix: "x/"}, 1, "all"},
	}
	for _, tt := range tests {
		l := dial(t, tt.o, 4, serve(tt.retain))
		sent := m
		if err := l.Send(&sent); err != nil {
			t.Fatal(err)
		}
		remotetest.Answers(t, l, 1)
		p := <-got
		expiry, _ := p.Props.Uint32(mqttwire.MessageExpiry)
		if string(p.Topic) != tt.topic || string(p.Payload) != "21.5" || p.Retain != (tt.retain == 1) || expiry < 49 || expiry > 50 {
			t.Errorf("%+v: topic %q, payload %q, retain %v, expiry %d", tt.o, p.Topic, p.Payload, p.Retain, expiry)
		}
		var users []string
		for name, value := range p.Props.UserProperties {
			users = append(users, string(name)+"="+string(value))
		}
		if want := []string{"unit=C", "x-leveret-path=there here", "message-id=id-7", "timestamp=2023-11-14T22:13:20Z"}; !slices.Equal(users, want) {
			t.Errorf("user properties %q, want %q", users, want)
		}
	}
}

// TestThereAndBack: what a target publishes a source takes as it was.
func TestThereAndBack(t *testing.T) {
	relay := make(chan mqttwire.Publish, 1)
	l := dial(t, TargetOptions{}, 4, func(p *peer5) {
		if p.greet(false, nil) {
			m, _ := p.receive()
			relay <- m
			p.rest()
		}
	})
	m := bridge.Message{Key: "a.b", Body: []byte("x"), Props: amqp.PropertyList{
		DeliveryMode: 2, MessageID: "id", Type: "t", AppID: "app", Timestamp: 5, CorrelationID: "c", Flags: amqp.HasTimestamp,
		Headers: amqp.Table{{Key: "k", Value: "v"}},
	}}
	sent := m
	if err := l.Send(&sent); err != nil {
		t.Fatal(err)
	}
	over := <-relay
	r := open(t, 1, 4, func(p *peer5) {
		if p.greet(false, nil) {
			_, _ = p.grant(1)
			p.publish(mqttwire.PublishOut{QoS: 1, Topic: string(over.Topic), PacketID: 1, Payload: over.Payload,
				Props: list(func(w *mqttwire.PropertyWriter) {
					for e := range over.Props.Each {
						switch e.ID {
						case mqttwire.UserProperty:
							if string(e.Name) != bridge.HeaderPath { // as if it had been elsewhere
								w.User(string(e.Name), string(e.Value))
							}
						case mqttwire.CorrelationData:
							w.Binary(e.ID, e.Value)
						}
					}
				})})
			p.rest()
		}
	})
	got, err := remotetest.Take(t, r, 1)
	if err != nil {
		t.Fatal(err)
	}
	back := got[0].Props
	if _, exact := back.Headers.Get("x-mqtt-user-properties"); exact {
		t.Errorf("what became properties again is also kept apart: %+v", back.Headers)
	}
	back.Headers = back.Headers.Without(bridge.HeaderPath)
	if string(back.Encode()) != string(m.Props.Encode()) || got[0].Key != m.Key {
		t.Errorf("came back as %+v", back)
	}
}

func TestWhatTheFarSideCannotTakeIsRefusedAtHome(t *testing.T) {
	l := dial(t, TargetOptions{}, 4, func(p *peer5) {
		if p.greet(false, func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.MaximumPacketSize, 200) }) {
			m, _ := p.receive()
			p.puback(m.PacketID, mqttwire.Success)
			p.rest()
		}
	})
	send(t, l, strings.Repeat("x", 300), "small")
	got := remotetest.Answers(t, l, 2)
	if len(got) != 2 || got[0].Outcome != bridge.Refused || !strings.Contains(got[0].Reason, "packet too large") || got[1].Outcome != bridge.Confirmed {
		t.Errorf("got %+v", got)
	}
}

func TestHostileWhilePublishing(t *testing.T) {
	tests := []struct {
		name string
		act  func(*peer5)
		want string
	}{
		{"answers what was never sent", func(p *peer5) { p.puback(9, 0); p.rest() }, "acknowledged packet 9"},
		{"answers twice", func(p *peer5) { p.puback(1, 0); p.puback(1, 0); p.rest() }, "acknowledged packet 1, which was not under way"},
		{"publishes", func(p *peer5) { p.publish(mqttwire.PublishOut{}); p.rest() }, "sent PUBLISH"},
		{"PUBREC", func(p *peer5) {
			p.send(mqttwire.AppendAck(nil, mqttwire.TypePubrec, mqttwire.V5, &mqttwire.Ack{PacketID: 1}))
			p.rest()
		}, "sent PUBREC"},
		{"goes", func(*peer5) {}, "closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := dial(t, TargetOptions{}, 4, func(p *peer5) {
				if p.greet(false, nil) {
					if _, ok := p.receive(); ok {
						tt.act(p)
					}
				}
			})
			send(t, l, "1")
			if got := remotetest.Answers(t, l, 3); len(got) > 1 || len(got) == 1 && tt.name != "answers twice" {
				t.Errorf("believed %+v", got)
			}
			if err := l.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err = %v, want ... %s", err, tt.want)
			}
			if err := l.Send(&bridge.Message{Key: "k"}); err == nil {
				t.Error("Send works on a dead link")
			}
		})
	}
}

// TestHostileWhileOpening: whatever listens at the address, opening ends in its
// time, with an error that does not hold our password.
func TestHostileWhileOpening(t *testing.T) {
	refuse := func(reason mqttwire.ReasonCode, text string) func(*peer5) {
		return func(p *peer5) {
			if p.hear() {
				p.send(mqttwire.AppendConnack(nil, mqttwire.V5, &mqttwire.Connack{Reason: reason,
					Props: list(func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ReasonString, text) })}))
				p.rest()
			}
		}
	}
	tests := []struct {
		name   string
		script func(*peer5)
		want   string
	}{
		{"never answers", func(p *peer5) { _, _ = io.Copy(io.Discard, p.Conn) }, "no answer in time"},
		{"closes at once", func(*peer5) {}, ""},
		{"speaks HTTP", func(p *peer5) { p.say([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, ""},
		{"announces a huge CONNACK", func(p *peer5) { p.say([]byte{0x20, 0xff, 0xff, 0xff, 0x7f}) }, "packet too large"},
		{"publishes first", func(p *peer5) { p.publish(mqttwire.PublishOut{}); p.rest() }, "PUBLISH before CONNACK"},
		{"asks for more than a login", func(p *peer5) {
			if p.greet(false, func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.AuthenticationMethod, "x") }) {
				p.rest()
			}
		}, "enhanced authentication"},
		{"refuses and repeats the login", refuse(mqttwire.NotAuthorized, "not "+secret), "not authorized: not ***"},
		{"is another server", refuse(mqttwire.ServerMoved, ""), "server moved"},
		{"knows MQTT 3 alone", func(p *peer5) {
			if p.hear() {
				p.say([]byte{0x20, 0x02, 0x00, 0x01})
			}
		}, "protocol error: CONNACK"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := options(serve(t, tt.script))
			if tt.want == errNoAnswer.Error() {
				o.DialTimeout = 700 * time.Millisecond
			}
			began := time.Now()
			s := newSource(t, SourceOptions{Options: o, QoS: 1})
			if r, err := s.Open(context.Background(), 4); err == nil {
				r.Close()
				t.Error("the source opened")
			} else if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), s.String()) {
				t.Errorf("Open = %v, want ... %s", err, tt.want)
			}
			if took := time.Since(began); took > longMax {
				t.Errorf("Open took %v", took)
			}
		})
	}
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	address := serve(t, func(p *peer5) {
		c := tls.Server(p.Conn, &tls.Config{Certificates: server.TLS.Certificates})
		s := &peer5{Conn: c, r: mqttwire.NewReader(c, 1<<20)}
		if s.greet(false, nil) {
			s.rest()
		}
	})
	tests := []struct {
		name   string
		config *tls.Config
		ok     bool
	}{
		{"system roots", nil, false},
		{"our roots", &tls.Config{RootCAs: roots}, true},
		{"our roots, another name", &tls.Config{RootCAs: roots, ServerName: "elsewhere.invalid"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(address)
			o.URL, o.TLS = strings.Replace(o.URL, "mqtt://", "mqtts://", 1), tt.config
			target, err := NewTarget(TargetOptions{Options: o})
			if err != nil {
				t.Fatal(err)
			}
			l, err := target.Dial(context.Background(), 1)
			if (err == nil) != tt.ok {
				t.Errorf("Dial = %v", err)
			}
			if err == nil {
				l.Close()
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	good := Options{URL: "mqtt://u:" + secret + "@h", ClientID: "c"}
	with := func(change func(*SourceOptions)) SourceOptions {
		o := SourceOptions{Options: good, Topics: []string{"a"}}
		change(&o)
		return o
	}
	tests := []struct {
		name string
		o    SourceOptions
	}{
		{"another scheme", with(func(o *SourceOptions) { o.URL = "http://u:" + secret + "@h" })},
		{"a path", with(func(o *SourceOptions) { o.URL = "mqtt://u:" + secret + "@h/x" })},
		{"a query", with(func(o *SourceOptions) { o.URL = "mqtt://u:" + secret + "@h?x=1" })},
		{"an unescaped slash in the password", with(func(o *SourceOptions) { o.URL = "mqtt://u:" + secret + "/x@h" })},
		{"a port out of range", with(func(o *SourceOptions) { o.URL = "mqtt://h:99999" })},
		{"no client id", with(func(o *SourceOptions) { o.ClientID = "" })},
		{"no verification", with(func(o *SourceOptions) { o.TLS = &tls.Config{InsecureSkipVerify: true} })},
		{"no topics", with(func(o *SourceOptions) { o.Topics = nil })},
		{"a wrong filter", with(func(o *SourceOptions) { o.Topics = []string{"a/#/b"} })},
		{"QoS 3", with(func(o *SourceOptions) { o.QoS = 3 })},
		{"a will with a wildcard", with(func(o *SourceOptions) { o.Will = &Will{Topic: "a/+"} })},
	}
	for _, tt := range tests {
		if _, err := NewSource(tt.o); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: NewSource = %v", tt.name, err)
		}
	}
	for _, o := range []TargetOptions{{Options: good, Topic: "a/#"}, {Options: good, Prefix: "+/"}} {
		if _, err := NewTarget(o); err == nil {
			t.Errorf("NewTarget(%+v) = nil", o)
		}
	}
	if s := newSource(t, with(func(*SourceOptions) {})); s.String() != "mqtt://u@h:1883" {
		t.Errorf("String = %s", s)
	}
}

// TestWhatCameFromThereIsNotSentBack, of a broker of our kind and of another.
func TestWhatCameFromThereIsNotSentBack(t *testing.T) {
	for _, node := range []string{"there", ""} {
		l := dial(t, TargetOptions{}, 4, func(p *peer5) {
			ok := p.greet(false, func(w *mqttwire.PropertyWriter) {
				if node != "" {
					w.User(bridge.UserNode, node)
				}
			})
			if m, got := p.receive(); ok && got {
				if string(m.Payload) != "new" {
					t.Errorf("%s came back", m.Payload)
				}
				p.puback(m.PacketID, mqttwire.Success)
				p.rest()
			}
		}).(*link)
		old := bridge.Message{Key: "k", Body: []byte("old"), Props: amqp.PropertyList{
			Headers: amqp.Table{{Key: bridge.HeaderPath, Value: string(bridge.Path("").With(l.conn.node(), "here"))}}}}
		if err := l.Send(&old); err != nil {
			t.Fatal(err)
		}
		send(t, l, "new")
		if got := remotetest.Answers(t, l, 2); len(got) != 2 || got[0] != (bridge.Answer{Number: 1}) || got[1] != (bridge.Answer{Number: 2}) {
			t.Errorf("answers %+v", got)
		}
		if n := l.target.Ignored(); n != 1 {
			t.Errorf("%d were ignored", n)
		}
	}
}
