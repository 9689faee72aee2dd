package mqtt

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"leveret/bridge/mqttwire"
)

// FuzzWire: whatever a far side says, the library reads no more than whole
// packets that our own codec has checked, without a panic, and a message that
// it reads can be converted.
func FuzzWire(f *testing.F) {
	connack, _ := mqttwire.AppendConnack(nil, mqttwire.V5, &mqttwire.Connack{Props: list(func(w *mqttwire.PropertyWriter) {
		w.Number(mqttwire.ReceiveMaximum, 3)
		w.User("leveret-node", "there")
	})})
	message, _ := mqttwire.AppendPublish(nil, mqttwire.V5, &mqttwire.PublishOut{QoS: 1, Topic: "a/b", PacketID: 7, Payload: []byte("x"), Props: list(func(w *mqttwire.PropertyWriter) {
		w.Number(mqttwire.MessageExpiry, 3)
		w.Text(mqttwire.ContentType, "t")
		w.Binary(mqttwire.CorrelationData, []byte{0xff})
		w.User("message-id", "7")
		w.User("timestamp", "2026-01-01T00:00:00Z")
	})})
	ack, _ := mqttwire.AppendAck(nil, mqttwire.TypePuback, mqttwire.V5, &mqttwire.Ack{PacketID: 7, Reason: mqttwire.QuotaExceeded})
	f.Add(bytes.Join([][]byte{connack, message, ack}, nil))
	f.Add(append(connack, 0x90, 0x04, 0x00, 0x01, 0x00, 0x01, 0xd0, 0x00, 0xe0, 0x00))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{PacketBytesMax: 1 << 16, KeepAlive: time.Hour}
		w := newWire(stream{Reader: bytes.NewReader(b)}, stream{}, &o, policy{messages: true, answers: true})
		w.passed = func(int) {}
		for {
			p, err := packets.ReadPacket(w)
			if err != nil {
				return
			}
			m, ok := p.Content.(*packets.Publish)
			if !ok {
				continue
			}
			got, err := received(m, 0)
			if err != nil {
				t.Fatalf("a checked message of topic %q cannot be converted: %v", m.Topic, err)
			}
			got.Props.Encode()
		}
	})
}

// stream is a socket that only reads.
type stream struct {
	net.Conn
	*bytes.Reader
}

func (s stream) Read(p []byte) (int, error)      { return s.Reader.Read(p) }
func (s stream) SetReadDeadline(time.Time) error { return nil }
func (s stream) Close() error                    { return nil }
