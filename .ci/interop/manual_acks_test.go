package interop

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

const manualWindow = 10 // Receive Maximum of the client

// TestManualAcks: what a client of MQTT 5 has not acknowledged when its
// connection is lost comes again, in order, and what it has does not. Before
// that it never holds more than its Receive Maximum (5.0, section 4.9).
func TestManualAcks(t *testing.T) {
	const sent, acknowledged = 20, 7
	g := openGateway(t, "")
	first := openManual(t, g, true)
	first.subscribe(t, "manual/#")
	for n := range sent {
		first.publish(t, "manual/x", reading{"m", n + 1}.String())
	}
	for n := range manualWindow + acknowledged { // the last of them proves that the acks came
		m := first.expect(t, n+1)
		if m.Duplicate() {
			t.Errorf("message %d is marked as sent again", n+1)
		}
		if n < acknowledged {
			must(t, first.client.Ack(m))
		}
	}
	if len(first.got) > 0 {
		t.Errorf("more than %d messages are in flight", manualWindow)
	}
	first.conn.Close()

	second := openManual(t, g, false)
	for n := acknowledged; n < sent; n++ {
		m := second.expect(t, n+1)
		// Those after the window may be marked too: they were on their way.
		if n < manualWindow+acknowledged && !m.Duplicate() {
			t.Errorf("message %d is not marked as sent again (5.0, section 3.3.1.1)", n+1)
		}
		must(t, second.client.Ack(m))
	}
	second.publish(t, "manual/x", reading{"m", sent + 1}.String())
	must(t, second.client.Ack(second.expect(t, sent+1)))
	must(t, second.client.Disconnect(&paho.Disconnect{}))
}

// manual is a client that acknowledges when it is told to.
type manual struct {
	client *paho.Client
	conn   net.Conn
	got    chan *paho.Publish
}

// openManual connects to a session that is kept for an hour.
func openManual(t *testing.T, g *gateway, fresh bool) *manual {
	t.Helper()
	conn, err := net.Dial("tcp", g.mqtt())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	m := &manual{conn: conn, got: make(chan *paho.Publish, 100)}
	m.client = paho.NewClient(paho.ClientConfig{
		Conn:                       conn,
		EnableManualAcknowledgment: true,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			m.got <- p.Packet
			return true, nil
		}},
	})
	reply, err := m.client.Connect(m.limit(t), &paho.Connect{
		ClientID:   "manual",
		CleanStart: fresh,
		KeepAlive:  30,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: paho.Uint32(3600), ReceiveMaximum: paho.Uint16(manualWindow)},
	})
	must(t, err)
	if reply.SessionPresent == fresh {
		t.Errorf("session present: %v, want %v", reply.SessionPresent, !fresh)
	}
	return m
}

func (m *manual) limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (m *manual) subscribe(t *testing.T, filter string) {
	t.Helper()
	_, err := m.client.Subscribe(m.limit(t), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	must(t, err)
}

func (m *manual) publish(t *testing.T, topic, text string) {
	t.Helper()
	_, err := m.client.Publish(m.limit(t), &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(text)})
	must(t, err)
}

// expect takes the next message, which must be the sensor's nth.
func (m *manual) expect(t *testing.T, n int) *paho.Publish {
	t.Helper()
	select {
	case p := <-m.got:
		if want := (reading{"m", n}).String(); string(p.Payload) != want {
			t.Fatalf("got %q, want %q", p.Payload, want)
		}
		return p
	case <-time.After(patience):
		t.Fatalf("message %d did not come", n)
		return nil
	}
}
