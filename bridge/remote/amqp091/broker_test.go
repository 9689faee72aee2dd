package amqp091

import (
	"context"
	"io"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

// asked is what a source asked for.
type asked struct {
	login   wire091.ConnectionStartOk
	tune    wire091.ConnectionTuneOk
	vhost   string
	qos     wire091.BasicQos
	declare wire091.QueueDeclare
	bind    wire091.QueueBind // without a queue when nothing was bound
	consume wire091.BasicConsume
}

// heard waits for a method.
func heard[M wire091.Method](p *peer) (m M, err error) {
	for {
		f, err := p.frame()
		if err != nil {
			return m, err
		}
		if f.kind != frameMethod {
			continue
		}
		got, err := wire091.ParseMethod(f.payload, nil)
		if err != nil {
			return m, err
		}
		if got, ok := got.(M); ok {
			return got, nil
		}
	}
}

// tell sends a method on the channel.
func (p *peer) tell(m wire091.Method) { _, _ = p.Write(wire091.AppendMethod(nil, channelID, m)) }

// greeted speaks the handshake up to the client's wish for a vhost.
func (p *peer) greeted(heartbeat uint16) (a asked, err error) {
	if _, err := io.ReadFull(p.r, make([]byte, 8)); err != nil {
		return a, err
	}
	p.send(frameMethod, 0, method(10, 10, uint8(0), uint8(9), []byte(nil), []byte("PLAIN EXTERNAL"), []byte("en_US")))
	login, err := heard[*wire091.ConnectionStartOk](p)
	if err != nil {
		return a, err
	}
	p.send(frameMethod, 0, method(10, 30, uint16(2047), uint32(131072), heartbeat))
	tune, err := heard[*wire091.ConnectionTuneOk](p)
	if err != nil {
		return a, err
	}
	open, err := heard[*wire091.ConnectionOpen](p)
	if err != nil {
		return a, err
	}
	a.login, a.tune, a.vhost = *login, *tune, open.VirtualHost
	return a, nil
}

// opened speaks the handshake up to the prefetch.
func (p *peer) opened(heartbeat uint16) (a asked, err error) {
	if a, err = p.greeted(heartbeat); err != nil {
		return a, err
	}
	p.send(frameMethod, 0, method(10, 41, ""))
	if _, err := heard[*wire091.ChannelOpen](p); err != nil {
		return a, err
	}
	p.tell(&wire091.ChannelOpenOk{})
	qos, err := heard[*wire091.BasicQos](p)
	if err != nil {
		return a, err
	}
	p.tell(&wire091.BasicQosOk{})
	a.qos = *qos
	return a, nil
}

// feed speaks the handshake up to the consumer, of a queue that has so many
// messages ready.
func (p *peer) feed(ready uint32) (asked, error) { return p.feedAt(60, ready) }

func (p *peer) feedAt(heartbeat uint16, ready uint32) (a asked, err error) {
	if a, err = p.opened(heartbeat); err != nil {
		return a, err
	}
	declare, err := heard[*wire091.QueueDeclare](p)
	if err != nil {
		return a, err
	}
	a.declare = *declare
	p.tell(&wire091.QueueDeclareOk{Queue: declare.Queue, MessageCount: ready})
	for {
		f, err := p.frame()
		if err != nil {
			return a, err
		}
		m, err := wire091.ParseMethod(f.payload, nil)
		if err != nil {
			return a, err
		}
		switch m := m.(type) {
		case *wire091.QueueBind:
			a.bind = *m
			p.tell(&wire091.QueueBindOk{})
		case *wire091.BasicConsume:
			a.consume = *m
			p.tell(&wire091.BasicConsumeOk{ConsumerTag: m.ConsumerTag})
			return a, nil
		}
	}
}

// letter is a message that the peer delivers.
type letter struct {
	consumer    string // "" is the one that was asked for
	tag         uint64
	exchange    string
	key         string
	redelivered bool
	props       amqp.PropertyList
	body        string
}

func (p *peer) deliver(l letter) {
	if l.consumer == "" {
		l.consumer = "leveret-box"
	}
	b := wire091.AppendDeliver(nil, channelID, l.consumer, l.tag, l.redelivered, l.exchange, l.key)
	b = wire091.AppendContentHeader(b, channelID, uint64(len(l.body)), l.props.Encode())
	_, _ = p.Write(wire091.AppendBody(b, channelID, []byte(l.body), 1<<16))
}

// letters delivers messages whose tags, keys and bodies are these.
func (p *peer) letters(first, last uint64) {
	for tag := first; tag <= last; tag++ {
		text := string(rune('a' - 1 + tag))
		p.deliver(letter{tag: tag, key: text, body: text, props: amqp.PropertyList{MessageID: "id-" + text}})
	}
}

// verdicts reads acknowledgements and rejections until there is one about the
// tag, in the order in which they came.
func (p *peer) verdicts(last uint64) (got []wire091.Method) {
	for {
		f, err := p.frame()
		if err != nil {
			return got
		}
		if f.kind != frameMethod {
			continue
		}
		m, err := wire091.ParseMethod(f.payload, nil)
		if err != nil {
			return got
		}
		switch m := m.(type) {
		case *wire091.BasicAck:
			got = append(got, m)
			if m.DeliveryTag == last {
				return got
			}
		case *wire091.BasicReject:
			got = append(got, m)
			if m.DeliveryTag == last {
				return got
			}
		case *wire091.ConnectionClose:
			p.send(frameMethod, 0, method(10, 51))
			return got
		}
	}
}

// newSource makes a source of the queue "commands" at the address.
func newSource(t *testing.T, address string, o SourceOptions) *Source {
	t.Helper()
	if o.URL == "" {
		o.URL = "amqp://gw:" + secret + "@" + address + "/site"
	}
	o.Name = "box"
	if o.Queue == "" {
		o.Queue = "commands"
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openAt opens a source at a script.
func openAt(t *testing.T, o SourceOptions, prefetch int, script func(*peer)) (*Source, bridge.Reader) {
	t.Helper()
	s := newSource(t, listen(t, script), o)
	r, err := s.Open(context.Background(), prefetch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return s, r
}

func take(t *testing.T, r bridge.Reader, n int) []bridge.Message {
	t.Helper()
	got, err := remotetest.Take(t, r, n)
	if err != nil {
		t.Fatalf("took %d of %d messages: %v", len(got), n, err)
	}
	return got
}
