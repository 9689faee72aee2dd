package server091

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/amqptest"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool"
	"leveret/spool/mem"
)

// rig is a server over a broker over a log in memory.
type rig struct {
	t      testing.TB
	log    *mem.Log
	broker *broker.Broker
	server *Server
	lines  *lockedBuffer // what was logged
	ctx    context.Context
	stop   context.CancelFunc
	served sync.WaitGroup
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newRig makes one; change may be nil.
func newRig(t testing.TB, log *mem.Log, limits broker.Limits, change func(*Options)) *rig {
	t.Helper()
	return newRigOver(t, log, log, limits, change)
}

// newRigOver makes one whose broker sees the log through seen.
func newRigOver(t testing.TB, log *mem.Log, seen spool.Log, limits broker.Limits, change func(*Options)) *rig {
	t.Helper()
	b, err := broker.Open(broker.Options{Log: seen, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	log.Commit()
	return newRigAround(t, log, b, change)
}

// newRigInTime makes one whose broker has a clock and a ticker.
func newRigInTime(t testing.TB, log *mem.Log) *rig {
	t.Helper()
	start := time.Now()
	now := func() amqp.Instant { return amqp.Instant(1 + time.Since(start)) }
	b, err := broker.Open(broker.Options{Log: log, Now: now, Boot: broker.BootRecord{Base: start, Synchronised: true}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRigAround(t, log, b, func(o *Options) { o.Now = now })
	r.served.Go(func() {
		for r.ctx.Err() == nil {
			b.Tick()
			time.Sleep(5 * time.Millisecond)
		}
	})
	return r
}

func newRigAround(t testing.TB, log *mem.Log, b *broker.Broker, change func(*Options)) *rig {
	r := &rig{t: t, log: log, broker: b, lines: new(lockedBuffer)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	o := Options{
		Broker: b, Authenticate: authenticate,
		Log: slog.New(slog.NewTextHandler(r.lines, nil)),
		Now: func() amqp.Instant { return 1 },
	}
	if change != nil {
		change(&o)
	}
	r.server = New(o)
	t.Cleanup(func() {
		r.stop()
		r.served.Wait()
	})
	return r
}

// limited is a user who may do what its name says, see package amqptest.
type limited string

func (l limited) Allows(a broker.Action, resource string) bool {
	return a.String() == string(l) || resource == "open" || l == "topics" || l == "impersonator" || l == "few" || l == "guest"
}
func (l limited) Enter(_, _ string) (broker.Access, bool) { return l, l != "nowhere" }
func (l limited) AllowsTopic(_ broker.Action, _, key string) bool {
	return l != "topics" || strings.HasPrefix(key, "mine.")
}
func (l limited) ChannelsMax() int {
	if l == "few" {
		return 1
	}
	return 0
}
func (l limited) Impersonates() bool { return l == "impersonator" }

func authenticate(user, password string, _ net.Addr) (string, broker.Access, error) {
	switch {
	case user == "guest" && password == "guest":
		return user, limited(user), nil
	case password == amqptest.Password:
		return user, limited(user), nil
	}
	return "", nil, errors.New("wrong password")
}

// peer is one of amqptest's with short names.
type peer struct {
	*amqptest.Peer
	t testing.TB
}

// connect gives a peer that has sent nothing. The two ends have no buffer
// between them.
func (r *rig) connect() *peer {
	ours, theirs := net.Pipe()
	r.served.Go(func() {
		var header [8]byte
		if _, err := io.ReadFull(theirs, header[:]); err != nil {
			_ = theirs.Close()
			return
		}
		r.server.Serve(r.ctx, theirs, header)
	})
	r.t.Cleanup(func() { _ = ours.Close() })
	return &peer{t: r.t, Peer: amqptest.NewPeer(ours)}
}

// open gives a peer that is logged in and has channels 1 to n open.
func (r *rig) open(n uint16) *peer { return r.openAs("guest", "guest", n) }

// as gives a peer with channel 1 open, or for "" one that has only connected.
func (r *rig) as(user string) *peer {
	switch user {
	case "":
		return r.connect()
	case "guest":
		return r.open(1)
	}
	return r.openAs(user, amqptest.Password, 1)
}

func (r *rig) openAs(user, password string, n uint16) *peer {
	r.t.Helper()
	p := r.connect()
	p.do(header091, startOk(user, password), tuneOk, openVHost)
	for ch := uint16(1); ch <= n; ch++ {
		p.do(on(ch, &wire091.ChannelOpen{}))
	}
	p.quiet()
	if got := p.take(); len(got) != 3+int(n) {
		r.t.Fatalf("opening: got %q", got)
	}
	return p
}

var (
	header091   = amqptest.Header091
	tuneOk      = amqptest.TuneOk
	openVHost   = amqptest.OpenVHost
	startOk     = amqptest.StartOk
	publish     = amqptest.Publish
	publishWith = amqptest.PublishWith
	persistent  = amqptest.Persistent
	declare     = amqptest.Declare
	consume     = amqptest.Consume
	frame       = amqptest.Frame
	header      = amqptest.Header
	body        = amqptest.Body
)

const declared = "1 queue.declare-ok q 0 0\n"

func steps(s ...any) []any { return s }

// on is a method on a channel that is not 1 (or, for the connection's, 0).
func on(channel uint16, m wire091.Method) amqptest.On {
	return amqptest.On{Channel: channel, Method: m}
}

func (p *peer) do(steps ...any) {
	p.t.Helper()
	p.Do(steps...)
}

// quiet waits until everybody waits.
func (p *peer) quiet() { synctest.Wait() }

func (p *peer) take() []string { return p.Take() }

// says sends, waits and compares.
func (p *peer) says(want string, steps ...any) {
	p.t.Helper()
	p.do(steps...)
	p.quiet()
	p.heard(want)
}

// heard compares what has come with lines.
func (p *peer) heard(want string) {
	p.t.Helper()
	got := strings.Join(p.take(), "\n")
	if want = amqptest.Unindent(want); got != want {
		p.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, log *mem.Log, limits broker.Limits, change func(*Options), test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t, log, limits, change)) })
}
