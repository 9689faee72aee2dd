package edge

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	userAnna = "[[user]]\nname = \"anna\"\npassword = \"one\"\n"
	userBert = "[[user]]\nname = \"bert\"\npassword = \"two\"\n"
)

// closedConn is a connection of a user, and the note of its end.
func (b *box) closedConn(login string) <-chan *amqp091.Error {
	b.t.Helper()
	ch, err := b.dial(login)
	if err != nil {
		b.t.Fatal(err)
	}
	return ch.NotifyClose(make(chan *amqp091.Error, 1))
}

// dialMQTT connects the client c as a user, whose name has four letters and
// whose password three.
func (b *box) dialMQTT(name, password string) net.Conn {
	b.t.Helper()
	for _, l := range b.status().Listeners {
		if l.Door != "mqtt" {
			continue
		}
		nc, err := net.Dial("tcp", l.Address)
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { nc.Close() })
		// 3.1.1, section 3.1: clean session, no keep alive.
		connect := "\x10\x18\x00\x04MQTT\x04\xc2\x00\x00\x00\x01c\x00\x04" + name + "\x00\x03" + password
		if _, err := io.WriteString(nc, connect); err != nil {
			b.t.Fatal(err)
		}
		connack := make([]byte, 4)
		if _, err := io.ReadFull(nc, connack); err != nil || !bytes.Equal(connack, []byte{0x20, 2, 0, 0}) {
			b.t.Fatalf("connack % x, %v", connack, err)
		}
		return nc
	}
	b.t.Fatal("no mqtt door")
	return nil
}

func TestConnectionsOfChangedUsersAreEnded(t *testing.T) {
	for _, change := range []struct{ name, bert string }{
		{"removed", ""},
		{"password", "[[user]]\nname = \"bert\"\npassword = \"new\"\n"},
		{"rights", userBert + "[[permission]]\nuser = \"bert\"\nvhost = \"/\"\nwrite = \"x\"\n"},
	} {
		t.Run(change.name, func(t *testing.T) {
			b := newBox(t, userAnna+userBert)
			b.start()
			defer b.stop()
			anna, bert := b.closedConn("anna:one"), b.closedConn("bert:two")
			sensor := b.dialMQTT("bert", "two")
			b.write(userAnna + change.bert)
			select {
			case why := <-bert:
				if why == nil || why.Code != amqp091.ConnectionForced {
					t.Errorf("the AMQP connection ended with %v", why)
				}
			case <-time.After(time.Minute):
				t.Fatal("the AMQP connection goes on")
			}
			_ = sensor.SetReadDeadline(time.Now().Add(time.Minute))
			if n, err := sensor.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the MQTT connection goes on: %d, %v", n, err)
			}
			select {
			case why := <-anna:
				t.Errorf("the connection of another user ended: %v", why)
			default:
			}
		})
	}
}
