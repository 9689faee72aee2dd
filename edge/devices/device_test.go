package devices

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"leveret/amqp"
	"leveret/amqp/broker"
)

func TestIDs(t *testing.T) {
	long := strings.Repeat("x", 255)
	for _, c := range []struct {
		who  broker.Identity
		want string
	}{
		{broker.Identity{Protocol: "MQTT 5", Client: "meter-1", User: "u", Peer: "10.0.0.7:1"}, "meter-1"},
		{broker.Identity{Protocol: "MQTT 3.1.1", Client: "auto-XYZ", Assigned: true, User: "u", Peer: "10.0.0.7:1"}, "nameless:u@10.0.0.7"},
		{broker.Identity{Protocol: "MQTT 5", Client: "amqp:u@x"}, "mqtt:amqp:u@x"},
		{broker.Identity{Protocol: "MQTT 5", Client: "nameless:u@x"}, "mqtt:nameless:u@x"},
		{broker.Identity{Protocol: "MQTT 5", Client: "mqtt:x"}, "mqtt:mqtt:x"},
		{broker.Identity{Protocol: "MQTT 5", Client: "m", Peer: "@"}, "m"},
		{broker.Identity{Protocol: "AMQP 0-9-1", Name: "logger", User: "u", Peer: "10.0.0.7:1"}, "amqp:u@logger"},
		{broker.Identity{Protocol: "AMQP 0-9-1", User: "u", Peer: "[fe80::1]:1"}, "amqp:u@fe80::1"},
		{broker.Identity{Protocol: "AMQP 1.0", Client: "container", Name: "n", User: "u"}, "amqp:u@container"},
	} {
		if got := idOf(&c.who); got != c.want {
			t.Errorf("idOf(%+v) = %q, want %q", c.who, got, c.want)
		}
	}
	one := idOf(&broker.Identity{Protocol: "AMQP 0-9-1", User: long, Name: "a"})
	two := idOf(&broker.Identity{Protocol: "AMQP 0-9-1", User: long, Name: "b"})
	if len(one) != idBytesMax || one == two || len("device.disconnected.")+len(one) > 255 {
		t.Errorf("ids of long names are %q and %q", one, two)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"meter-*", "meter-1", true}, {"meter-*", "meter-", true}, {"meter-*", "meter", false},
		{"*", "", true}, {"*", "a/b.c", true}, {"", "", true}, {"", "a", false},
		{"*-7", "meter-7-7", true}, {"*-7", "meter-7-8", false}, {"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-c", false},
		{"?", "ü", true}, {"??", "ü", false}, {"m?ter", "meter", true}, {"**", "x", true}, {"[a]", "[a]", true},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("matches(%q, %q) = %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
	// A star costs no more than its text, whatever stands in it.
	if matches(strings.Repeat("a*", 100)+"b", strings.Repeat("a", 20_000)) {
		t.Error("matched")
	}
}

var stored = Device{
	ID: "meter-1", Client: "meter-1", User: "sensors", VHost: "/", Protocol: "MQTT 5", Address: "10.0.0.7:1",
	First: amqp.Stamp{Boot: 1, At: 5}, Last: amqp.Stamp{Boot: 3, At: -7}, LastMessage: amqp.Stamp{Boot: 3, At: 1 << 60}, LastKey: "a.b",
	In: 1 << 63, InBytes: 300, Out: 1, OutBytes: 2, Silent: true, SilentSince: amqp.Stamp{Boot: 2, At: 9},
}

func TestStoredForm(t *testing.T) {
	b := stored.encode()
	got, err := decodeDevice(b)
	if err != nil || !reflect.DeepEqual(got, stored) {
		t.Errorf("read back %+v, %v", got, err)
	}
	for n := range b {
		if _, err := decodeDevice(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for a device", n, len(b))
		}
	}
	b[0] = 2
	if _, err := decodeDevice(b); err == nil {
		t.Error("a version to come is read")
	}
}

func FuzzStoredForm(f *testing.F) {
	f.Add(stored.encode())
	f.Add((&Device{ID: "x"}).encode())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDevice(b)
		if err != nil {
			return
		}
		again, err := decodeDevice(d.encode())
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%x reads as %+v, which is written and read as %+v, %v", bytes.Clone(b), d, again, err)
		}
	})
}
