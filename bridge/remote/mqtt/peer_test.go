package mqtt

import (
	"context"
	"io"
	"net"
	"testing"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
	"leveret/bridge/remote/remotetest"
)

// peer is the broker's end of a connection, played by a test.
type peer5 struct {
	net.Conn
	r       *mqttwire.Reader
	connect mqttwire.Connect
}

// expect skips packets up to one of that type.
func (p *peer5) expect(kind mqttwire.Type) (mqttwire.Packet, bool) {
	for {
		got, err := p.r.Next()
		if err != nil || got.Type == kind {
			return got, err == nil
		}
	}
}

// say writes and then listens until the other side has had enough.
func (p *peer5) say(b []byte) {
	_, _ = p.Write(b)
	_, _ = io.Copy(io.Discard, p.Conn)
}

func (p *peer5) send(b []byte, err error) {
	if err != nil {
		panic("BUG: " + err.Error())
	}
	_, _ = p.Write(b)
}

func list(fill func(*mqttwire.PropertyWriter)) mqttwire.Properties {
	var w mqttwire.PropertyWriter
	if fill != nil {
		fill(&w)
	}
	props, err := w.Properties()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return props
}

// hear reads CONNECT.
func (p *peer5) hear() bool {
	got, ok := p.expect(mqttwire.TypeConnect)
	return ok && p.connect.Decode(append([]byte(nil), got.Body...)) == nil
}

// greet reads CONNECT and lets the client in.
func (p *peer5) greet(present bool, fill func(*mqttwire.PropertyWriter)) bool {
	if !p.hear() {
		return false
	}
	p.send(mqttwire.AppendConnack(nil, mqttwire.V5, &mqttwire.Connack{SessionPresent: present, Props: list(fill)}))
	return true
}

// grant answers SUBSCRIBE.
func (p *peer5) grant(codes ...mqttwire.ReasonCode) (s mqttwire.Subscribe, ok bool) {
	got, ok := p.expect(mqttwire.TypeSubscribe)
	if !ok || s.Decode(got.Body, mqttwire.V5) != nil {
		return s, false
	}
	p.send(mqttwire.AppendSuback(nil, mqttwire.V5, &mqttwire.Suback{PacketID: s.PacketID, Reasons: codes}))
	return s, true
}

func (p *peer5) publish(out mqttwire.PublishOut) {
	if out.Topic == "" {
		out.Topic = "t"
	}
	p.send(mqttwire.AppendPublish(nil, mqttwire.V5, &out))
}

// acks reads n acknowledgements of a type.
func (p *peer5) acks(kind mqttwire.Type, n int) (ids []uint16) {
	for len(ids) < n {
		got, ok := p.expect(kind)
		if !ok {
			return ids
		}
		var a mqttwire.Ack
		if a.Decode(kind, got.Body, mqttwire.V5) != nil {
			return ids
		}
		ids = append(ids, a.PacketID)
	}
	return ids
}

// receive reads a PUBLISH; its slices are copies.
func (p *peer5) receive() (m mqttwire.Publish, ok bool) {
	got, ok := p.expect(mqttwire.TypePublish)
	if !ok || m.Decode(got.Flags, append([]byte(nil), got.Body...), mqttwire.V5) != nil {
		return m, false
	}
	return m, true
}

func (p *peer5) puback(id uint16, reason mqttwire.ReasonCode) {
	p.send(mqttwire.AppendAck(nil, mqttwire.TypePuback, mqttwire.V5, &mqttwire.Ack{PacketID: id, Reason: reason}))
}

// rest reads on until the client goes.
func (p *peer5) rest() { _, _ = p.expect(mqttwire.TypeDisconnect) }

// serve serves each connection by the scripts in turn, the last one again and
// again, and answers the address.
func serve(t *testing.T, scripts ...func(*peer5)) (address string) {
	t.Helper()
	var plain []func(net.Conn)
	for _, script := range scripts {
		plain = append(plain, func(c net.Conn) {
			p := &peer5{Conn: c, r: mqttwire.NewReader(c, 1<<20)}
			p.r.SetVersion(mqttwire.V5)
			script(p)
		})
	}
	return remotetest.Serve(t, plain...)
}

const (
	secret  = remotetest.Secret
	longMax = remotetest.Patience
)

func options(address string) Options {
	return Options{URL: "mqtt://gw:" + secret + "@" + address, ClientID: "box", DialTimeout: longMax, Node: "here"}
}

func newSource(t *testing.T, o SourceOptions) *Source {
	t.Helper()
	if o.Topics == nil {
		o.Topics = []string{"#"}
	}
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a source at a script.
func open(t *testing.T, qos byte, prefetch int, script func(*peer5)) bridge.Reader {
	t.Helper()
	r, err := newSource(t, SourceOptions{Options: options(serve(t, script)), QoS: qos}).Open(context.Background(), prefetch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// dial opens a link to a script.
func dial(t *testing.T, o TargetOptions, window int, script func(*peer5)) bridge.Link {
	t.Helper()
	o.Options = options(serve(t, script))
	target, err := NewTarget(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := target.Dial(context.Background(), window)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func send(t *testing.T, l bridge.Link, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		m := bridge.Message{Key: "k." + body, Body: []byte(body), Props: amqp.PropertyList{MessageID: "id-" + body}}
		if err := l.Send(&m); err != nil {
			t.Fatalf("Send(%s) = %v", body, err)
		}
	}
}
