package server091

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
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

// limited is a user who may do what its name says.
type limited string

func (l limited) Allows(a broker.Action, resource string) bool {
	return a.String() == string(l) || resource == "open"
}
func (l limited) Enter(_, _ string) (broker.Access, bool) { return l, l != "nowhere" }

func authenticate(user, password string, _ net.Addr) (string, broker.Access, error) {
	switch {
	case user == "guest" && password == "guest":
		return user, nil, nil
	case password == "limited":
		return user, limited(user), nil
	}
	return "", nil, errors.New("wrong password")
}

// peer is a client that does exactly what it is told.
type peer struct {
	t        testing.TB
	nc       net.Conn
	mu       sync.Mutex // protects got, ended, raw
	got      []string
	ended    error
	raw      []byte // what came
	frameMax int
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
	p := &peer{t: r.t, nc: ours, frameMax: 8192}
	r.t.Cleanup(func() { _ = ours.Close() })
	go p.read()
	return p
}

// open gives a peer that is logged in and has channels 1 to n open.
func (r *rig) open(n uint16) *peer {
	r.t.Helper()
	p := r.connect()
	p.do(header091, startOk("guest", "guest"), tuneOk, openVHost)
	for ch := uint16(1); ch <= n; ch++ {
		p.do(on{ch, &wire091.ChannelOpen{}})
	}
	p.quiet()
	if got := p.take(); len(got) != 3+int(n) {
		r.t.Fatalf("opening: got %q", got)
	}
	return p
}

var (
	header091 = []byte("AMQP\x00\x00\x09\x01")
	tuneOk    = &wire091.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 0}
	openVHost = &wire091.ConnectionOpen{VirtualHost: "/"}
)

func startOk(user, password string) *wire091.ConnectionStartOk {
	return &wire091.ConnectionStartOk{
		ClientProperties: clientProperties, Mechanism: "PLAIN", Response: "\x00" + user + "\x00" + password, Locale: "en_US",
	}
}

var clientProperties = amqp.Table{
	{Key: "product", Value: "script"},
	{Key: "capabilities", Value: amqp.Table{
		{Key: "authentication_failure_close", Value: true},
		{Key: "consumer_cancel_notify", Value: true},
		{Key: "connection.blocked", Value: true},
	}},
}

// on is a method on a channel that is not 1 (or, for the connection's, 0).
type on struct {
	channel uint16
	method  wire091.Method
}

// content is a header and a body.
type message struct {
	channel uint16
	props   amqp.PropertyList
	body    string
}

// publish is a method with its content.
func publish(channel uint16, exchange, key, body string) []any {
	return publishWith(channel, &wire091.BasicPublish{Exchange: exchange, RoutingKey: key}, amqp.PropertyList{}, body)
}

func publishWith(channel uint16, m *wire091.BasicPublish, l amqp.PropertyList, body string) []any {
	return []any{on{channel, m}, message{channel, l, body}}
}

var persistent = amqp.PropertyList{DeliveryMode: 2}

// do sends methods, messages, bytes and lists of them in one write; a duration
// sends what was before it and passes that time.
func (p *peer) do(steps ...any) {
	p.t.Helper()
	var b []byte
	var add func(steps []any)
	add = func(steps []any) {
		for _, step := range steps {
			switch s := step.(type) {
			case []any:
				add(s)
			case []byte:
				b = append(b, s...)
			case on:
				b = wire091.AppendMethod(b, s.channel, s.method)
			case message:
				b = wire091.AppendContentHeader(b, s.channel, uint64(len(s.body)), s.props.Encode())
				b = wire091.AppendBody(b, s.channel, []byte(s.body), p.frameMax)
			case wire091.Method:
				channel := uint16(1)
				if s.ID().Class() == wire091.ClassConnection {
					channel = 0
				}
				b = wire091.AppendMethod(b, channel, s)
			case time.Duration:
				p.write(b)
				b = nil
				time.Sleep(s)
			default:
				p.t.Fatalf("step of type %T", step)
			}
		}
	}
	add(steps)
	p.write(b)
}

// write may fail: refused peers lose their socket.
func (p *peer) write(b []byte) {
	if len(b) > 0 {
		_, _ = p.nc.Write(b)
	}
}

// quiet waits until everybody waits.
func (p *peer) quiet() { synctest.Wait() }

// take is what has come since the last call, one line for each frame.
func (p *peer) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

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
	if want = unindent(want); got != want {
		p.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func unindent(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// rawBytes writes down what came, frames or not.
type rawBytes peer

func (r *rawBytes) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, b...)
	return len(b), nil
}

// rest is everything that has come, as bytes.
func (p *peer) rest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.raw)
}

// gone reports whether the server has closed the socket.
func (p *peer) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended != nil
}

func (p *peer) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, line)
}

// read writes down every frame.
func (p *peer) read() {
	frames := wire091.NewFrameReader(io.TeeReader(p.nc, (*rawBytes)(p)), 131072)
	for {
		f, err := frames.Next()
		if err != nil {
			p.mu.Lock()
			p.ended = err
			p.mu.Unlock()
			return
		}
		p.add(p.line(f))
	}
}

func (p *peer) line(f wire091.Frame) string {
	switch f.Type {
	case wire091.FrameMethod:
		m, err := wire091.ParseMethod(f.Payload, nil)
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", f.Channel, m.Name(), arguments(m)))
	case wire091.FrameHeader:
		h, err := wire091.ParseContentHeader(f.Payload)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d header %d%s", f.Channel, h.BodySize, properties(h.Props))
	case wire091.FrameBody:
		if len(f.Payload) > 40 {
			return fmt.Sprintf("%d body of %d", f.Channel, len(f.Payload))
		}
		return fmt.Sprintf("%d body %s", f.Channel, f.Payload)
	}
	return "heartbeat"
}

func properties(p amqp.Properties) string {
	s := ""
	if p.DeliveryMode() != 0 {
		s += fmt.Sprintf(" mode=%d", p.DeliveryMode())
	}
	for _, f := range p.Headers() {
		s += fmt.Sprintf(" %s=%.10v", f.Key, f.Value)
	}
	return s
}

// arguments are those worth reading.
func arguments(m wire091.Method) string {
	switch m := m.(type) {
	case *wire091.ConnectionStart:
		return m.Mechanisms
	case *wire091.ConnectionClose:
		return fmt.Sprintf("%d %d,%d %s", m.ReplyCode, m.ClassID, m.MethodID, m.ReplyText)
	case *wire091.ChannelClose:
		return fmt.Sprintf("%d %d,%d %s", m.ReplyCode, m.ClassID, m.MethodID, m.ReplyText)
	}
	s := fmt.Sprintf("%v", m)
	return strings.Trim(s, "&{}")
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, log *mem.Log, limits broker.Limits, change func(*Options), test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t, log, limits, change)) })
}
