package mqtt

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"leveret/bridge/mqttwire"
)

// bad is a packet that no client may send, and how it ends: the reason that an
// MQTT 5 client is told. Older ones are just cut off, which is all that their
// versions allow.
type bad struct {
	name   string
	packet []byte
	reason mqttwire.ReasonCode
}

// packet puts a head in front of a body.
func packet(first byte, body string) []byte {
	head := []byte{first}
	n := len(body)
	for {
		b := byte(n % 128)
		if n /= 128; n > 0 {
			b |= 128
		}
		head = append(head, b)
		if n == 0 {
			return append(head, body...)
		}
	}
}

// wireText is a string as it stands in a packet.
func wireText(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// noProps is an empty property list, where the version has them.
func noProps(v mqttwire.Version) string {
	if v == mqttwire.V5 {
		return "\x00"
	}
	return ""
}

const (
	malformed = mqttwire.MalformedPacket
	protocol  = mqttwire.ProtocolError
)

// badHeads are wrong in their first bytes.
func badHeads() (all []bad) {
	add := func(reason mqttwire.ReasonCode, name string, p []byte) { all = append(all, bad{name, p, reason}) }
	for _, p := range []struct {
		name  string
		kind  byte
		right byte
		body  string
	}{
		{"PUBACK", 0x40, 0, "\x00\x01"}, {"PUBREC", 0x50, 0, "\x00\x01"}, {"PUBREL", 0x60, 2, "\x00\x01"}, {"PUBCOMP", 0x70, 0, "\x00\x01"},
		{"SUBSCRIBE", 0x80, 2, "\x00\x01\x00\x01a\x00"}, {"UNSUBSCRIBE", 0xA0, 2, "\x00\x01\x00\x01a"},
		{"PINGREQ", 0xC0, 0, ""}, {"DISCONNECT", 0xE0, 0, ""},
	} {
		for _, wrong := range []byte{1, 2, 4, 8} {
			add(malformed, fmt.Sprintf("%s with flags %d", p.name, p.right^wrong), packet(p.kind|p.right^wrong, p.body))
		}
	}
	for name, kind := range map[string]byte{"CONNACK": 0x20, "SUBACK": 0x90, "UNSUBACK": 0xB0, "PINGRESP": 0xD0} {
		add(protocol, name+" from a client", packet(kind, "\x00\x01\x00"))
	}
	for _, first := range []byte{0x30, 0x32, 0x40, 0x62, 0x82, 0xA2, 0xC0, 0xE0} {
		add(malformed, fmt.Sprintf("a length of five bytes behind %#x", first), []byte{first, 0x80, 0x80, 0x80, 0x80, 0x01})
	}
	add(malformed, "a length that does not end", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0xff})
	add(malformed, "packet type 0", []byte{0x00, 0x00})
	for _, size := range [][]byte{{0x80, 0x80, 0x80, 0x01}, {0xff, 0xff, 0xff, 0x7f}, {0x81, 0x80, 0x40}} {
		add(mqttwire.PacketTooLarge, fmt.Sprintf("a length of % x", size), append([]byte{0x30}, size...))
	}
	return all
}

// badBodies are wrong behind their heads.
func badBodies(v mqttwire.Version) (all []bad) {
	add := func(reason mqttwire.ReasonCode, name string, first byte, body string) {
		all = append(all, bad{name, packet(first, body), reason})
	}
	none := noProps(v)
	pub := func(first byte, topic, id, payload string) []byte {
		return packet(first, wireText(topic)+id+none+payload)
	}
	cut := func(name string, first byte, body string, from, to int, reason mqttwire.ReasonCode) {
		for n := from; n < to; n++ {
			add(reason, fmt.Sprintf("%s cut after %d bytes", name, n), first, body[:n])
		}
	}
	one := "\x00\x01"
	cut("PUBLISH", 0x32, wireText("abc")+one+none, 0, 7+len(none)-1, malformed)
	sub, unsub := one+none+wireText("abc")+"\x00", one+none+wireText("abc")
	cut("SUBSCRIBE", 0x82, sub, 0, 2+len(none)-1, malformed)
	cut("SUBSCRIBE", 0x82, sub, 3+len(none), len(sub), malformed)
	cut("UNSUBSCRIBE", 0xA2, unsub, 0, 2+len(none)-1, malformed)
	cut("UNSUBSCRIBE", 0xA2, unsub, 3+len(none), len(unsub), malformed)
	add(protocol, "SUBSCRIBE without a filter", 0x82, one+none)
	add(protocol, "UNSUBSCRIBE without a filter", 0xA2, one+none)
	for name, first := range map[string]byte{"PUBACK": 0x40, "PUBREC": 0x50, "PUBREL": 0x62, "PUBCOMP": 0x70} {
		add(malformed, name+" without a body", first, "")
		add(malformed, name+" of one byte", first, "\x00")
		add(protocol, name+" of identifier 0", first, "\x00\x00")
		add(malformed, name+" with more behind it", first, one+"\x00\x00\x00")
	}
	add(malformed, "PINGREQ with a body", 0xC0, "x")
	all = append(all, bad{"PUBLISH of QoS 3", pub(0x36, "a", one, ""), malformed},
		bad{"PUBLISH of QoS 1, identifier 0", pub(0x32, "a", "\x00\x00", ""), protocol},
		bad{"PUBLISH of QoS 2, identifier 0", pub(0x34, "a", "\x00\x00", ""), protocol},
		bad{"PUBLISH of QoS 0 that comes again", pub(0x38, "a", "", ""), malformed})
	add(protocol, "SUBSCRIBE with identifier 0", 0x82, "\x00\x00"+none+wireText("a")+"\x00")
	add(protocol, "UNSUBSCRIBE with identifier 0", 0xA2, "\x00\x00"+none+wireText("a"))
	for name, text := range map[string]string{
		"a stray byte": "a\xff", "an overlong form": "\xc0\x80", "a surrogate": "\xed\xa0\x80", "beyond U+10FFFF": "\xf4\x90\x80\x80",
		"U+0000": "a\x00b", "half a character": "\xe2\x82",
	} {
		all = append(all, bad{"PUBLISH to a topic with " + name, pub(0x30, text, "", ""), malformed})
		add(malformed, "SUBSCRIBE to a filter with "+name, 0x82, one+none+wireText(text)+"\x00")
		add(malformed, "UNSUBSCRIBE from a filter with "+name, 0xA2, one+none+wireText(text))
	}
	for _, topic := range []string{"#", "+", "a/#", "a/+/b", "a#", "+a"} {
		all = append(all, bad{"PUBLISH to " + topic, pub(0x30, topic, "", ""), mqttwire.TopicNameInvalid})
	}
	for _, filter := range []string{"a#", "#/a", "a+", "+a/b", "a/#/b", "##", "/+a"} {
		add(mqttwire.TopicFilterInvalid, "SUBSCRIBE to "+filter, 0x82, one+none+wireText(filter)+"\x00")
		add(mqttwire.TopicFilterInvalid, "UNSUBSCRIBE from "+filter, 0xA2, one+none+wireText(filter))
	}
	add(mqttwire.TopicFilterInvalid, "SUBSCRIBE to nothing", 0x82, one+none+wireText("")+"\x00")
	add(protocol, "SUBSCRIBE of QoS 3", 0x82, one+none+wireText("a")+"\x03")
	add(malformed, "SUBSCRIBE with reserved bits", 0x82, one+none+wireText("a")+"\xc0")
	add(malformed, "a second filter that is cut short", 0x82, sub+"\x00\x05a")
	add(malformed, "a filter longer than the packet", 0x82, one+none+"\xff\xffa")
	add(malformed, "a topic longer than the packet", 0x30, "\xff\xffa")
	return all
}

// badProperties are what only MQTT 5 can do wrong.
func badProperties() (all []bad) {
	publish := func(reason mqttwire.ReasonCode, name, props string) {
		all = append(all, bad{"PUBLISH with " + name, packet(0x30, wireText("a")+string(rune(len(props)))+props+"x"), reason})
	}
	publish(protocol, "two content types", "\x03\x00\x01a\x03\x00\x01a")
	publish(protocol, "two expiries", "\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01")
	publish(protocol, "payload format 9", "\x01\x09")
	publish(malformed, "an unknown property", "\x7f\x00")
	publish(malformed, "a property of CONNECT", "\x21\x00\x01")
	publish(protocol, "a subscription identifier", "\x0b\x01")
	publish(mqttwire.TopicAliasInvalid, "a topic alias of 0", "\x23\x00\x00")
	publish(mqttwire.TopicAliasInvalid, "a topic alias too high", "\x23\x00\x11")
	publish(malformed, "a property cut short", "\x02\x00\x00")
	publish(malformed, "a text longer than its list", "\x03\x00\x09a")
	publish(mqttwire.TopicNameInvalid, "a response topic of wildcards", "\x08\x00\x01#")
	publish(malformed, "a user property without a value", "\x26\x00\x01a")
	publish(malformed, "a user property that is no text", "\x26\x00\x01\xff\x00\x00")
	all = append(all,
		bad{"PUBLISH with properties longer than the packet", packet(0x30, wireText("a")+"\x20"), malformed},
		bad{"PUBLISH with a property length of five bytes", packet(0x30, wireText("a")+"\x80\x80\x80\x80\x00"), malformed},
		bad{"PUBLISH to nothing, without an alias", packet(0x30, "\x00\x00\x00"), protocol},
		bad{"PUBLISH to an alias that stands for nothing", packet(0x30, "\x00\x00\x03\x23\x00\x01"), protocol},
		bad{"SUBSCRIBE with retain handling 3", packet(0x82, "\x00\x01\x00"+wireText("a")+"\x30"), protocol},
		bad{"SUBSCRIBE with subscription identifier 0", packet(0x82, "\x00\x01\x02\x0b\x00"+wireText("a")+"\x00"), protocol},
		bad{"SUBSCRIBE without local to a group", packet(0x82, "\x00\x01\x00"+wireText("$share/g/a")+"\x04"), protocol},
		bad{"PUBACK with an unknown reason", packet(0x40, "\x00\x01\x05"), protocol},
		bad{"PUBREL with an unknown reason", packet(0x62, "\x00\x01\x80"), protocol},
		bad{"DISCONNECT that keeps a session that was to end", packet(0xE0, "\x00\x05\x11\x00\x00\x00\x09"), protocol},
		bad{"DISCONNECT with an unknown reason", packet(0xE0, "\x01"), protocol},
		bad{"AUTH that nobody asked for", packet(0xF0, "\x18\x00"), protocol},
	)
	return all
}

// badConnects come before anything else. reason is what CONNACK says to an MQTT
// 5 client.
func badConnects(v mqttwire.Version) (all []bad) {
	name, level := "MQTT", byte(v)
	if v == mqttwire.V31 {
		name = "MQIsdp"
	}
	none := noProps(v)
	connect := func(reason mqttwire.ReasonCode, what string, flags byte, rest string) {
		all = append(all, bad{"CONNECT " + what, packet(0x10, wireText(name)+string([]byte{level, flags, 0, 0})+none+rest), reason})
	}
	id := wireText("hostile")
	connect(malformed, "with the reserved flag", 0x03, id)
	connect(malformed, "with a will of QoS 3", 0x1e, id+none+wireText("w")+wireText(""))
	connect(malformed, "with a will's QoS and no will", 0x0a, id)
	connect(malformed, "with a will's retain flag and no will", 0x22, id)
	connect(malformed, "without an identifier", 0x02, "")
	connect(malformed, "with an identifier cut short", 0x02, "\x00\x09abc")
	connect(malformed, "with an identifier that is no text", 0x02, wireText("\xff"))
	connect(malformed, "with U+0000 in its identifier", 0x02, wireText("a\x00"))
	connect(malformed, "without its will", 0x06, id)
	connect(malformed, "without its will's payload", 0x06, id+none+wireText("w"))
	connect(mqttwire.TopicNameInvalid, "with a will to a filter", 0x06, id+none+wireText("w/#")+wireText(""))
	connect(malformed, "without its user name", 0x82, id)
	connect(malformed, "with a user name that is no text", 0x82, id+wireText("\xc0\x80"))
	connect(malformed, "without its password", 0xc2, id+wireText("u"))
	connect(malformed, "with a password cut short", 0xc2, id+wireText("u")+"\x00\x05p")
	connect(malformed, "with more behind it", 0x02, id+"x")
	return all
}

// open31 reports what MQTT 3.1 does not forbid: it calls flags "not used" where
// later versions reserve them, and lets names be left out.
func open31(b bad) bool {
	return strings.Contains(b.name, " with flags ") || slices.Contains([]string{
		"PUBLISH of QoS 0 that comes again", "SUBSCRIBE with reserved bits",
		"CONNECT with the reserved flag", "CONNECT with a will's QoS and no will", "CONNECT with a will's retain flag and no will",
		"CONNECT without its user name", "CONNECT without its password",
	}, b.name)
}

// Every packet that a version forbids ends its connection in the way that the
// version has for it, and nobody else notices. There are more than a hundred
// for each.
func TestMalformedPackets(t *testing.T) {
	for _, v := range []mqttwire.Version{mqttwire.V31, mqttwire.V311, mqttwire.V5} {
		packets, connects := append(badHeads(), badBodies(v)...), badConnects(v)
		if v == mqttwire.V31 {
			packets, connects = slices.DeleteFunc(packets, open31), slices.DeleteFunc(connects, open31)
		}
		if v == mqttwire.V5 {
			packets = append(packets, badProperties()...)
		}
		if n := len(packets) + len(connects); n < 100 {
			t.Errorf("%s: %d cases, want at least 100", v, n)
		} else {
			t.Logf("%s: %d cases", v, n)
		}
		onStage(t, nil, func(s *stage) {
			good := s.joined(mqttwire.V5, "good")
			check := func(c *client, b bad, answer string) {
				t.Helper()
				want := "closed"
				if v == mqttwire.V5 {
					want = answer + " " + b.reason.String() + ", closed"
				}
				if got := strings.Join(c.got(), ", "); got != want {
					t.Errorf("%s: %s (% x): %q, want %q", v, b.name, b.packet, got, want)
				}
				good.send(mqttwire.AppendPingreq(nil))
				good.expect("PINGRESP")
			}
			for _, b := range packets {
				c := s.joined(v, "hostile")
				c.send(b.packet)
				check(c, b, "DISCONNECT")
			}
			for _, b := range connects {
				c := s.raw(v)
				c.send(b.packet)
				check(c, b, "CONNACK")
			}
			if n := s.door.Stats().Connections; n != 1 {
				t.Errorf("%s: %d connections are left, want the good one", v, n)
			}
		})
	}
}
