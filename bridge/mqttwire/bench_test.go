package mqttwire

import (
	"bytes"
	"io"
	"testing"
)

var benchPublish = PublishOut{
	QoS: 1, Topic: "plant/1/line/7/temperature", PacketID: 1, Payload: bytes.Repeat([]byte("x"), 100),
	Props: Properties("\x01\x01\x02\x00\x00\x01\x2c\x26\x00\x03key\x00\x05value"),
}

func benchVersions(b *testing.B, run func(b *testing.B, v Version)) {
	for _, v := range []Version{V311, V5} {
		b.Run(v.String(), func(b *testing.B) {
			b.ReportAllocs()
			run(b, v)
		})
	}
}

func BenchmarkPublishDecode(b *testing.B) {
	benchVersions(b, func(b *testing.B, v Version) {
		encoded, err := AppendPublish(nil, v, &benchPublish)
		if err != nil {
			b.Fatal(err)
		}
		packet, _, err := decodeWire(encoded, v, client)
		if err != nil {
			b.Fatal(err)
		}
		var p Publish
		for b.Loop() {
			if err := p.Decode(packet.Flags, packet.Body, v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPublishEncode(b *testing.B) {
	benchVersions(b, func(b *testing.B, v Version) {
		var dst []byte
		for b.Loop() {
			var err error
			if dst, err = AppendPublish(dst[:0], v, &benchPublish); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// endless repeats a stream of packets, as a busy client does.
type endless struct {
	stream []byte
	at     int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.stream[e.at:])
	e.at = (e.at + n) % len(e.stream)
	return n, nil
}

func BenchmarkReaderAndPublishDecode(b *testing.B) {
	var src io.Reader = &endless{stream: packets(b, 1000, 100)}
	r := NewReader(src, 1<<20)
	r.SetVersion(V311)
	var m Publish
	b.ReportAllocs()
	for b.Loop() {
		p, err := r.Next()
		if err == nil {
			err = m.Decode(p.Flags, p.Body, V311)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatchFilter(b *testing.B) {
	for b.Loop() {
		MatchFilter("plant/+/line/+/#", "plant/1/line/7/temperature")
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	encoded, err := AppendPublish(nil, V5, &benchPublish)
	if err != nil {
		t.Fatal(err)
	}
	packet, _, err := decodeWire(encoded, V5, client)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Clone(packet.Body)
	dst := make([]byte, 0, 1024)
	var p Publish
	var ack Ack
	var w PropertyWriter
	w.Number(TopicAlias, 1)
	w.User("name", "value")
	for name, run := range map[string]func(){
		"decode PUBLISH":   func() { err = p.Decode(2, body, V5) },
		"encode PUBLISH":   func() { dst, err = AppendPublish(dst[:0], V5, &benchPublish) },
		"decode PUBACK":    func() { err = ack.Decode(TypePuback, body[:2], V311) },
		"encode PUBACK":    func() { dst, err = AppendAck(dst[:0], TypePuback, V5, &Ack{PacketID: 1, Reason: QuotaExceeded}) },
		"find a property":  func() { p.Props.Uint32(MessageExpiry) },
		"write properties": func() { w.Reset(); w.Number(TopicAlias, 1); w.User("name", "value") },
		"match a filter":   func() { MatchFilter("plant/+/#", "plant/1/line") },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v, want none", name, n, err)
		}
	}
}
