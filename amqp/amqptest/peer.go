// Package amqptest says what a 0-9-1 broker must answer: conversations, each a
// few lines that a peer sends and all that it hears, with the exact reply codes
// and texts. leveret's door is held to them in its unit tests, and RabbitMQ, whose
// texts they are, in the tests with real peers; where the two differ on purpose,
// Unlike gives the reason.
package amqptest

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

// Peer is a client that does exactly what it is told and writes down every frame
// that comes, as a line.
type Peer struct {
	NC       net.Conn // what it writes to
	FrameMax int
	// Pace is a pause after each step, for brokers that do not take what comes
	// on a channel in order: RabbitMQ answers some methods when others are done.
	Pace time.Duration

	mu    sync.Mutex // protects the fields below
	got   []string
	ended error
	raw   []byte // what came
}

// NewPeer gives a peer that has sent nothing. One goroutine reads until the
// connection ends.
func NewPeer(nc net.Conn) *Peer {
	p := &Peer{NC: nc, FrameMax: 8192}
	go p.read(nc)
	return p
}

// On is a method on a channel that is not 1 (or, for the connection's, 0).
type On struct {
	Channel uint16
	Method  wire091.Method
}

// Message is a header and a body.
type Message struct {
	Channel uint16
	Props   amqp.PropertyList
	Body    string
}

// Publish is a method with its content.
func Publish(channel uint16, exchange, key, body string) []any {
	return PublishWith(channel, &wire091.BasicPublish{Exchange: exchange, RoutingKey: key}, amqp.PropertyList{}, body)
}

// PublishWith does so with any method and any properties.
func PublishWith(channel uint16, m *wire091.BasicPublish, l amqp.PropertyList, body string) []any {
	return []any{On{channel, m}, Message{channel, l, body}}
}

// Do sends methods, messages, bytes and lists of them in one write; a duration
// sends what was before it and passes that time.
func (p *Peer) Do(steps ...any) {
	var b []byte
	var add func(steps []any)
	add = func(steps []any) {
		for _, step := range steps {
			switch s := step.(type) {
			case []any:
				add(s)
			case []byte:
				b = append(b, s...)
			case On:
				b = wire091.AppendMethod(b, s.Channel, s.Method)
			case Message:
				b = wire091.AppendContentHeader(b, s.Channel, uint64(len(s.Body)), s.Props.Encode())
				b = wire091.AppendBody(b, s.Channel, []byte(s.Body), p.FrameMax)
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
				panic(fmt.Sprintf("BUG: step of type %T", step))
			}
		}
	}
	for _, step := range steps {
		add([]any{step})
		if p.Pace > 0 {
			add([]any{p.Pace})
		}
	}
	p.write(b)
}

// write may fail: refused peers lose their socket.
func (p *Peer) write(b []byte) {
	if len(b) > 0 {
		_, _ = p.NC.Write(b)
	}
}

// Take is what has come since the last call, one line for each frame.
func (p *Peer) Take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// Lines is how many lines have come since the last call of Take.
func (p *Peer) Lines() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got)
}

// Unindent is lines without what stands before them.
func Unindent(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// rawBytes writes down what came, frames or not.
type rawBytes Peer

func (r *rawBytes) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, b...)
	return len(b), nil
}

// Raw is everything that has come, as bytes.
func (p *Peer) Raw() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.raw)
}

// Gone reports whether the server has closed the socket.
func (p *Peer) Gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended != nil
}

func (p *Peer) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, line)
}

// read writes down every frame.
func (p *Peer) read(nc net.Conn) {
	frames := wire091.NewFrameReader(io.TeeReader(nc, (*rawBytes)(p)), 131072)
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

func (p *Peer) line(f wire091.Frame) string {
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
	if p.Has(amqp.HasPriority) {
		s += fmt.Sprintf(" priority=%d", p.Priority())
	}
	if p.Has(amqp.HasExpiration) {
		s += " expiration=" + p.Expiration()
	}
	headers := slices.Clone(p.Headers())
	slices.SortStableFunc(headers, func(a, b amqp.Field) int { return strings.Compare(a.Key, b.Key) })
	for _, f := range headers {
		if deaths, ok := f.Value.(amqp.Array); ok && f.Key == "x-death" {
			s += " deaths=" + deathsText(deaths)
			continue
		}
		text, isText := f.Value.(string)
		if !isText {
			text = fmt.Sprint(f.Value)
		}
		s += fmt.Sprintf(" %s=%s", f.Key, text[:min(len(text), 20)])
	}
	return s
}

// deathsText is an x-death header without its times.
func deathsText(deaths amqp.Array) string {
	var out []string
	for _, d := range deaths {
		t, _ := d.(amqp.Table)
		text := ""
		for _, key := range []string{"count", "reason", "queue", "exchange", "routing-keys", "original-expiration"} {
			if v, ok := t.Get(key); ok {
				text += fmt.Sprintf("|%v", v)
			}
		}
		out = append(out, text[1:])
	}
	return strings.Join(out, ";")
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
