package mqtt

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// listen runs a door on loopback, on a log that is durable at once.
func listen(t testing.TB) (*Door, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l), l.Addr().String()
}

// listenWith is listen with other options.
func listenWith(t testing.TB, edit func(*Options)) (*Door, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveWith(t, l, edit), l.Addr().String()
}

// serveOn runs a door on a listener.
func serveOn(t testing.TB, l net.Listener) *Door { return serveWith(t, l, func(*Options) {}) }

func serveWith(t testing.TB, l net.Listener, edit func(*Options)) *Door {
	t.Helper()
	b, err := broker.Open(broker.Options{Log: newAutoLog()})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	o := Options{
		Broker: b, Listeners: []net.Listener{l}, Authenticate: authenticate,
		Now: func() amqp.Instant { return amqp.Instant(time.Since(start)) },
	}
	edit(&o)
	d := New(o)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
		if n := d.Stats().Panics; n > 0 {
			t.Errorf("%d panics", n)
		}
	})
	return d
}

// peer is a client on a real socket that reads and writes in turn.
type peer struct {
	net.Conn
	in *mqttwire.Reader
}

func dial(t testing.TB, addr, id string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	p := &peer{Conn: conn, in: mqttwire.NewReader(conn, 1<<24)}
	p.in.SetVersion(mqttwire.V311)
	packet, err := mqttwire.AppendConnect(nil, &mqttwire.Connect{Version: mqttwire.V311, ClientID: id, CleanStart: true})
	p.write(t, packet, err)
	p.want(t, mqttwire.TypeConnack)
	return p
}

func (p *peer) write(t testing.TB, packet []byte, err error) {
	t.Helper()
	if err == nil {
		_, err = p.Write(packet)
	}
	if err != nil {
		t.Error(err)
	}
}

func (p *peer) want(t testing.TB, kind mqttwire.Type) mqttwire.Packet {
	t.Helper()
	got, err := p.in.Next()
	if err != nil || got.Type != kind {
		t.Errorf("got %s, %v, want %s", got.Type, err, kind)
	}
	return got
}

func (p *peer) subscribe(t testing.TB, filter string, qos byte) {
	t.Helper()
	packet, err := mqttwire.AppendSubscribe(nil, mqttwire.V311, &mqttwire.Subscribe{
		PacketID: 1, Filters: []mqttwire.Subscription{{Filter: filter, QoS: qos}},
	})
	p.write(t, packet, err)
	p.want(t, mqttwire.TypeSuback)
}

// Many publishers and subscribers at once, on real sockets: everything arrives,
// in each publisher's order, and every publisher is answered.
func TestCrowd(t *testing.T) {
	const publishers, subscribers, messages = 6, 3, 400
	_, addr := listen(t)
	var all sync.WaitGroup
	for i := range subscribers {
		p := dial(t, addr, fmt.Sprintf("sub%d", i))
		p.subscribe(t, "crowd/+", 1)
		all.Go(func() { hear(t, p, publishers*messages) })
	}
	for i := range publishers {
		p := dial(t, addr, fmt.Sprintf("pub%d", i))
		all.Go(func() { speak(t, p, i, messages) })
	}
	all.Wait()
}

// speak publishes with several in flight.
func speak(t *testing.T, p *peer, me, n int) {
	const window = 20
	for sent, acked := 0, 0; acked < n; {
		for sent < n && sent-acked < window {
			packet, err := mqttwire.AppendPublish(nil, mqttwire.V311, &mqttwire.PublishOut{
				Topic: fmt.Sprintf("crowd/%d", me), QoS: 1, PacketID: uint16(sent + 1), Payload: fmt.Append(nil, sent),
			})
			p.write(t, packet, err)
			sent++
		}
		var ack mqttwire.Ack
		got := p.want(t, mqttwire.TypePuback)
		if err := ack.Decode(got.Type, got.Body, mqttwire.V311); err != nil || int(ack.PacketID) != acked+1 {
			t.Errorf("PUBACK %d, %v, want %d", ack.PacketID, err, acked+1)
			return
		}
		acked++
	}
}

func hear(t *testing.T, p *peer, n int) {
	next := make(map[string]string)
	for range n {
		got := p.want(t, mqttwire.TypePublish)
		var m mqttwire.Publish
		if err := m.DecodeFromServer(got.Flags, got.Body, mqttwire.V311); err != nil {
			t.Error(err)
			return
		}
		topic := string(m.Topic)
		if want := next[topic]; want != "" && want != string(m.Payload) {
			t.Errorf("%s: message %s came, want %s", topic, m.Payload, want)
			return
		}
		var i int
		fmt.Sscan(string(m.Payload), &i)
		next[topic] = fmt.Sprint(i + 1)
		ack, err := mqttwire.AppendAck(nil, mqttwire.TypePuback, mqttwire.V311, &mqttwire.Ack{PacketID: m.PacketID})
		p.write(t, ack, err)
	}
}

// A large message, and one client taking over from itself without end.
func TestLargeMessageAndStormOfTakeOvers(t *testing.T) {
	_, addr := listen(t)
	sub := dial(t, addr, "sub")
	sub.subscribe(t, "big", 0)
	pub := dial(t, addr, "pub")
	body := make([]byte, 900<<10)
	packet, err := mqttwire.AppendPublish(nil, mqttwire.V311, &mqttwire.PublishOut{Topic: "big", Payload: body})
	pub.write(t, packet, err)
	if got := sub.want(t, mqttwire.TypePublish); len(got.Body) < len(body) {
		t.Errorf("%d bytes came, want %d", len(got.Body), len(body))
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				packet, _ := mqttwire.AppendConnect(nil, &mqttwire.Connect{Version: mqttwire.V311, ClientID: "same"})
				_, _ = conn.Write(packet)
				conn.Close()
			}
		})
	}
	all.Wait()
	dial(t, addr, "same")
}

// A client on a slow link takes a large message for longer than the time in
// which it may take nothing.
func TestSlowClientIsNotDead(t *testing.T) {
	t.Parallel() // it rests most of the time, on a real socket and by the real clock
	const size, piece, timeout = 12 << 20, 384 << 10, 4 * time.Second
	_, addr := listenWith(t, func(o *Options) { o.WriteTimeout, o.PacketBytesMax = timeout, 16<<20 })
	sub := dial(t, addr, "sub")
	_ = sub.Conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	sub.subscribe(t, "big", 0)
	pub := dial(t, addr, "pub")
	packet, err := mqttwire.AppendPublish(nil, mqttwire.V311, &mqttwire.PublishOut{Topic: "big", Payload: make([]byte, size)})
	pub.write(t, packet, err)
	start := time.Now()
	for got := 0; got < size; got += piece {
		if _, err := io.CopyN(io.Discard, sub.Conn, piece); err != nil {
			t.Fatalf("after %d bytes and %v: %v", got, time.Since(start), err)
		}
		time.Sleep(270 * time.Millisecond) // 32 times
	}
	if took := time.Since(start); took < 2*timeout {
		t.Errorf("it took %v: nothing was slow", took)
	}
}
