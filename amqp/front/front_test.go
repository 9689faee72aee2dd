package front

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// echo serves by sending back what comes, until the peer or ctx ends.
func echo(ctx context.Context, nc net.Conn, header [8]byte) {
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	_, _ = nc.Write(header[:])
	_, _ = io.Copy(nc, nc)
}

// run starts a front over loopback and gives its address; it is stopped at the
// end of the test.
func run(t *testing.T, o Options) (f *Front, addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listeners = append(o.Listeners, l)
	o.Log = slog.New(slog.DiscardHandler)
	f = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return f, l.Addr().String(), stop
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	return nc
}

// answer sends and reads n octets, or to the end.
func answer(t *testing.T, nc net.Conn, send string, n int) string {
	t.Helper()
	if _, err := io.WriteString(nc, send); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(io.LimitReader(nc, int64(n)))
	return string(b)
}

func TestHeaders(t *testing.T) {
	f, addr, _ := run(t, Options{Serve091: echo})
	for header, want := range map[string]string{
		"AMQP\x00\x00\x09\x01": "AMQP\x00\x00\x09\x01",
		"AMQP\x01\x01\x00\x09": "AMQP\x01\x01\x00\x09",
	} {
		if got := answer(t, dial(t, addr), header, 8); got != want {
			t.Errorf("%q was served as %q", header, got)
		}
	}
	for header, want := range map[string]string{
		"AMQP\x00\x00\x09\x00": "AMQP\x00\x00\x09\x01",
		"AMQP\x02\x00\x09\x01": "AMQP\x03\x01\x00\x00",
		"GET / HT":             "AMQP\x03\x01\x00\x00",
	} {
		if got := answer(t, dial(t, addr), header, 100); got != want {
			t.Errorf("%q was answered by %q, want %q and the end", header, got, want)
		}
	}
	if n := f.Counts(); n.Accepted != 5 || n.Strangers != 3 || n.Refused != 0 {
		t.Errorf("counts: %+v", n)
	}
}

func TestSilentStrangersAreDropped(t *testing.T) {
	_, addr, _ := run(t, Options{Serve091: echo, HandshakeTimeout: 20 * time.Millisecond})
	for _, part := range []string{"", "AMQP"} {
		if got := answer(t, dial(t, addr), part, 100); got != "" {
			t.Errorf("%q was answered by %q", part, got)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	const header = "AMQP\x00\x00\x09\x01"
	f, addr, _ := run(t, Options{Serve091: echo, ConnectionsMax: 2})
	first, second := dial(t, addr), dial(t, addr)
	answer(t, first, header, 8)
	answer(t, second, header, 8)
	if b, err := io.ReadAll(dial(t, addr)); len(b) > 0 || f.Counts().Refused != 1 {
		t.Errorf("the third got %q, %v; counts %+v", b, err, f.Counts())
	}
	_ = first.Close()
	for f.Counts().ConnectionsNow == 2 { // until the server has noticed
		time.Sleep(time.Millisecond)
	}
	if got := answer(t, dial(t, addr), header, 8); got != header {
		t.Errorf("a place that became free is not given: %q", got)
	}
}

func TestTheLongestSilentMakesRoom(t *testing.T) {
	const header = "AMQP\x00\x00\x09\x01"
	for name, o := range map[string]Options{
		"handshakes":  {Serve091: echo, HandshakesMax: 1},
		"connections": {Serve091: echo, ConnectionsMax: 1},
	} {
		f, addr, _ := run(t, o)
		silent := dial(t, addr)
		if _, err := io.WriteString(silent, "AMQP"); err != nil {
			t.Fatal(err)
		}
		if got := answer(t, dial(t, addr), header, 8); got != header {
			t.Errorf("%s: a client behind a silent stranger was served as %q", name, got)
		}
		if b, err := io.ReadAll(silent); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) || f.Counts().Refused != 1 {
			t.Errorf("%s: the silent stranger got %q, %v; counts %+v", name, b, err, f.Counts())
		}
	}
}

// TestHandshakesMakeRoom: who sent a header and nothing else holds no place
// that a newcomer needs.
func TestHandshakesMakeRoom(t *testing.T) {
	const header = "AMQP\x00\x00\x09\x01"
	var served sync.Map
	serve := func(ctx context.Context, nc net.Conn, h [8]byte) {
		served.Store(nc, true)
		echo(ctx, nc, h)
	}
	evict := func() (ended bool) {
		served.Range(func(nc, _ any) bool {
			served.Delete(nc)
			_ = nc.(net.Conn).Close()
			ended = true
			return false
		})
		return ended
	}
	f, addr, _ := run(t, Options{Serve091: serve, Evict: evict, ConnectionsMax: 1})
	silent := dial(t, addr)
	answer(t, silent, header, 8)
	if got := answer(t, dial(t, addr), header, 8); got != header {
		t.Errorf("a client behind an unfinished handshake was served as %q", got)
	}
	if b, err := io.ReadAll(silent); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) || f.Counts().Refused != 1 {
		t.Errorf("the unfinished one got %q, %v; counts %+v", b, err, f.Counts())
	}
}

func TestRunWaitsForItsConnections(t *testing.T) {
	var ended atomic.Bool
	entered := make(chan struct{})
	slow := func(ctx context.Context, nc net.Conn, _ [8]byte) {
		close(entered)
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond)
		ended.Store(true)
	}
	_, addr, stop := run(t, Options{Serve091: slow})
	silent := dial(t, addr) // is no reason to wait
	answer(t, dial(t, addr), "AMQP\x00\x00\x09\x01", 0)
	<-entered
	if err := stop(); err != nil || !ended.Load() {
		t.Errorf("Run = %v, the connection's end was awaited: %v", err, ended.Load())
	}
	if b, _ := io.ReadAll(silent); len(b) > 0 {
		t.Errorf("the silent one got %q", b)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		_ = nc.Close()
		t.Error("the listener is open after Run")
	}
}

func TestDrainCutsOffWhoDoesNotEnd(t *testing.T) {
	stubborn := func(_ context.Context, nc net.Conn, _ [8]byte) { _, _ = io.Copy(io.Discard, nc) }
	f, addr, stop := run(t, Options{Serve091: stubborn, DrainTimeout: 20 * time.Millisecond})
	answer(t, dial(t, addr), "AMQP\x00\x00\x09\x01", 0)
	for f.Counts().ConnectionsNow == 0 || f.waiting.Len() > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if n := f.Counts().ConnectionsNow; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// brokenListener fails with err until it is closed.
type brokenListener struct {
	net.Listener
	err    error
	tries  atomic.Int64
	closed chan struct{}
}

func (l *brokenListener) Accept() (net.Conn, error) {
	l.tries.Add(1)
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		return nil, l.err
	}
}
func (l *brokenListener) Close() error   { close(l.closed); return nil }
func (l *brokenListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestTooManyOpenFilesIsWeather: accepting is tried again, ever more slowly.
func TestTooManyOpenFilesIsWeather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &brokenListener{err: &net.OpError{Op: "accept", Err: syscall.EMFILE}, closed: make(chan struct{})}
		f := New(Options{Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler), Serve091: echo})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		time.Sleep(time.Minute)
		if n := l.tries.Load(); n < 60 || n > 70 {
			t.Errorf("%d tries in a minute", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestListenerThatIsLostEndsRun(t *testing.T) {
	l := &brokenListener{err: net.ErrClosed, closed: make(chan struct{})}
	f := New(Options{Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler), Serve091: echo})
	if err := f.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v, want the listener's error", err)
	}
}
