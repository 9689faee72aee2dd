package mqttwire

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

var acceptedPackets = []struct {
	name    string
	version Version
	from    sender
	packet  string
	want    any // nil: a packet without content
}{
	{"CONNECT", V311, client, `10 ( "MQTT" 04 02 003C "c" )`,
		&Connect{Version: V311, CleanStart: true, KeepAlive: 60, ClientID: "c"}},
	{"CONNECT of 3.1", V31, client, `10 ( "MQIsdp" 03 00 003C "a client with an id of more than 23 characters" )`,
		&Connect{Version: V31, KeepAlive: 60, ClientID: "a client with an id of more than 23 characters"}},
	{"CONNECT of a bridge", V311, client, `10 ( "MQTT" 84 02 003C "c" )`,
		&Connect{Version: V311, Bridge: true, CleanStart: true, KeepAlive: 60, ClientID: "c"}},
	{"CONNECT of a 3.1 bridge", V31, client, `10 ( "MQIsdp" 83 02 003C "c" )`,
		&Connect{Version: V31, Bridge: true, CleanStart: true, KeepAlive: 60, ClientID: "c"}},
	{"CONNECT with an empty will payload", V311, client, `10 ( "MQTT" 04 2E 0000 "c" "w" "" )`,
		&Connect{Version: V311, CleanStart: true, ClientID: "c", HasWill: true, Will: Will{QoS: 1, Retain: true, Topic: "w"}}},
	{"CONNECT with an empty password", V311, client, `10 ( "MQTT" 04 C2 0000 "c" "u" "" )`,
		&Connect{Version: V311, CleanStart: true, ClientID: "c", HasUsername: true, Username: "u", HasPassword: true}},
	{"CONNECT with an empty user name", V311, client, `10 ( "MQTT" 04 82 0000 "c" "" )`,
		&Connect{Version: V311, CleanStart: true, ClientID: "c", HasUsername: true}},
	{"CONNECT with binary password", V311, client, `10 ( "MQTT" 04 C2 0000 "c" "u" 0002 00FF )`,
		&Connect{Version: V311, CleanStart: true, ClientID: "c", HasUsername: true, Username: "u", HasPassword: true, Password: []byte{0, 0xFF}}},
	{"CONNECT without client id", V311, client, `10 ( "MQTT" 04 02 0000 "" )`,
		&Connect{Version: V311, CleanStart: true}},
	{"CONNECT without client id, session kept", V5, client, `10 ( "MQTT" 05 00 0000 00 "" )`,
		&Connect{Version: V5}},
	{"CONNECT with a password alone", V5, client, `10 ( "MQTT" 05 42 0000 00 "c" "p" )`,
		&Connect{Version: V5, CleanStart: true, ClientID: "c", HasPassword: true, Password: []byte("p")}},
	{"CONNECT with all properties", V5, client,
		`10 ( "MQTT" 05 06 0000 ( 11 0000000A 21 0064 27 00010000 22 000A 19 01 17 00 26 "n" "v" 26 "n" "v" 15 "m" 16 "d" ) "c" ( 18 0000000A 01 01 02 0000000A 03 "t" 08 "r" 09 "c" 26 "n" "v" ) "w" "x" )`,
		&Connect{Version: V5, CleanStart: true, ClientID: "c", HasWill: true,
			Props: Properties("\x11\x00\x00\x00\x0a\x21\x00\x64\x27\x00\x01\x00\x00\x22\x00\x0a\x19\x01\x17\x00\x26\x00\x01n\x00\x01v\x26\x00\x01n\x00\x01v\x15\x00\x01m\x16\x00\x01d"),
			Will: Will{Topic: "w", Payload: []byte("x"),
				Props: Properties("\x18\x00\x00\x00\x0a\x01\x01\x02\x00\x00\x00\x0a\x03\x00\x01t\x08\x00\x01r\x09\x00\x01c\x26\x00\x01n\x00\x01v")}}},
	{"3.1: user name announced and missing", V31, client, `10 ( "MQIsdp" 03 C2 0000 "c" )`,
		&Connect{Version: V31, CleanStart: true, ClientID: "c"}},
	{"3.1: password announced and missing", V31, client, `10 ( "MQIsdp" 03 C2 0000 "c" "u" )`,
		&Connect{Version: V31, CleanStart: true, ClientID: "c", HasUsername: true, Username: "u"}},
	{"3.1: unused connect flags", V31, client, `10 ( "MQIsdp" 03 2B 0000 "c" )`,
		&Connect{Version: V31, CleanStart: true, ClientID: "c"}},

	{"CONNACK", V311, server, `20 ( 01 00 )`, &Connack{SessionPresent: true}},
	{"CONNACK refusing", V311, server, `20 ( 00 05 )`, &Connack{Reason: NotAuthorized}},
	{"3.1: CONNACK with a byte not used", V31, server, `20 ( 01 02 )`, &Connack{Reason: ClientIDNotValid}},
	{"CONNACK", V5, server, `20 ( 00 00 ( 24 01 12 "id" 13 003C 2A 00 ) )`,
		&Connack{Props: Properties("\x24\x01\x12\x00\x02id\x13\x00\x3c\x2a\x00")}},

	{"PUBLISH", V311, client, `30 ( "a/b" 'hello' )`, &Publish{Topic: []byte("a/b"), Payload: []byte("hello")}},
	{"PUBLISH without payload", V311, client, `31 ( "a" )`, &Publish{Retain: true, Topic: []byte("a")}},
	{"PUBLISH to /", V311, client, `30 ( "/" )`, &Publish{Topic: []byte("/")}},
	{"PUBLISH QoS 1 again", V311, client, `3A ( "t" 1234 'x' )`,
		&Publish{Dup: true, QoS: 1, Topic: []byte("t"), PacketID: 0x1234, Payload: []byte("x")}},
	{"PUBLISH QoS 2", V5, client, `34 ( "t" FFFF 00 'x' )`,
		&Publish{QoS: 2, Topic: []byte("t"), PacketID: 0xFFFF, Payload: []byte("x")}},
	{"PUBLISH with an alias alone", V5, client, `30 ( "" ( 23 0001 ) 'x' )`,
		&Publish{Props: Properties("\x23\x00\x01"), Payload: []byte("x")}},
	{"PUBLISH with control and non-characters", V311, client, `30 ( 0005 01 7F EFBFBF )`,
		&Publish{Topic: []byte("\x01\x7f\uffff")}},
	{"PUBLISH with two subscription ids", V5, server, `30 ( "t" ( 0B 01 0B FFFFFF7F ) )`,
		&Publish{Topic: []byte("t"), Props: Properties("\x0b\x01\x0b\xff\xff\xff\x7f")}},
	{"3.1: DUP with QoS 0", V31, client, `38 ( "t" )`, &Publish{Topic: []byte("t")}},

	{"PUBACK", V311, client, `40 ( 0001 )`, &Ack{PacketID: 1}},
	{"PUBACK short", V5, client, `40 ( 0001 )`, &Ack{PacketID: 1}},
	{"PUBACK with a reason", V5, client, `40 ( 0001 97 )`, &Ack{PacketID: 1, Reason: QuotaExceeded}},
	{"PUBACK with a reason and no properties", V5, client, `40 ( 0001 10 00 )`, &Ack{PacketID: 1, Reason: NoMatchingSubscribers}},
	{"PUBREC with properties", V5, client, `50 ( 0001 80 ( 1F "r" ) )`, &Ack{PacketID: 1, Reason: UnspecifiedError, Props: Properties("\x1f\x00\x01r")}},
	{"PUBREL", V311, client, `62 ( 0001 )`, &Ack{PacketID: 1}},
	{"3.1: PUBREL again", V31, client, `6A ( 0001 )`, &Ack{PacketID: 1}},
	{"PUBREL not found", V5, client, `62 ( 0001 92 )`, &Ack{PacketID: 1, Reason: PacketIDNotFound}},
	{"PUBCOMP", V5, client, `70 ( 0001 00 00 )`, &Ack{PacketID: 1}},

	{"SUBSCRIBE", V311, client, `82 ( 0001 "a/+/#" 01 "#" 02 )`,
		&Subscribe{PacketID: 1, Filters: []Subscription{{Filter: "a/+/#", QoS: 1}, {Filter: "#", QoS: 2}}}},
	{"SUBSCRIBE with all options", V5, client, `82 ( 0001 ( 0B 07 26 "n" "v" ) "t" 2E )`,
		&Subscribe{PacketID: 1, Props: Properties("\x0b\x07\x26\x00\x01n\x00\x01v"),
			Filters: []Subscription{{Filter: "t", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}},
	{"SUBSCRIBE to a share", V5, client, `82 ( 0001 00 "$share/g/a/#" 09 )`,
		&Subscribe{PacketID: 1, Filters: []Subscription{{Filter: "$share/g/a/#", QoS: 1, RetainAsPublished: true}}}},
	{"SUBSCRIBE to what would be a share", V311, client, `82 ( 0001 "$share/g" 00 )`,
		&Subscribe{PacketID: 1, Filters: []Subscription{{Filter: "$share/g"}}}},
	{"3.1: SUBSCRIBE again, unused bits", V31, client, `8A ( 0001 "t" F5 )`,
		&Subscribe{PacketID: 1, Filters: []Subscription{{Filter: "t", QoS: 1}}}},
	{"SUBACK", V31, server, `90 ( 0001 00 01 02 )`, &Suback{PacketID: 1, Reasons: []ReasonCode{0, 1, 2}}},
	{"SUBACK", V311, server, `90 ( 0001 02 80 )`, &Suback{PacketID: 1, Reasons: []ReasonCode{2, 0x80}}},
	{"SUBACK", V5, server, `90 ( 0001 00 8F )`, &Suback{PacketID: 1, Reasons: []ReasonCode{TopicFilterInvalid}}},

	{"UNSUBSCRIBE", V311, client, `A2 ( 0001 "a" "b/#" )`, &Unsubscribe{PacketID: 1, Filters: []string{"a", "b/#"}}},
	{"UNSUBSCRIBE", V5, client, `A2 ( 0001 00 "$share/g/t" )`, &Unsubscribe{PacketID: 1, Filters: []string{"$share/g/t"}}},
	{"UNSUBACK", V311, server, `B0 ( 0001 )`, &Unsuback{PacketID: 1}},
	{"UNSUBACK", V5, server, `B0 ( 0001 00 11 00 )`, &Unsuback{PacketID: 1, Reasons: []ReasonCode{NoSubscriptionExisted, 0}}},

	{"PINGREQ", V311, client, `C0 00`, nil},
	{"PINGREQ with a padded length", V311, client, `C0 80 80 00`, nil},
	{"3.1: PINGREQ with unused flags", V31, client, `CF 00`, nil},
	{"PINGRESP", V5, server, `D0 00`, nil},

	{"DISCONNECT", V311, client, `E0 00`, &Disconnect{}},
	{"DISCONNECT empty", V5, client, `E0 00`, &Disconnect{}},
	{"DISCONNECT with will", V5, client, `E0 ( 04 )`, &Disconnect{Reason: DisconnectWithWill}},
	{"DISCONNECT with properties", V5, client, `E0 ( 00 ( 11 00000000 ) )`, &Disconnect{Props: Properties("\x11\x00\x00\x00\x00")}},
	{"DISCONNECT from the server", V5, server, `E0 ( 9C ( 1C "s" ) )`, &Disconnect{Reason: UseAnotherServer, Props: Properties("\x1c\x00\x01s")}},
	{"AUTH empty", V5, client, `F0 00`, &Auth{}},
	{"AUTH", V5, client, `F0 ( 18 ( 15 "m" 16 "d" ) )`, &Auth{Reason: ContinueAuthentication, Props: Properties("\x15\x00\x01m\x16\x00\x01d")}},
}

// show prints a struct so that nil and empty slices are the same.
func show(v any) string { return fmt.Sprintf("%+v", v) }

func TestPacketsAreDecoded(t *testing.T) {
	for _, row := range acceptedPackets {
		_, got, err := decodeWire(wire(t, row.packet), row.version, row.from)
		if err != nil || show(got) != show(row.want) {
			t.Errorf("MQTT %s, %s: decode(%s) = %+v, %v, want %+v", row.version, row.name, row.packet, got, err, row.want)
		}
	}
}

func TestDecodedPacketsAreEncodedAgain(t *testing.T) {
	for _, row := range acceptedPackets {
		packet, decoded, err := decodeWire(wire(t, row.packet), row.version, row.from)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		encoded, err := encode(packet.Type, row.version, decoded)
		if err != nil {
			t.Errorf("MQTT %s, %s: encode: %v", row.version, row.name, err)
			continue
		}
		if _, again, err := decodeWire(encoded, row.version, row.from); err != nil || show(again) != show(decoded) {
			t.Errorf("MQTT %s, %s: encoded as %x, which is %+v, %v, want %+v", row.version, row.name, encoded, again, err, decoded)
		}
	}
}

// A struct that is used again must not keep anything of the packet before.
func TestStructsAreUsedAgain(t *testing.T) {
	used := map[reflect.Type]any{}
	for _, row := range acceptedPackets {
		if row.want == nil {
			continue
		}
		packet, _, err := decodeWire(wire(t, row.packet), row.version, row.from)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		kind := reflect.TypeOf(row.want)
		if used[kind] == nil {
			used[kind] = reflect.New(kind.Elem()).Interface()
		}
		if err := decodeInto(used[kind], packet, row.version, row.from); err != nil || show(used[kind]) != show(row.want) {
			t.Errorf("MQTT %s, %s: used again: %+v, %v, want %+v", row.version, row.name, used[kind], err, row.want)
		}
	}
}

func TestPublishIsDecodedWithoutACopy(t *testing.T) {
	body := wire(t, `"topic" ( 26 "n" "v" ) 'payload'`)
	var p Publish
	if err := p.Decode(0, body, V5); err != nil {
		t.Fatal(err)
	}
	copy(body, bytes.Repeat([]byte{'X'}, len(body)))
	if string(p.Topic) != "XXXXX" || string(p.Payload) != "XXXXXXX" || p.Props[0] != 'X' {
		t.Errorf("%+v is not a view of its body", p)
	}
}

func TestCheckFormatLooksAtThePayload(t *testing.T) {
	for _, c := range []struct {
		body string
		code ReasonCode
	}{
		{`"t" ( 01 01 ) 'text'`, Success},
		{`"t" ( 01 01 ) C3A9`, Success},
		{`"t" ( 01 01 ) FF`, PayloadFormatInvalid},
		{`"t" ( 01 00 ) FF`, Success},
		{`"t" 00 FF`, Success},
	} {
		var p Publish
		if err := p.Decode(0, wire(t, c.body), V5); err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		err := p.CheckFormat()
		if code, _ := codeOf(err); code != c.code {
			t.Errorf("CheckFormat of %s = %v, want %q", c.body, err, c.code)
		}
	}
}
