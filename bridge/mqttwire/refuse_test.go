package mqttwire

import "testing"

type refusal struct {
	name    string
	version Version
	packet  string
	code    ReasonCode
}

func checkRefusals(t *testing.T, from sender, rows []refusal) {
	t.Helper()
	for _, row := range rows {
		_, decoded, err := decodeWire(wire(t, row.packet), row.version, from)
		if code, ok := codeOf(err); !ok || code != row.code {
			t.Errorf("MQTT %s, %s: decode(%s) = %+v, %v, want %q", row.version, row.name, row.packet, decoded, err, row.code)
		}
	}
}

func TestFixedHeadersAreRefused(t *testing.T) {
	checkRefusals(t, client, []refusal{
		{"type 0", V311, `00 00`, MalformedPacket},
		{"type 0 before CONNECT", 0, `00 00`, MalformedPacket},
		{"AUTH in 3.1.1", V311, `F0 00`, MalformedPacket},
		{"AUTH in 3.1", V31, `F0 00`, MalformedPacket},
		{"AUTH flags", V5, `F1 00`, MalformedPacket},
		{"CONNECT flags", 0, `11 ( "MQTT" 04 02 000A "c" )`, MalformedPacket},
		{"PUBLISH QoS 3", V311, `36 ( "t" 0001 )`, MalformedPacket},
		{"PUBLISH QoS 3", V31, `36 ( "t" 0001 )`, MalformedPacket},
		{"PUBLISH QoS 3", V5, `36 ( "t" 0001 00 )`, MalformedPacket},
		{"DUP with QoS 0", V311, `38 ( "t" )`, MalformedPacket},
		{"DUP with QoS 0", V5, `38 ( "t" 00 )`, MalformedPacket},
		{"PUBACK flags", V311, `42 ( 0001 )`, MalformedPacket},
		{"PUBREC flags", V5, `51 ( 0001 )`, MalformedPacket},
		{"PUBREL without its flag", V311, `60 ( 0001 )`, MalformedPacket},
		{"PUBREL without its flag", V31, `60 ( 0001 )`, MalformedPacket},
		{"PUBREL with DUP", V311, `6A ( 0001 )`, MalformedPacket},
		{"PUBCOMP flags", V5, `78 ( 0001 )`, MalformedPacket},
		{"SUBSCRIBE without its flag", V311, `80 ( 0001 "t" 00 )`, MalformedPacket},
		{"SUBSCRIBE with DUP", V5, `8A ( 0001 00 "t" 00 )`, MalformedPacket},
		{"UNSUBSCRIBE without its flag", V5, `A0 ( 0001 00 "t" )`, MalformedPacket},
		{"PINGREQ flags", V311, `C1 00`, MalformedPacket},
		{"DISCONNECT flags", V311, `E8 00`, MalformedPacket},
		{"remaining length of 5 bytes", V311, `C0 80 80 80 80 00`, MalformedPacket},
		{"remaining length of 5 bytes", V31, `C0 80 80 80 80 00`, MalformedPacket},
		{"remaining length of 5 bytes", V5, `C0 80 80 80 80 00`, MalformedPacket},
		{"remaining length of 21 bytes", V311, `C0 8080808080 8080808080 8080808080 8080808080 00`, MalformedPacket},
		{"remaining length that never ends", V311, `C0 FF FF FF FF`, MalformedPacket},
		{"remaining length not minimal", V5, `C0 80 00`, MalformedPacket},
		{"packet over the limit", V311, `30 FF FF FF 7F`, PacketTooLarge},
		{"packet just over the limit", V311, `30 80 80 40`, PacketTooLarge},
	})
}

func TestConnectIsRefused(t *testing.T) {
	checkRefusals(t, client, []refusal{
		{"empty body", 0, `10 00`, MalformedPacket},
		{"name cut short", 0, `10 ( 0004 'MQ' )`, MalformedPacket},
		{"no level", 0, `10 ( "MQTT" )`, MalformedPacket},
		{"unknown name", 0, `10 ( "HTTP" 04 02 000A "c" )`, UnsupportedProtocolVersion},
		{"name in lower case", 0, `10 ( "mqtt" 04 02 000A "c" )`, UnsupportedProtocolVersion},
		{"level 6", 0, `10 ( "MQTT" 06 02 000A 00 "c" )`, UnsupportedProtocolVersion},
		{"level 3 under the new name", 0, `10 ( "MQTT" 03 02 000A "c" )`, UnsupportedProtocolVersion},
		{"level 4 under the old name", 0, `10 ( "MQIsdp" 04 02 000A "c" )`, UnsupportedProtocolVersion},
		{"bridge bit in MQTT 5", 0, `10 ( "MQTT" 85 02 000A 00 "c" )`, UnsupportedProtocolVersion},
		{"no flags", 0, `10 ( "MQTT" 04 )`, MalformedPacket},
		{"keep alive cut short", 0, `10 ( "MQTT" 04 02 00 )`, MalformedPacket},
		{"no client id", 0, `10 ( "MQTT" 04 02 000A )`, MalformedPacket},

		{"reserved flag", V311, `10 ( "MQTT" 04 03 000A "c" )`, MalformedPacket},
		{"reserved flag", V5, `10 ( "MQTT" 05 03 000A 00 "c" )`, MalformedPacket},
		{"will QoS without will", V311, `10 ( "MQTT" 04 0A 000A "c" )`, MalformedPacket},
		{"will QoS without will", V5, `10 ( "MQTT" 05 0A 000A 00 "c" )`, MalformedPacket},
		{"will retain without will", V311, `10 ( "MQTT" 04 22 000A "c" )`, MalformedPacket},
		{"will QoS 3", V311, `10 ( "MQTT" 04 1E 000A "c" "w" "" )`, MalformedPacket},
		{"will QoS 3", V31, `10 ( "MQIsdp" 03 1E 000A "c" "w" "" )`, MalformedPacket},
		{"password without user name", V311, `10 ( "MQTT" 04 42 000A "c" "p" )`, MalformedPacket},
		{"password without user name", V31, `10 ( "MQIsdp" 03 42 000A "c" "p" )`, MalformedPacket},
		{"user name missing", V311, `10 ( "MQTT" 04 82 000A "c" )`, MalformedPacket},
		{"password missing", V311, `10 ( "MQTT" 04 C2 000A "c" "u" )`, MalformedPacket},
		{"will missing", V311, `10 ( "MQTT" 04 06 000A "c" )`, MalformedPacket},
		{"will payload missing", V311, `10 ( "MQTT" 04 06 000A "c" "w" )`, MalformedPacket},
		{"will topic with #", V311, `10 ( "MQTT" 04 06 000A "c" "#" "x" )`, TopicNameInvalid},
		{"will topic with +", V5, `10 ( "MQTT" 05 06 000A 00 "c" 00 "a/+" "x" )`, TopicNameInvalid},
		{"will topic empty", V311, `10 ( "MQTT" 04 06 000A "c" "" "x" )`, TopicNameInvalid},
		{"trailing bytes", V311, `10 ( "MQTT" 04 02 000A "c" 00 )`, MalformedPacket},
		{"trailing bytes", V31, `10 ( "MQIsdp" 03 02 000A "c" "u" )`, MalformedPacket},
		{"trailing bytes", V5, `10 ( "MQTT" 05 02 000A 00 "c" 00 )`, MalformedPacket},
		{"client id with U+0000", V311, `10 ( "MQTT" 04 02 000A "a~b" )`, MalformedPacket},
		{"client id with a surrogate", V311, `10 ( "MQTT" 04 02 000A 0003 EDA080 )`, MalformedPacket},
		{"client id overlong", V5, `10 ( "MQTT" 05 02 000A 00 0002 C080 )`, MalformedPacket},
		{"user name not UTF-8", V311, `10 ( "MQTT" 04 82 000A "c" 0001 FF )`, MalformedPacket},
		{"empty client id to keep a session", V311, `10 ( "MQTT" 04 00 000A "" )`, ClientIDNotValid},
		{"empty client id", V31, `10 ( "MQIsdp" 03 02 000A "" )`, ClientIDNotValid},

		{"no properties", V5, `10 ( "MQTT" 05 02 000A )`, MalformedPacket},
		{"no will properties", V5, `10 ( "MQTT" 05 06 000A 00 "c" )`, MalformedPacket},
		{"receive maximum 0", V5, `10 ( "MQTT" 05 02 000A ( 21 0000 ) "c" )`, ProtocolError},
		{"maximum packet size 0", V5, `10 ( "MQTT" 05 02 000A ( 27 00000000 ) "c" )`, ProtocolError},
		{"request problem information 2", V5, `10 ( "MQTT" 05 02 000A ( 17 02 ) "c" )`, ProtocolError},
		{"request response information 2", V5, `10 ( "MQTT" 05 02 000A ( 19 02 ) "c" )`, ProtocolError},
		{"session expiry twice", V5, `10 ( "MQTT" 05 02 000A ( 11 00000001 11 00000001 ) "c" )`, ProtocolError},
		{"session expiry cut short", V5, `10 ( "MQTT" 05 02 000A ( 11 000001 ) "c" )`, MalformedPacket},
		{"authentication data without method", V5, `10 ( "MQTT" 05 02 000A ( 16 "d" ) "c" )`, ProtocolError},
		{"a property of PUBLISH", V5, `10 ( "MQTT" 05 02 000A ( 23 0001 ) "c" )`, MalformedPacket},
		{"a property of the will", V5, `10 ( "MQTT" 05 02 000A ( 18 00000001 ) "c" )`, MalformedPacket},
		{"a property of CONNACK", V5, `10 ( "MQTT" 05 02 000A ( 12 "x" ) "c" )`, MalformedPacket},
		{"a property of CONNECT in the will", V5, `10 ( "MQTT" 05 06 000A 00 "c" ( 21 0001 ) "w" "" )`, MalformedPacket},
		{"will delay twice", V5, `10 ( "MQTT" 05 06 000A 00 "c" ( 18 00000001 18 00000001 ) "w" "" )`, ProtocolError},
		{"will payload format 2", V5, `10 ( "MQTT" 05 06 000A 00 "c" ( 01 02 ) "w" "" )`, ProtocolError},
		{"unknown property", V5, `10 ( "MQTT" 05 02 000A ( 04 00 ) "c" )`, MalformedPacket},
		{"unknown large property", V5, `10 ( "MQTT" 05 02 000A ( FF 01 ) "c" )`, MalformedPacket},
	})
}

func TestPublishIsRefused(t *testing.T) {
	checkRefusals(t, client, []refusal{
		{"empty body", V311, `30 00`, MalformedPacket},
		{"topic cut short", V311, `30 ( 0005 'abc' )`, MalformedPacket},
		{"empty topic", V311, `30 ( "" 'x' )`, TopicNameInvalid},
		{"empty topic", V31, `30 ( "" 'x' )`, TopicNameInvalid},
		{"empty topic without alias", V5, `30 ( "" 00 'x' )`, ProtocolError},
		{"topic with #", V311, `30 ( "a/#" 'x' )`, TopicNameInvalid},
		{"topic with +", V311, `30 ( "a/+/b" 'x' )`, TopicNameInvalid},
		{"topic with +", V31, `30 ( "+" 'x' )`, TopicNameInvalid},
		{"topic with # in a word", V5, `30 ( "a#b" 00 'x' )`, TopicNameInvalid},
		{"topic with U+0000", V311, `30 ( "a~b" 'x' )`, MalformedPacket},
		{"topic not UTF-8", V5, `30 ( 0001 80 00 )`, MalformedPacket},
		{"packet id 0", V311, `32 ( "t" 0000 'x' )`, ProtocolError},
		{"packet id 0", V31, `34 ( "t" 0000 'x' )`, ProtocolError},
		{"packet id 0", V5, `34 ( "t" 0000 00 'x' )`, ProtocolError},
		{"packet id cut short", V311, `32 ( "t" 00 )`, MalformedPacket},
		{"packet id missing", V311, `32 ( "t" )`, MalformedPacket},
		{"no property length", V5, `30 ( "t" )`, MalformedPacket},
		{"property length not minimal", V5, `30 ( "t" 8000 'x' )`, MalformedPacket},
		{"property length of 5 bytes", V5, `30 ( "t" 8080808000 'x' )`, MalformedPacket},
		{"property length cut short", V5, `30 ( "t" 80 )`, MalformedPacket},
		{"properties longer than the packet", V5, `30 ( "t" 05 01 01 )`, MalformedPacket},
		{"property longer than the property length", V5, `30 ( "t" 03 0300 05 'abcde' )`, MalformedPacket},
		{"number longer than the property length", V5, `30 ( "t" 02 0200 000001 'x' )`, MalformedPacket},
		{"user property without a value", V5, `30 ( "t" ( 26 "n" ) 'x' )`, MalformedPacket},
		{"content type twice", V5, `30 ( "t" ( 03 "a" 03 "a" ) 'x' )`, ProtocolError},
		{"topic alias twice", V5, `30 ( "t" ( 23 0001 23 0002 ) 'x' )`, ProtocolError},
		{"correlation data twice", V5, `30 ( "t" ( 09 "a" 09 "a" ) 'x' )`, ProtocolError},
		{"payload format 9", V5, `30 ( "t" ( 01 09 ) 'x' )`, ProtocolError},
		{"topic alias 0", V5, `30 ( "t" ( 23 0000 ) 'x' )`, TopicAliasInvalid},
		{"response topic with a wildcard", V5, `30 ( "t" ( 08 "a/#" ) 'x' )`, TopicNameInvalid},
		{"response topic empty", V5, `30 ( "t" ( 08 "" ) 'x' )`, TopicNameInvalid},
		{"content type with U+0000", V5, `30 ( "t" ( 03 "a~" ) 'x' )`, MalformedPacket},
		{"user property name not UTF-8", V5, `30 ( "t" ( 26 0001 FF "v" ) 'x' )`, MalformedPacket},
		{"user property value with U+0000", V5, `30 ( "t" ( 26 "n" "~" ) 'x' )`, MalformedPacket},
		{"subscription id from a client", V5, `30 ( "t" ( 0B 01 ) 'x' )`, ProtocolError},
		{"a property of CONNECT", V5, `30 ( "t" ( 11 00000001 ) 'x' )`, MalformedPacket},
		{"reason string", V5, `30 ( "t" ( 1F "r" ) 'x' )`, MalformedPacket},
		{"property 0", V5, `30 ( "t" ( 00 ) 'x' )`, MalformedPacket},
	})
}

func TestAcksAreRefused(t *testing.T) {
	for _, kind := range []struct{ name, first string }{{"PUBACK", "40"}, {"PUBREC", "50"}, {"PUBREL", "62"}, {"PUBCOMP", "70"}} {
		checkRefusals(t, client, []refusal{
			{kind.name + " empty", V311, kind.first + `00`, MalformedPacket},
			{kind.name + " id cut short", V5, kind.first + `( 00 )`, MalformedPacket},
			{kind.name + " id 0", V311, kind.first + `( 0000 )`, ProtocolError},
			{kind.name + " trailing bytes", V311, kind.first + `( 0001 00 )`, MalformedPacket},
			{kind.name + " trailing bytes", V31, kind.first + `( 0001 00 )`, MalformedPacket},
			{kind.name + " trailing bytes", V5, kind.first + `( 0001 00 00 00 )`, MalformedPacket},
			{kind.name + " unknown reason", V5, kind.first + `( 0001 01 )`, ProtocolError},
			{kind.name + " property length too long", V5, kind.first + `( 0001 00 05 1F )`, MalformedPacket},
			{kind.name + " reason string twice", V5, kind.first + `( 0001 00 ( 1F "a" 1F "b" ) )`, ProtocolError},
			{kind.name + " foreign property", V5, kind.first + `( 0001 00 ( 23 0001 ) )`, MalformedPacket},
		})
	}
	checkRefusals(t, client, []refusal{
		{"PUBACK with a reason of PUBREL", V5, `40 ( 0001 92 )`, ProtocolError},
		{"PUBREL with a reason of PUBACK", V5, `62 ( 0001 97 )`, ProtocolError},
	})
}

func TestSubscribeIsRefused(t *testing.T) {
	checkRefusals(t, client, []refusal{
		{"empty body", V311, `82 00`, MalformedPacket},
		{"packet id 0", V311, `82 ( 0000 "t" 00 )`, ProtocolError},
		{"no filter", V311, `82 ( 0001 )`, ProtocolError},
		{"no filter", V31, `82 ( 0001 )`, ProtocolError},
		{"no filter", V5, `82 ( 0001 00 )`, ProtocolError},
		{"no properties", V5, `82 ( 0001 )`, MalformedPacket},
		{"options missing", V5, `82 ( 0001 00 "t" )`, MalformedPacket},
		{"options missing", V311, `82 ( 0001 "t" )`, MalformedPacket},
		{"options of the second missing", V5, `82 ( 0001 00 "t" 00 "u" )`, MalformedPacket},
		{"filter cut short", V5, `82 ( 0001 00 0005 'a' )`, MalformedPacket},
		{"QoS 3", V311, `82 ( 0001 "t" 03 )`, MalformedPacket},
		{"QoS 3", V31, `82 ( 0001 "t" 03 )`, MalformedPacket},
		{"QoS 3", V5, `82 ( 0001 00 "t" 03 )`, ProtocolError},
		{"reserved bits", V311, `82 ( 0001 "t" 04 )`, MalformedPacket},
		{"reserved bits", V5, `82 ( 0001 00 "t" 40 )`, MalformedPacket},
		{"reserved bits", V5, `82 ( 0001 00 "t" 81 )`, MalformedPacket},
		{"retain handling 3", V5, `82 ( 0001 00 "t" 30 )`, ProtocolError},
		{"empty filter", V311, `82 ( 0001 "" 00 )`, TopicFilterInvalid},
		{"empty filter", V5, `82 ( 0001 00 "" 00 )`, TopicFilterInvalid},
		{"# in the middle", V311, `82 ( 0001 "a/#/b" 00 )`, TopicFilterInvalid},
		{"# in the middle", V5, `82 ( 0001 00 "a/#/b" 00 )`, TopicFilterInvalid},
		{"# after a word", V311, `82 ( 0001 "a#" 00 )`, TopicFilterInvalid},
		{"+ before a word", V311, `82 ( 0001 "+a" 00 )`, TopicFilterInvalid},
		{"+ after a word", V31, `82 ( 0001 "a/b+" 00 )`, TopicFilterInvalid},
		{"second filter wrong", V311, `82 ( 0001 "t" 00 "##" 00 )`, TopicFilterInvalid},
		{"filter with U+0000", V311, `82 ( 0001 "a~" 00 )`, MalformedPacket},
		{"share without a filter", V5, `82 ( 0001 00 "$share/g" 00 )`, TopicFilterInvalid},
		{"share with an empty filter", V5, `82 ( 0001 00 "$share/g/" 00 )`, TopicFilterInvalid},
		{"share without a group", V5, `82 ( 0001 00 "$share//t" 00 )`, TopicFilterInvalid},
		{"share with a wildcard group", V5, `82 ( 0001 00 "$share/+/t" 00 )`, TopicFilterInvalid},
		{"share with a wrong filter", V5, `82 ( 0001 00 "$share/g/a#" 00 )`, TopicFilterInvalid},
		{"share with no local", V5, `82 ( 0001 00 "$share/g/t" 04 )`, ProtocolError},
		{"subscription id 0", V5, `82 ( 0001 ( 0B 00 ) "t" 00 )`, ProtocolError},
		{"subscription id twice", V5, `82 ( 0001 ( 0B 01 0B 02 ) "t" 00 )`, ProtocolError},
		{"subscription id of 5 bytes", V5, `82 ( 0001 ( 0B 8080808001 ) "t" 00 )`, MalformedPacket},
		{"subscription id not minimal", V5, `82 ( 0001 ( 0B 8100 ) "t" 00 )`, MalformedPacket},
		{"foreign property", V5, `82 ( 0001 ( 1F "r" ) "t" 00 )`, MalformedPacket},
	})
}

func TestUnsubscribeIsRefused(t *testing.T) {
	checkRefusals(t, client, []refusal{
		{"packet id 0", V311, `A2 ( 0000 "t" )`, ProtocolError},
		{"no filter", V311, `A2 ( 0001 )`, ProtocolError},
		{"no filter", V5, `A2 ( 0001 00 )`, ProtocolError},
		{"no properties", V5, `A2 ( 0001 )`, MalformedPacket},
		{"filter cut short", V311, `A2 ( 0001 "t" 00 )`, MalformedPacket},
		{"empty filter", V5, `A2 ( 0001 00 "" )`, TopicFilterInvalid},
		{"# in the middle", V311, `A2 ( 0001 "#/a" )`, TopicFilterInvalid},
		{"subscription id", V5, `A2 ( 0001 ( 0B 01 ) "t" )`, MalformedPacket},
	})
}

func TestTheRestIsRefused(t *testing.T) {
	checkRefusals(t, client, []refusal{
		{"PINGREQ with a body", V311, `C0 ( 00 )`, MalformedPacket},
		{"DISCONNECT with a body", V311, `E0 ( 00 )`, MalformedPacket},
		{"DISCONNECT with a body", V31, `E0 ( 00 )`, MalformedPacket},
		{"DISCONNECT with a server's reason", V5, `E0 ( 8E )`, ProtocolError},
		{"DISCONNECT with an unknown reason", V5, `E0 ( 05 )`, ProtocolError},
		{"DISCONNECT with trailing bytes", V5, `E0 ( 00 00 00 )`, MalformedPacket},
		{"DISCONNECT with a server reference", V5, `E0 ( 00 ( 1C "s" ) )`, ProtocolError},
		{"DISCONNECT with session expiry twice", V5, `E0 ( 00 ( 11 00000001 11 00000001 ) )`, ProtocolError},
		{"AUTH with an unknown reason", V5, `F0 ( 17 ( 15 "m" ) )`, ProtocolError},
		{"AUTH without properties", V5, `F0 ( 18 )`, MalformedPacket},
		{"AUTH without a method", V5, `F0 ( 18 00 )`, ProtocolError},
		{"AUTH with data but no method", V5, `F0 ( 18 ( 16 "d" ) )`, ProtocolError},
		{"AUTH with trailing bytes", V5, `F0 ( 18 ( 15 "m" ) 00 )`, MalformedPacket},
	})
}

func TestServersPacketsAreRefused(t *testing.T) {
	checkRefusals(t, server, []refusal{
		{"CONNACK empty", V311, `20 00`, MalformedPacket},
		{"CONNACK flags", V311, `20 ( 02 00 )`, MalformedPacket},
		{"CONNACK return code 6", V311, `20 ( 00 06 )`, ProtocolError},
		{"CONNACK trailing bytes", V311, `20 ( 00 00 00 )`, MalformedPacket},
		{"CONNACK session present with a failure", V311, `20 ( 01 05 )`, ProtocolError},
		{"CONNACK session present with a failure", V5, `20 ( 01 87 00 )`, ProtocolError},
		{"CONNACK without properties", V5, `20 ( 00 00 )`, MalformedPacket},
		{"CONNACK unknown reason", V5, `20 ( 00 05 00 )`, ProtocolError},
		{"CONNACK maximum QoS 2", V5, `20 ( 00 00 ( 24 02 ) )`, ProtocolError},
		{"CONNACK retain available 2", V5, `20 ( 00 00 ( 25 02 ) )`, ProtocolError},
		{"CONNACK assigned client id twice", V5, `20 ( 00 00 ( 12 "a" 12 "a" ) )`, ProtocolError},
		{"PUBLISH subscription id 0", V5, `30 ( "t" ( 0B 00 ) )`, ProtocolError},
		{"SUBACK id 0", V311, `90 ( 0000 00 )`, ProtocolError},
		{"SUBACK without reasons", V311, `90 ( 0001 )`, ProtocolError},
		{"SUBACK 3", V311, `90 ( 0001 03 )`, ProtocolError},
		{"SUBACK failure in 3.1", V31, `90 ( 0001 80 )`, ProtocolError},
		{"SUBACK failure of MQTT 5", V311, `90 ( 0001 87 )`, ProtocolError},
		{"SUBACK without reasons", V5, `90 ( 0001 00 )`, ProtocolError},
		{"UNSUBACK trailing bytes", V311, `B0 ( 0001 00 )`, MalformedPacket},
		{"UNSUBACK without reasons", V5, `B0 ( 0001 00 )`, ProtocolError},
		{"PINGRESP with a body", V5, `D0 ( 00 )`, MalformedPacket},
		{"DISCONNECT with a client's reason", V5, `E0 ( 04 )`, ProtocolError},
		{"DISCONNECT with session expiry", V5, `E0 ( 8B ( 11 00000001 ) )`, ProtocolError},
	})
}

func TestTooManyFiltersAreRefused(t *testing.T) {
	body := []byte{0, 1}
	for range FiltersMax {
		body = append(body, 0, 1, 'a', 0)
	}
	var p Subscribe
	if err := p.Decode(body, V311); err != nil || len(p.Filters) != FiltersMax {
		t.Errorf("SUBSCRIBE with %d filters: %v", FiltersMax, err)
	}
	err := p.Decode(append(body, 0, 1, 'a', 0), V311)
	if code, _ := codeOf(err); code != QuotaExceeded {
		t.Errorf("SUBSCRIBE with one filter too many: %v, want %q", err, QuotaExceeded)
	}
}

func TestRefusedConnectTellsTheVersionToAnswerIn(t *testing.T) {
	for _, c := range []struct {
		packet string
		want   Version
	}{
		{`"HTTP" 04`, 0},
		{`"MQIsdp" 07 02 000A "c"`, V31},
		{`"MQTT" 03 02 000A "c"`, V311},
		{`"MQTT" 06 02 000A 00 "c"`, V5},
		{`"MQTT" 04 03 000A "c"`, V311},
		{`"MQTT" 05 02 000A (21 0000) "c"`, V5},
	} {
		var p Connect
		if err := p.Decode(wire(t, c.packet)); err == nil || p.Version != c.want {
			t.Errorf("CONNECT %s: version %s, error %v, want version %s and an error", c.packet, p.Version, err, c.want)
		}
	}
}
