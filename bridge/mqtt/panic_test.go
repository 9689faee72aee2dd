package mqtt

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/socket/sockettest"
	"leveret/bridge/mqttwire"
)

// minefield makes mined sockets, the first of them known.
type minefield struct {
	net.Listener
	direct bool
	first  chan *sockettest.Mined
}

func (f *minefield) Accept() (net.Conn, error) {
	nc, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m := &sockettest.Mined{TCPConn: nc.(*net.TCPConn), Direct: f.direct}
	select {
	case f.first <- m:
	default:
	}
	return m, nil
}

// A mistake of ours in either goroutine of a connection ends that connection
// and no other.
func TestMistakesEndOneConnection(t *testing.T) {
	for name, arm := range map[string]func(*sockettest.Mined){
		"reader": func(m *sockettest.Mined) { m.OnRead.Store(true) },
		"writer": func(m *sockettest.Mined) { m.OnWrite.Store(true) },
	} {
		for _, direct := range []bool{false, true} {
			t.Run(name, func(t *testing.T) { surviveMine(t, direct, arm) })
		}
	}
}

func surviveMine(t *testing.T, direct bool, arm func(*sockettest.Mined)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	field := &minefield{Listener: l, direct: direct, first: make(chan *sockettest.Mined, 1)}
	b, err := broker.Open(broker.Options{Log: newAutoLog()})
	if err != nil {
		t.Fatal(err)
	}
	d := New(Options{Broker: b, Listeners: []net.Listener{field}, Authenticate: authenticate, Now: func() amqp.Instant { return 1 }})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()

	victim, good := dial(t, l.Addr().String(), "victim"), dial(t, l.Addr().String(), "good")
	arm(<-field.first)
	victim.write(t, mqttwire.AppendPingreq(nil), nil)
	_ = victim.SetReadDeadline(time.Now().Add(time.Minute))
	if b, err := io.ReadAll(victim); err != nil && !isReset(err) {
		t.Errorf("the victim got %q, %v, want the end", b, err)
	}
	good.write(t, mqttwire.AppendPingreq(nil), nil)
	good.want(t, mqttwire.TypePingresp)
	dial(t, l.Addr().String(), "victim") // nothing of it is left behind
	if n := d.Stats().Panics; n == 0 {
		t.Error("no panic was counted")
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v", err)
	}
}

func isReset(err error) bool {
	e, ok := err.(*net.OpError)
	return ok && !e.Timeout()
}
