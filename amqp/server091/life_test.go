package server091

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

func TestHeartbeats(t *testing.T) {
	tenSeconds := &wire091.ConnectionTuneOk{ChannelMax: 1, FrameMax: 8192, Heartbeat: 10}
	open := func(r *rig) *peer {
		p := r.connect()
		p.do(header091, startOk("guest", "guest"), tenSeconds, openVHost, &wire091.ChannelOpen{})
		p.quiet()
		p.take()
		return p
	}
	t.Run("ours are sent", func(t *testing.T) {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := open(r)
			time.Sleep(11 * time.Second)
			if got := p.take(); len(got) == 0 || len(got) > 2 || got[0] != "heartbeat" {
				t.Errorf("got %q in eleven seconds, want one heartbeat or two", got)
			}
		})
	})
	t.Run("silence ends the connection", func(t *testing.T) {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := open(r)
			time.Sleep(19 * time.Second)
			if p.Gone() {
				t.Error("closed before two intervals had passed")
			}
			time.Sleep(7 * time.Second)
			if !p.Gone() {
				t.Error("not closed after two intervals and a half")
			}
			p.quiet()
			if !strings.Contains(r.lines.String(), "the client was silent for two heartbeat intervals") {
				t.Errorf("log: %s", r.lines)
			}
		})
	})
	t.Run("any bytes keep it", func(t *testing.T) {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := open(r)
			for range 20 {
				p.do([]byte(frame(8, 0, ""))[:4], 9*time.Second, []byte(frame(8, 0, ""))[4:], 9*time.Second)
			}
			if p.Gone() {
				t.Error("closed although bytes came")
			}
		})
	})
	t.Run("silence while we do not listen is ours", func(t *testing.T) {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := open(r)
			durable(r, p)
			r.log.SetFull(true)
			p.do(publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"), 10*time.Minute)
			if p.Gone() {
				t.Fatal("closed while its publishing was held back")
			}
			if n := len(p.take()); n < 60 {
				t.Errorf("%d frames in ten minutes, want our heartbeats", n)
			}
			r.log.SetFull(false)
			time.Sleep(time.Second)
			if got := strings.Join(p.take(), " "); !strings.Contains(got, "1 basic.ack 1 false") {
				t.Errorf("got %q, want the confirm", got)
			}
		})
	})
	t.Run("none are wanted", func(t *testing.T) {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.open(1)
			p.says("", time.Hour)
			p.says("1 basic.qos-ok", &wire091.BasicQos{})
		})
	})
}

// TestPanicsStayWithTheirConnection: the clock fails once in each goroutine's
// reach; only that connection ends.
func TestPanicsStayWithTheirConnection(t *testing.T) {
	fail := false
	change := func(o *Options) {
		o.Now = func() amqp.Instant {
			if fail {
				panic("no time")
			}
			return 1
		}
	}
	inBubble(t, mem.New().Auto(), broker.Limits{}, change, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		other.says("1 queue.declare-ok q 0 0", declare("q"))
		fail = true
		p.do(publish(1, "", "q", "m"))
		p.quiet()
		if fail = false; !p.Gone() {
			t.Error("the connection goes on")
		}
		other.says("1 queue.declare-ok q 0 0", declare("q"))
		if n := r.server.Counts(); n.Panics != 1 || n.ConnectionsNow != 1 || n.ChannelsNow != 1 {
			t.Errorf("counts: %+v", n)
		}
		if log := r.lines.String(); !strings.Contains(log, "no time") || !strings.Contains(log, "flushPublishes") {
			t.Errorf("no stack in the log: %s", log)
		}
	})
}

func TestOneLineOpensAndOneCloses(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		p.do(publish(1, "", "q", "m"), publish(1, "", "q", "m"), &wire091.ConnectionClose{ReplyCode: 200, ReplyText: "Goodbye"})
		p.quiet()
		log := strings.TrimSpace(r.lines.String())
		for _, want := range []string{`msg="connection opened" peer=pipe user=guest vhost=/ client=script`, `msg="connection closed" peer=pipe user=guest reason="closed by the client: 200 Goodbye"`} {
			if !strings.Contains(log, want) {
				t.Errorf("no %q in the log", want)
			}
		}
		if n := strings.Count(log, "\n"); n != 1 {
			t.Errorf("log has %d lines:\n%s", n+1, log)
		}
	})
}

func TestShutdownIsLogged(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		r.stop()
		p.quiet()
		p.do(&wire091.ConnectionCloseOk{})
		p.quiet()
		if want := `reason="closed by the broker: CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"`; !strings.Contains(r.lines.String(), want) {
			t.Errorf("no %s in the log: %s", want, r.lines)
		}
	})
}

func TestRefusedLoginIsOneLine(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.connect()
		p.do(header091, startOk("guest", "no"), 2*time.Second, &wire091.ConnectionCloseOk{})
		p.quiet()
		log := strings.TrimSpace(r.lines.String())
		if !strings.Contains(log, `msg="login refused" peer=pipe user=guest err="wrong password"`) || strings.Contains(log, "\n") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestPeerLeavesWithoutAWord(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		p.do(declare("q"), publish(1, "", "q", "m"), consume("q", "c"))
		p.quiet()
		_ = p.NC.Close()
		p.quiet()
		other.says("1 basic.get-ok 1 true  q 0\n1 header 1\n1 body m", &wire091.BasicGet{Queue: "q"})
	})
}

// dialTCP gives a peer over loopback.
func (r *rig) dialTCP(tb testing.TB) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	r.served.Go(func() {
		var header [8]byte
		if _, err := io.ReadFull(theirs, header[:]); err == nil {
			r.server.Serve(r.ctx, theirs, header)
		}
	})
	tb.Cleanup(func() { _ = nc.Close() })
	return nc
}

// login does the handshake in blocking style.
func login(tb testing.TB, nc net.Conn, frameMax uint32) *wire091.FrameReader {
	frames := wire091.NewFrameReader(nc, 131072)
	send := func(m wire091.Method, channel uint16) {
		if _, err := nc.Write(wire091.AppendMethod(nil, channel, m)); err != nil {
			tb.Fatal(err)
		}
		if _, err := frames.Next(); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := nc.Write(header091); err != nil {
		tb.Fatal(err)
	}
	if _, err := frames.Next(); err != nil {
		tb.Fatal(err)
	}
	send(startOk("guest", "guest"), 0)
	b := wire091.AppendMethod(nil, 0, &wire091.ConnectionTuneOk{ChannelMax: 2047, FrameMax: frameMax})
	if _, err := nc.Write(b); err != nil {
		tb.Fatal(err)
	}
	send(openVHost, 0)
	send(&wire091.ChannelOpen{}, 1)
	return frames
}

// TestBodiesOfAllSizes go in and come out unchanged, over a socket that takes
// borrowed bodies and with frames of two sizes.
func TestBodiesOfAllSizes(t *testing.T) {
	for _, frameMax := range []uint32{4096, 131072} {
		t.Run(fmt.Sprint(frameMax), func(t *testing.T) {
			r := newRig(t, mem.New().Auto(), broker.Limits{}, nil)
			nc := r.dialTCP(t)
			frames := login(t, nc, frameMax)
			sizes := []int{0, 1, 4087, 4088, 4089, 5000, ownBodyMin - 1, ownBodyMin, 131064, 131065, 300_000, 1 << 20}
			var out []byte
			out = wire091.AppendMethod(out, 1, &wire091.QueueDeclare{Queue: "q", NoWait: true})
			out = wire091.AppendMethod(out, 1, &wire091.BasicConsume{Queue: "q", NoWait: true})
			for i, n := range sizes {
				out = wire091.AppendMethod(out, 1, &wire091.BasicPublish{RoutingKey: "q"})
				out = wire091.AppendContentHeader(out, 1, uint64(n), nil)
				out = wire091.AppendBody(out, 1, bytes.Repeat([]byte{byte('a' + i)}, n), int(frameMax))
			}
			go func() { _, _ = nc.Write(out) }()
			for i, n := range sizes {
				if got := receive(t, frames, int(frameMax)); !bytes.Equal(got, bytes.Repeat([]byte{byte('a' + i)}, n)) {
					t.Fatalf("body of %d came out as %d bytes", n, len(got))
				}
			}
		})
	}
}

// receive reads one delivery.
func receive(tb testing.TB, frames *wire091.FrameReader, frameMax int) []byte {
	next := func(kind uint8) []byte {
		f, err := frames.Next()
		if err != nil {
			tb.Fatal(err)
		}
		if f.Type != kind || len(f.Payload)+wire091.FrameOverhead > frameMax {
			tb.Fatalf("frame of type %d, %d octets", f.Type, len(f.Payload))
		}
		return f.Payload
	}
	next(wire091.FrameMethod)
	h, err := wire091.ParseContentHeader(next(wire091.FrameHeader))
	if err != nil {
		tb.Fatal(err)
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		body = append(body, next(wire091.FrameBody)...)
	}
	return body
}

// TestSlowReader: what a peer does not read stays in its queue; a peer that
// reads a little now and then is kept, one that reads nothing is dropped.
func TestSlowReader(t *testing.T) {
	limits := broker.Limits{OutboxMessages: 16}
	inBubble(t, mem.New().Auto(), limits, nil, func(t *testing.T, r *rig) {
		ours, theirs := net.Pipe()
		r.served.Go(func() {
			var header [8]byte
			_, _ = io.ReadFull(theirs, header[:])
			r.server.Serve(r.ctx, theirs, header)
		})
		login(t, ours, 8192)
		other := r.open(1)
		other.says(declared, declare("q"))
		_, _ = ours.Write(wire091.AppendMethod(nil, 1, &wire091.BasicConsume{Queue: "q", NoAck: true, NoWait: true}))
		for range 1000 {
			other.do(publish(1, "", "q", "message"))
		}
		for range 10 {
			time.Sleep(50 * time.Second)
			if _, err := io.ReadFull(ours, make([]byte, 100)); err != nil {
				t.Fatalf("dropped although it reads: %v", err)
			}
		}
		if st, _ := r.broker.QueueStatus("/", "q"); st.Ready < 1000-3*16 || st.Consumers != 1 {
			t.Errorf("ready = %d, consumers = %d; want what was not read to be there", st.Ready, st.Consumers)
		}
		time.Sleep(3 * time.Minute)
		if st, _ := r.broker.QueueStatus("/", "q"); st.Consumers != 0 {
			t.Error("a peer that reads nothing is kept")
		}
	})
}

func TestLongKeysComeWhole(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		p.do(declare("q"), &wire091.QueueBind{Exchange: "amq.topic", RoutingKey: "#"}, consume("q", "c"))
		p.quiet()
		p.take()
		long := strings.Repeat("k", 300)
		core, err := r.broker.Connect("/", broker.Identity{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer core.Close()
		ps := []broker.Publish{{Msg: &amqp.Message{Exchange: "amq.topic", Key: long, Body: []byte("m")}}}
		if _, err := core.Open().Publish(1, ps); err != nil {
			t.Fatal(err)
		}
		p.quiet()
		p.heard("1 basic.deliver c 1 false amq.topic " + long[:255] + "\n1 header 1 x-routing-key=kkkkkkkkkkkkkkkkkkkk\n1 body m")

		// The topic of an MQTT message says it all.
		told := amqp.PropertyList{Headers: amqp.Table{{Key: "x-mqtt-topic", Value: "t"}}}.Encode()
		ps = []broker.Publish{{Msg: &amqp.Message{Exchange: "amq.topic", Key: long, Props: told, Body: []byte("m")}}}
		if _, err := core.Open().Publish(1, ps); err != nil {
			t.Fatal(err)
		}
		p.quiet()
		p.heard("1 basic.deliver c 2 false amq.topic " + long[:255] + "\n1 header 1 x-mqtt-topic=t\n1 body m")
	})
}

// TestDeletedVHost ends the connections in it with a word.
func TestDeletedVHost(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		if _, err := r.broker.AddVHost("plant", broker.VHostLimits{}); err != nil {
			t.Fatal(err)
		}
		p := r.connect()
		p.do(header091, startOk("guest", "guest"), tuneOk, &wire091.ConnectionOpen{VirtualHost: "plant"}, &wire091.ChannelOpen{})
		p.quiet()
		p.take()
		if _, err := r.broker.DeleteVHost("plant"); err != nil {
			t.Fatal(err)
		}
		p.quiet()
		p.heard("0 connection.close 320 0,0 CONNECTION_FORCED - vhost is deleted")
	})
}
