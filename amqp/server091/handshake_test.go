package server091

import (
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/strangers"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// TestHandshake is about what only this door does, and about time; the rest is
// among package amqptest's conversations.
func TestHandshake(t *testing.T) {
	const start = "0 connection.start PLAIN AMQPLAIN\n"
	for _, c := range []struct {
		name  string
		steps []any
		want  string
		ends  bool
	}{
		{"a frame in the middle of nothing", steps(header091, []byte("GET / HTTP/1.1\r\n\r\n")),
			start + "0 connection.close 501 0,0 FRAME_ERROR - type 71, all octets = <<>>: {frame_too_large,539959368,16376}", true},
		{"a frame too large for a stranger", steps(header091, []byte{1, 0, 0, 0, 0, 0x40, 1}),
			start + "0 connection.close 501 0,0 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,16385,16376}", true},
		{"a long token", steps(header091, startOk("guest", strings.Repeat("x", 16_000)), 1100*time.Millisecond),
			start + "0 connection.close 403 0,0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.", true},
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
				if p.Gone() != c.ends {
					t.Errorf("socket closed: %v, want %v", p.Gone(), c.ends)
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
		p.FrameMax = 131072
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
			if got := p.Raw(); got != want {
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
		if !strangers[0].Gone() || strangers[1].Gone() || strangers[2].Gone() {
			t.Error("want the place of the first given to the third")
		}
		r.open(1) // takes that of the second
		time.Sleep(11 * time.Second)
		if !strangers[1].Gone() || !strangers[2].Gone() {
			t.Error("silent strangers stay")
		}
		r.open(1)
		working.says("1 basic.qos-ok", &wire091.BasicQos{})
	})
}

// TestHandshakeTimeCountsFromTheAccept: what TLS and the header took is not
// given again.
func TestHandshakeTimeCountsFromTheAccept(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		accepted := time.Now()
		r.ctx = strangers.WithSince(r.ctx, accepted)
		time.Sleep(9 * time.Second)
		p := r.connect()
		p.do(header091)
		for !p.Gone() && time.Since(accepted) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(accepted); took < handshakeTimeout || took > handshakeTimeout+handshakeCloseTimeout {
			t.Errorf("a silent peer was ended %v after its accept, want %v", took, handshakeTimeout)
		}
	})
}
