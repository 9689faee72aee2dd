package wire091

import (
	"bytes"
	"io"
	"testing"

	"leveret/amqp"
)

// names is an interner as a connection has one.
type names map[string]string

func (n names) intern(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	n[s] = s
	return s
}

// endless repeats a stream in reads of about a socket's size.
type endless struct {
	stream []byte
	at     int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.stream[e.at:])
	e.at = (e.at + n) % len(e.stream)
	return n, nil
}

var benchProps = amqp.PropertyList{ContentType: "application/json", DeliveryMode: 2, MessageID: "0123456789abcdef"}.Encode()

// publish is a message of 100 octets as a client sends it.
func publish() []byte {
	b := AppendMethod(nil, 1, &BasicPublish{Exchange: "amq.topic", RoutingKey: "plant.1.temperature"})
	b = AppendContentHeader(b, 1, 100, benchProps)
	return AppendBody(b, 1, make([]byte, 100), 131072)
}

// TestHotMethodsDoNotAllocate holds what the benchmarks show.
func TestHotMethodsDoNotAllocate(t *testing.T) {
	known := names{}
	r := Reader{Intern: known.intern}
	var (
		publish BasicPublish
		ack     BasicAck
		nack    BasicNack
		reject  BasicReject
	)
	dst := make([]byte, 0, 256)
	decode := func(payload []byte, decode func(*Reader) error) {
		_, args, err := ParseMethodID(payload)
		r.Reset(args)
		if err != nil || decode(&r) != nil {
			t.Fatalf("%q was refused", payload)
		}
	}
	in := []byte("\x00\x3c\x00\x28\x00\x00\x01x\x03a.b\x01")
	tag := []byte("\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x09\x01")
	known.intern([]byte("x"))
	known.intern([]byte("a.b"))
	decoders := []func(*Reader) error{ack.Decode, nack.Decode, reject.Decode}
	decodePublish := publish.Decode
	got := testing.AllocsPerRun(100, func() {
		decode(in, decodePublish)
		for _, d := range decoders {
			decode(tag, d)
		}
		dst = AppendDeliver(dst[:0], 1, "ctag", 7, false, "x", "a.b")
		dst = AppendMethod(dst[:0], 1, &ack)
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkPublishDecode(b *testing.B) {
	f := NewFrameReader(&endless{stream: bytes.Repeat(publish(), 100)}, 131072)
	r := Reader{Intern: names{}.intern}
	var m BasicPublish
	next := func() []byte {
		frame, err := f.Next()
		if err != nil {
			b.Fatal(err)
		}
		return frame.Payload
	}
	b.ReportAllocs()
	for b.Loop() {
		_, args, err := ParseMethodID(next())
		r.Reset(args)
		if err != nil || m.Decode(&r) != nil {
			b.Fatal("publish refused")
		}
		h, err := ParseContentHeader(next())
		if err != nil || h.Props.DeliveryMode() != 2 {
			b.Fatal("header refused")
		}
		if len(next()) != 100 {
			b.Fatal("body is gone")
		}
	}
}

func BenchmarkAckDecode(b *testing.B) {
	in := []byte("\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x09\x01")
	var r Reader
	var m BasicAck
	b.ReportAllocs()
	for b.Loop() {
		_, args, err := ParseMethodID(in)
		r.Reset(args)
		if err != nil || m.Decode(&r) != nil || m.DeliveryTag != 9 {
			b.Fatal("ack refused")
		}
	}
}

func BenchmarkDeliverEncode(b *testing.B) {
	body := make([]byte, 100)
	dst := make([]byte, 0, 64<<10)
	tag := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		tag++
		dst = AppendDeliver(dst[:0], 1, "amq.ctag-0123456789", tag, false, "amq.topic", "plant.1.temperature")
		dst = AppendContentHeader(dst, 1, uint64(len(body)), benchProps)
		dst = AppendBody(dst, 1, body, 131072)
	}
	if _, err := io.Discard.Write(dst); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAckEncode(b *testing.B) {
	dst := make([]byte, 0, 64)
	m := &BasicAck{Multiple: true}
	b.ReportAllocs()
	for b.Loop() {
		m.DeliveryTag++
		dst = AppendMethod(dst[:0], 1, m)
	}
}
