package server091

import (
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

func TestHandshake(t *testing.T) {
	const (
		start = "0 connection.start PLAIN AMQPLAIN\n"
		tuned = start + "0 connection.tune 2047 131072 60\n"
	)
	plain := func(response string) *wire091.ConnectionStartOk {
		return &wire091.ConnectionStartOk{ClientProperties: clientProperties, Mechanism: "PLAIN", Response: response, Locale: "en_US"}
	}
	amqplain := func(table amqp.Table) *wire091.ConnectionStartOk {
		return &wire091.ConnectionStartOk{Mechanism: "AMQPLAIN", Response: string(table.AppendTo(nil)[4:])}
	}
	tune := func(channels uint16, frame uint32) *wire091.ConnectionTuneOk {
		return &wire091.ConnectionTuneOk{ChannelMax: channels, FrameMax: frame}
	}
	ok := startOk("guest", "guest")
	for _, c := range []struct {
		name  string
		steps []any
		want  string
		ends  bool
	}{
		{"all of it", steps(header091, ok, tuneOk, openVHost), tuned + "0 connection.open-ok", false},
		{"0-9", steps([]byte("AMQP\x01\x01\x00\x09"), ok, tuneOk, openVHost), tuned + "0 connection.open-ok", false},
		{"AMQPLAIN", steps(header091, amqplain(amqp.Table{{Key: "LOGIN", Value: "guest"}, {Key: "PASSWORD", Value: "guest"}})), tuned, false},
		{"AMQPLAIN without a password", steps(header091, amqplain(amqp.Table{{Key: "LOGIN", Value: "guest"}})),
			start + "0 connection.close 502 10,11 SYNTAX_ERROR - AMQPLAIN response lacks LOGIN or PASSWORD", true},
		{"AMQPLAIN of garbage", steps(header091, &wire091.ConnectionStartOk{Mechanism: "AMQPLAIN", Response: "\x05LO"}),
			start + "0 connection.close 502 10,11 SYNTAX_ERROR - AMQPLAIN response is malformed", true},
		{"PLAIN without a password", steps(header091, plain("\x00guest")), start + "0 connection.close 502 10,11 SYNTAX_ERROR - PLAIN response is malformed", true},
		{"PLAIN for somebody else", steps(header091, plain("root\x00guest\x00guest")), start + "0 connection.close 502 10,11 SYNTAX_ERROR - PLAIN response is malformed", true},
		{"unknown mechanism", steps(header091, &wire091.ConnectionStartOk{Mechanism: "EXTERNAL"}),
			start + "0 connection.close 503 10,11 COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'", true},
		{"wrong password", steps(header091, plain("\x00guest\x00no"), 1100*time.Millisecond),
			start + "0 connection.close 403 0,0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.", true},
		{"wrong password, old client", steps(header091, &wire091.ConnectionStartOk{Mechanism: "PLAIN", Response: "\x00guest\x00no"}, 1100*time.Millisecond), start, true},
		{"wrong method", steps(header091, openVHost), start + "0 connection.close 504 0,0 CHANNEL_ERROR - unexpected method in connection state starting", true},
		{"wrong method after login", steps(header091, ok, openVHost), tuned + "0 connection.close 504 0,0 CHANNEL_ERROR - unexpected method in connection state tuning", true},
		{"wrong method after tune", steps(header091, ok, tuneOk, tuneOk), tuned + "0 connection.close 504 0,0 CHANNEL_ERROR - unexpected method in connection state opening", true},
		{"content", steps(header091, header(0, 60, 1)), start + "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead", true},
		{"a frame in the middle of nothing", steps(header091, []byte("GET / HTTP/1.1\r\n\r\n")),
			start + "0 connection.close 501 0,0 FRAME_ERROR - type 71, all octets = <<>>: {frame_too_large,539959368,16376}", true},
		{"a frame too large for a stranger", steps(header091, []byte{1, 0, 0, 0, 0, 0x40, 1}),
			start + "0 connection.close 501 0,0 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,16385,16376}", true},
		{"a long token", steps(header091, startOk("guest", strings.Repeat("x", 16_000)), 1100*time.Millisecond),
			start + "0 connection.close 403 0,0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.", true},
		{"close", steps(header091, &wire091.ConnectionClose{ReplyCode: 200}), start + "0 connection.close-ok", true},
		{"heartbeats", steps(header091, frame(8, 0, ""), ok), tuned, false},
		{"smallest frames", steps(header091, ok, tune(1, 4096), openVHost), tuned + "0 connection.open-ok", false},
		{"frames too small", steps(header091, ok, tune(1, 4095)),
			tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)", true},
		{"frames too large", steps(header091, ok, tune(1, 131073)),
			tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)", true},
		{"frames without limit", steps(header091, ok, tune(1, 0)),
			tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)", true},
		{"channels without limit", steps(header091, ok, tune(0, 131072)),
			tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)", true},
		{"too many channels", steps(header091, ok, tune(2048, 131072)),
			tuned + "0 connection.close 530 10,31 NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)", true},
		{"unknown vhost", steps(header091, ok, tuneOk, &wire091.ConnectionOpen{VirtualHost: "nov"}),
			tuned + "0 connection.close 530 10,40 NOT_ALLOWED - vhost nov not found", true},
		{"forbidden vhost", steps(header091, startOk("nowhere", "limited"), tuneOk, openVHost),
			tuned + "0 connection.close 530 10,40 NOT_ALLOWED - access to vhost '/' refused for user 'nowhere'", true},
		{"silence", steps(header091, 11*time.Second), start, true},
		{"half a frame", steps(header091, []byte{1, 0}, 11*time.Second), start, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
				p := r.connect()
				p.says(c.want, c.steps...)
				if strings.Contains(c.want, "connection.close ") {
					p.do(&wire091.ConnectionCloseOk{}, 3*time.Second)
				}
				if p.gone() != c.ends {
					t.Errorf("socket closed: %v, want %v", p.gone(), c.ends)
				}
				now, ends := r.server.Counts().Refused, uint64(0)
				if c.ends {
					ends = 1
				}
				if now != ends {
					t.Errorf("refused = %d, want %d", now, ends)
				}
			})
		})
	}
}

// TestFramesGrowWithTheLogin: who is let in may send what was agreed on.
func TestFramesGrowWithTheLogin(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		p.frameMax = 131072
		p.says("1 basic.qos-ok", publish(1, "", "nobody", strings.Repeat("x", 100_000)), &wire091.BasicQos{})
	})
}

func TestOtherProtocolsAreShownOurs(t *testing.T) {
	for header, want := range map[string]string{
		"AMQP\x00\x00\x09\x00": "AMQP\x00\x00\x09\x01",
		"AMQP\x00\x01\x00\x00": "AMQP\x03\x01\x00\x00",
		"HELLO AL":             "AMQP\x03\x01\x00\x00",
	} {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.connect()
			p.do([]byte(header))
			p.quiet()
			if got := p.rest(); got != want {
				t.Errorf("%q: answered %q, want %q", header, got, want)
			}
		})
	}
}

func TestServerProperties(t *testing.T) {
	s := New(Options{Product: "RabbitMQ", Version: "4.0.0", ServerProperties: amqp.Table{{Key: "platform", Value: "gateway"}}})
	for key, want := range map[string]any{"product": "RabbitMQ", "version": "4.0.0", "platform": "gateway"} {
		if got, _ := s.properties.Get(key); got != want {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
	v, _ := s.properties.Get("capabilities")
	for _, f := range v.(amqp.Table) {
		if f.Value != true {
			t.Errorf("capability %s = %v", f.Key, f.Value)
		}
	}
}

// TestHandshakesAreBounded: strangers who do not log in take no more than their
// places, and for no longer than the timeout; who does is let in all the same.
func TestHandshakesAreBounded(t *testing.T) {
	few := func(o *Options) { o.HandshakesMax = 2 }
	inBubble(t, mem.New().Auto(), broker.Limits{}, few, func(t *testing.T, r *rig) {
		working := r.open(1)
		var strangers []*peer
		for range 3 {
			p := r.connect()
			p.do(header091)
			strangers = append(strangers, p)
			p.quiet()
		}
		if !strangers[0].gone() || strangers[1].gone() || strangers[2].gone() {
			t.Error("want the place of the first given to the third")
		}
		r.open(1) // takes that of the second
		time.Sleep(11 * time.Second)
		if !strangers[1].gone() || !strangers[2].gone() {
			t.Error("silent strangers stay")
		}
		r.open(1)
		working.says("1 basic.qos-ok", &wire091.BasicQos{})
	})
}
