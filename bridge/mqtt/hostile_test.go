package mqtt

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"leveret/bridge/mqttwire"
)

// Input that a client should not send, after a good CONNECT: what comes back,
// and that nobody else notices.
func TestHostileClients(t *testing.T) {
	const v31, v311, v5 = mqttwire.V31, mqttwire.V311, mqttwire.V5
	big := append([]byte{0x30, 0xff, 0xff, 0x7f}, make([]byte, 100)...)
	manyLevels := strings.Repeat("/", topicLevelsMax)
	for _, tc := range []struct {
		v    mqttwire.Version
		name string
		send []byte
		want string // the last words; "" for none; "ok" if the connection goes on
	}{
		{v5, "packet type 0", []byte{0x00, 0}, "malformed packet"},
		{v5, "second CONNECT", []byte("\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"), "protocol error"},
		{v311, "second CONNECT", []byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"), ""},
		{v5, "CONNACK from a client", []byte{0x20, 3, 0, 0, 0}, "protocol error"},
		{v5, "SUBACK from a client", []byte{0x90, 4, 0, 1, 0, 0}, "protocol error"},
		{v5, "PINGRESP from a client", []byte{0xD0, 0}, "protocol error"},
		{v5, "AUTH", []byte{0xF0, 0}, "protocol error"},
		{v311, "AUTH", []byte{0xF0, 0}, ""},
		{v5, "PUBREC of nothing", []byte{0x50, 2, 0, 1}, "ok"},
		{v311, "PUBREC of nothing", []byte{0x50, 2, 0, 1}, "ok"},
		{v5, "PUBCOMP of nothing", []byte{0x70, 2, 0, 1}, "ok"},
		{v5, "PUBREC of identifier 0", []byte{0x50, 2, 0, 0}, "protocol error"},
		{v5, "PUBCOMP with an unknown reason", []byte{0x70, 3, 0, 1, 0x10}, "protocol error"},
		{v5, "PUBREL of nothing", []byte{0x62, 2, 0, 1}, "ok"},
		{v311, "PUBREL of nothing", []byte{0x62, 2, 0, 1}, "ok"},
		{v5, "PUBREL with wrong flags", []byte{0x60, 2, 0, 1}, "malformed packet"},
		{v5, "PUBACK of nothing", []byte{0x40, 2, 0, 9}, "ok"},
		{v5, "PUBACK of identifier 0", []byte{0x40, 2, 0, 0}, "protocol error"},
		{v5, "PUBACK cut short", []byte{0x40, 1, 0}, "malformed packet"},
		{v311, "PUBACK too long", []byte{0x40, 3, 0, 1, 0}, ""},
		{v5, "PUBACK with an unknown reason", []byte{0x40, 3, 0, 1, 5}, "protocol error"},
		{v5, "PINGREQ with a body", []byte{0xC0, 1, 0}, "malformed packet"},
		{v5, "PINGREQ with flags", []byte{0xC1, 0}, "malformed packet"},
		{v5, "DISCONNECT with flags", []byte{0xE1, 0}, "malformed packet"},
		{v311, "DISCONNECT with a body", []byte{0xE0, 1, 0}, ""},
		{v5, "DISCONNECT keeps a session that was to end", []byte{0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9}, "protocol error"},
		{v5, "remaining length of five bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0}, "malformed packet"},
		{v311, "remaining length of five bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0}, ""},
		{v5, "packet too large", big, "packet too large"},
		{v311, "packet too large", big, ""},
		{v5, "PUBLISH of QoS 3", []byte("\x36\x06\x00\x01a\x00\x01\x00"), "malformed packet"},
		{v5, "PUBLISH of QoS 2 without an identifier", []byte("\x34\x06\x00\x01a\x00\x00\x00"), "protocol error"},
		{v5, "PUBLISH of QoS 1 without an identifier", []byte("\x32\x06\x00\x01a\x00\x00\x00"), "protocol error"},
		{v5, "PUBLISH again, of QoS 0", []byte("\x38\x04\x00\x01a\x00"), "malformed packet"},
		{v5, "PUBLISH to a wildcard", []byte("\x30\x06\x00\x03a/#\x00"), "topic name invalid"},
		{v311, "PUBLISH to a wildcard", []byte("\x30\x05\x00\x03a/+"), ""},
		{v5, "PUBLISH to no topic", []byte("\x30\x03\x00\x00\x00"), "protocol error"},
		{v311, "PUBLISH to no topic", []byte("\x30\x02\x00\x00"), ""},
		{v5, "PUBLISH to U+0000", []byte("\x30\x05\x00\x02a\x00\x00"), "malformed packet"},
		{v5, "PUBLISH to what is no UTF-8", []byte("\x30\x05\x00\x02\xc3\x28\x00"), "malformed packet"},
		{v5, "PUBLISH to a share", []byte("\x30\x0d\x00\x0a$share/g/a\x00"), "topic name invalid"},
		{v5, "PUBLISH to too many levels", publishTo(v5, manyLevels), "topic name invalid"},
		{v311, "PUBLISH to too many levels", publishTo(v311, manyLevels), ""},
		{v5, "PUBLISH with a topic longer than the packet", []byte("\x30\x04\x00\x09a\x00"), "malformed packet"},
		{v5, "PUBLISH with properties longer than the packet", []byte("\x30\x04\x00\x01a\x09"), "malformed packet"},
		{v5, "PUBLISH with a property cut short", []byte("\x30\x06\x00\x01a\x02\x02\x00"), "malformed packet"},
		{v5, "PUBLISH with an unknown property", []byte("\x30\x06\x00\x01a\x02\x7f\x00"), "malformed packet"},
		{v5, "PUBLISH with a property of CONNECT", []byte("\x30\x09\x00\x01a\x05\x11\x00\x00\x00\x01"), "malformed packet"},
		{v5, "PUBLISH with two content types", []byte("\x30\x0c\x00\x01a\x08\x03\x00\x01x\x03\x00\x01x"), "protocol error"},
		{v5, "PUBLISH with payload format 9", []byte("\x30\x06\x00\x01a\x02\x01\x09"), "protocol error"},
		{v5, "PUBLISH with a subscription identifier", []byte("\x30\x06\x00\x01a\x02\x0b\x01"), "protocol error"},
		{v5, "PUBLISH with alias 0", []byte("\x30\x07\x00\x01a\x03\x23\x00\x00"), "topic alias invalid"},
		{v5, "PUBLISH with alias 17", []byte("\x30\x07\x00\x01a\x03\x23\x00\x11"), "topic alias invalid"},
		{v5, "PUBLISH with an alias nobody set", []byte("\x30\x06\x00\x00\x03\x23\x00\x05"), "protocol error"},
		{v5, "PUBLISH with a response topic that is a filter", []byte("\x30\x08\x00\x01a\x04\x08\x00\x01#"), "topic name invalid"},
		{v5, "SUBSCRIBE without a filter", []byte("\x82\x03\x00\x01\x00"), "protocol error"},
		{v5, "SUBSCRIBE with identifier 0", []byte("\x82\x07\x00\x00\x00\x00\x01a\x00"), "protocol error"},
		{v5, "SUBSCRIBE with wrong flags", []byte("\x80\x07\x00\x01\x00\x00\x01a\x00"), "malformed packet"},
		{v5, "SUBSCRIBE without options", []byte("\x82\x06\x00\x01\x00\x00\x01a"), "malformed packet"},
		{v5, "SUBSCRIBE with reserved options", []byte("\x82\x07\x00\x01\x00\x00\x01a\xc0"), "malformed packet"},
		{v5, "SUBSCRIBE with retain handling 3", []byte("\x82\x07\x00\x01\x00\x00\x01a\x30"), "protocol error"},
		{v5, "SUBSCRIBE with QoS 3", []byte("\x82\x07\x00\x01\x00\x00\x01a\x03"), "protocol error"},
		{v311, "SUBSCRIBE with options of MQTT 5", []byte("\x82\x06\x00\x01\x00\x01a\x04"), ""},
		{v5, "SUBSCRIBE to nothing", []byte("\x82\x06\x00\x01\x00\x00\x00\x00"), "topic filter invalid"},
		{v5, "SUBSCRIBE to a/#/b", []byte("\x82\x0b\x00\x01\x00\x00\x05a/#/b\x00"), "topic filter invalid"},
		{v311, "SUBSCRIBE to a+", []byte("\x82\x07\x00\x01\x00\x02a+\x00"), ""},
		{v5, "SUBSCRIBE with subscription identifier 0", []byte("\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00"), "protocol error"},
		{v5, "SUBSCRIBE without local to a share", []byte("\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04"), "protocol error"},
		{v5, "UNSUBSCRIBE without a filter", []byte("\xa2\x03\x00\x01\x00"), "protocol error"},
		{v5, "UNSUBSCRIBE with wrong flags", []byte("\xa0\x06\x00\x01\x00\x00\x01a"), "malformed packet"},
		{v5, "HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "malformed packet"},
		{v311, "half a packet", []byte{0x30}, "ok"},
	} {
		t.Run(fmt.Sprint(tc.v, " ", tc.name), func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				good := s.joined(v5, "good")
				good.listens("#", 0)
				c := s.joined(tc.v, "hostile")
				// What came before it in the same write still counts.
				c.send(append(publishTo(tc.v, "before"), tc.send...))
				good.expect("PUBLISH before= q0")
				switch got := c.got(); {
				case tc.want == "ok" && len(got) > 0 && got[len(got)-1] == "closed",
					tc.want == "" && strings.Join(got, ", ") != "closed",
					tc.want != "ok" && tc.want != "" && strings.Join(got, ", ") != "DISCONNECT "+tc.want+", closed":
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		})
	}
}

func publishTo(v mqttwire.Version, topic string) []byte {
	b, err := mqttwire.AppendPublish(nil, v, &mqttwire.PublishOut{Topic: topic})
	if err != nil {
		panic(err)
	}
	return b
}

// Input instead of a good CONNECT.
func TestHostileStrangers(t *testing.T) {
	for _, tc := range []struct {
		name string
		v    mqttwire.Version
		send []byte
		want string
	}{
		{"PUBLISH first", mqttwire.V311, []byte("\x30\x03\x00\x01a"), "closed"},
		{"PINGREQ first", mqttwire.V5, []byte{0xC0, 0}, "closed"},
		{"HTTP", mqttwire.V311, []byte("GET / HTTP/1.1\r\n\r\n"), "closed"},
		{"TLS", mqttwire.V311, []byte("\x16\x03\x01\x02\x00\x01\x00"), "closed"},
		{"AMQP", mqttwire.V311, []byte("AMQP\x00\x00\x09\x01"), "closed"},
		{"17 kB announced", mqttwire.V311, []byte{0x10, 0x80, 0x88, 0x01}, "closed"},
		{"256 MiB announced", mqttwire.V311, []byte{0x10, 0xff, 0xff, 0xff, 0x7f}, "closed"},
		{"unknown level", mqttwire.V5, []byte("\x10\x0c\x00\x04MQTT\x09\x02\x00\x00\x00\x00"), "CONNACK unsupported protocol version, closed"},
		{"unknown name", mqttwire.V311, []byte("\x10\x0c\x00\x04HTTP\x04\x02\x00\x00\x00\x00"), "CONNACK unsupported protocol version, closed"},
		{"reserved flag", mqttwire.V311, []byte("\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00"), "closed"},
		{"reserved flag", mqttwire.V5, []byte("\x10\x0d\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x00"), "CONNACK malformed packet, closed"},
		{"will of QoS 3", mqttwire.V5, []byte("\x10\x0d\x00\x04MQTT\x05\x1e\x00\x00\x00\x00\x00"), "CONNACK malformed packet, closed"},
		{"will QoS without a will", mqttwire.V311, []byte("\x10\x0c\x00\x04MQTT\x04\x0a\x00\x00\x00\x00"), "closed"},
		{"password without user name", mqttwire.V311, []byte("\x10\x0e\x00\x04MQTT\x04\x42\x00\x00\x00\x00\x00\x00"), "closed"},
		{"receive maximum 0", mqttwire.V5, []byte("\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x00"), "CONNACK protocol error, closed"},
		{"authentication data without a method", mqttwire.V5, []byte("\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x16\x00\x00\x00\x00"), "CONNACK protocol error, closed"},
		{"trailing bytes", mqttwire.V311, []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00\x00"), "closed"},
		{"id of what is no UTF-8", mqttwire.V5, []byte("\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01\xff"), "CONNACK malformed packet, closed"},
		{"will to a filter", mqttwire.V5, []byte("\x10\x13\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x00\x00\x00\x01#\x00\x00"), "CONNACK topic name invalid, closed"},
		{"CONNECT cut short", mqttwire.V311, []byte("\x10\x06\x00\x04MQTT"), "closed"},
	} {
		t.Run(fmt.Sprint(tc.v, " ", tc.name), func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				good := s.joined(mqttwire.V311, "good")
				c := s.raw(tc.v)
				c.send(tc.send)
				if got := strings.Join(c.got(), ", "); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				good.send(mqttwire.AppendPingreq(nil))
				good.expect("PINGRESP")
				if n := s.door.Stats().Connections; n != 1 {
					t.Errorf("%d connections are open, want 1", n)
				}
			})
		})
	}
}

func TestTooManyUserProperties(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		many := carrying(func(w *mqttwire.PropertyWriter) {
			for range userPropertiesMax + 1 {
				w.User("k", "v")
			}
		})
		c.publish("a", "", 1, 1, many)
		c.publish("a", "", 0, 0, many)
		c.publish("a", "", 1, 2)
		c.expect("PUBACK 1 quota exceeded", "PUBACK 2 no matching subscribers")
	})
}

func TestForbiddenPublish(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		five := s.joined(mqttwire.V5, "five", login("reader", ""))
		five.publish("a", "1", 1, 1)
		five.publish("a", "2", 0, 0)
		five.publish("a", "3", 1, 2)
		five.expect("PUBACK 1 not authorized", "PUBACK 2 not authorized")
		three := s.joined(mqttwire.V311, "three", login("reader", ""))
		three.publish("a", "1", 0, 0)
		three.send(mqttwire.AppendPingreq(nil))
		three.expect("PINGRESP")
		three.publish("a", "2", 1, 1) // PUBACK would be a lie
		three.expect("closed")
	})
}

// FuzzConnection feeds a connected client's bytes to a door. Whatever they are,
// nothing of ours breaks and the next client is served.
func FuzzConnection(f *testing.F) {
	for _, v := range []mqttwire.Version{mqttwire.V31, mqttwire.V311, mqttwire.V5} {
		sub, _ := mqttwire.AppendSubscribe(nil, v, &mqttwire.Subscribe{PacketID: 1, Filters: []mqttwire.Subscription{{Filter: "a/#", QoS: 1}}})
		pub, _ := mqttwire.AppendPublish(nil, v, &mqttwire.PublishOut{Topic: "a/b", QoS: 1, PacketID: 3, Retain: true, Payload: []byte("x")})
		unsub, _ := mqttwire.AppendUnsubscribe(nil, v, &mqttwire.Unsubscribe{PacketID: 2, Filters: []string{"a/#"}})
		ack, _ := mqttwire.AppendAck(nil, mqttwire.TypePuback, v, &mqttwire.Ack{PacketID: 1})
		f.Add(byte(v), slicesOf(sub, pub, ack, unsub, pub))
		f.Add(byte(v), slicesOf(sub, pub, mqttwire.AppendPingreq(nil), []byte{0xE0, 0}))
	}
	s := &stage{t: f}
	s.log = newAutoLog()
	s.clocks = time.Now()
	s.start(nil)
	f.Cleanup(s.shut)
	f.Fuzz(func(t *testing.T, version byte, input []byte) {
		s.t = t
		v := mqttwire.V31 + mqttwire.Version(version%3)
		c := s.raw(v)
		m := mqttwire.Connect{Version: v, ClientID: "fuzz", CleanStart: version&8 == 0}
		packet, _ := mqttwire.AppendConnect(nil, &m)
		c.send(packet, input)
		c.conn.Close()
		for range c.packets {
		}
		for s.door.Stats().Connections > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		if n := s.door.counts.panics.Swap(0); n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}

func slicesOf(packets ...[]byte) []byte { return bytes.Join(packets, nil) }
