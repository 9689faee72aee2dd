package mqttwire

import (
	"bytes"
	"strings"
	"testing"
)

var longText = strings.Repeat("x", stringMax+1)

func TestWhatDoesNotFitIsNotWritten(t *testing.T) {
	filters := []Subscription{{Filter: "t"}}
	for _, c := range []struct {
		name   string
		append func(dst []byte) ([]byte, error)
		code   ReasonCode
	}{
		{"PUBLISH long topic", publishing(PublishOut{Topic: strings.Repeat("x", 70_000)}), TopicNameInvalid},
		{"PUBLISH topic one too long", publishing(PublishOut{Topic: longText}), TopicNameInvalid},
		{"PUBLISH empty topic", publishing(PublishOut{}), TopicNameInvalid},
		{"PUBLISH QoS 3", publishing(PublishOut{Topic: "t", QoS: 3, PacketID: 1}), MalformedPacket},
		{"PUBLISH without packet id", publishing(PublishOut{Topic: "t", QoS: 1}), ProtocolError},
		{"PUBLISH QoS 0 again", publishing(PublishOut{Topic: "t", Dup: true}), MalformedPacket},
		{"PUBLISH over the receiver's limit", publishing(PublishOut{Topic: "t", Payload: make([]byte, 96), SizeMax: 100}), PacketTooLarge},
		{"PUBLISH over any limit", publishing(PublishOut{Topic: "t", Payload: make([]byte, remainingMax)}), PacketTooLarge},
		{"CONNECT client id", func(dst []byte) ([]byte, error) { return AppendConnect(dst, &Connect{ClientID: longText}) }, MalformedPacket},
		{"CONNECT will payload", func(dst []byte) ([]byte, error) {
			return AppendConnect(dst, &Connect{HasWill: true, Will: Will{Topic: "t", Payload: []byte(longText)}})
		}, MalformedPacket},
		{"CONNECT user name", func(dst []byte) ([]byte, error) {
			return AppendConnect(dst, &Connect{HasUsername: true, Username: longText})
		}, MalformedPacket},
		{"CONNECT password", func(dst []byte) ([]byte, error) {
			return AppendConnect(dst, &Connect{HasPassword: true, Password: []byte(longText)})
		}, MalformedPacket},
		{"CONNACK no return code", func(dst []byte) ([]byte, error) {
			return AppendConnack(dst, V311, &Connack{Reason: MalformedPacket})
		}, ProtocolError},
		{"PUBACK without packet id", func(dst []byte) ([]byte, error) { return AppendAck(dst, TypePuback, V5, &Ack{}) }, ProtocolError},
		{"SUBSCRIBE without packet id", func(dst []byte) ([]byte, error) {
			return AppendSubscribe(dst, V5, &Subscribe{Filters: filters})
		}, ProtocolError},
		{"SUBSCRIBE to nothing", func(dst []byte) ([]byte, error) { return AppendSubscribe(dst, V5, &Subscribe{PacketID: 1}) }, ProtocolError},
		{"SUBSCRIBE long filter", func(dst []byte) ([]byte, error) {
			return AppendSubscribe(dst, V5, &Subscribe{PacketID: 1, Filters: []Subscription{{Filter: longText}}})
		}, MalformedPacket},
		{"UNSUBSCRIBE from nothing", func(dst []byte) ([]byte, error) { return AppendUnsubscribe(dst, V5, &Unsubscribe{PacketID: 1}) }, ProtocolError},
		{"UNSUBSCRIBE long filter", func(dst []byte) ([]byte, error) {
			return AppendUnsubscribe(dst, V5, &Unsubscribe{PacketID: 1, Filters: []string{longText}})
		}, MalformedPacket},
		{"SUBACK without reasons", func(dst []byte) ([]byte, error) { return AppendSuback(dst, V5, &Suback{PacketID: 1}) }, ProtocolError},
		{"UNSUBACK without reasons", func(dst []byte) ([]byte, error) { return AppendUnsuback(dst, V5, &Unsuback{PacketID: 1}) }, ProtocolError},
	} {
		got, err := c.append([]byte("before"))
		if code, _ := codeOf(err); code != c.code || string(got) != "before" {
			t.Errorf("%s: %.20q, %v, want only what was before and %q", c.name, got, err, c.code)
		}
	}
}

func publishing(p PublishOut) func([]byte) ([]byte, error) {
	return func(dst []byte) ([]byte, error) { return AppendPublish(dst, V311, &p) }
}

func TestAcksAreAsShortAsCanBe(t *testing.T) {
	props := Properties("\x1f\x00\x01r")
	for _, c := range []struct {
		kind    Type
		version Version
		ack     Ack
		want    string
	}{
		{TypePuback, V311, Ack{PacketID: 1}, `40 ( 0001 )`},
		{TypePuback, V311, Ack{PacketID: 1, Reason: QuotaExceeded, Props: props}, `40 ( 0001 )`},
		{TypePuback, V5, Ack{PacketID: 1}, `40 ( 0001 )`},
		{TypePubrec, V5, Ack{PacketID: 1, Reason: QuotaExceeded}, `50 ( 0001 97 )`},
		{TypePubrel, V5, Ack{PacketID: 1, Props: props}, `62 ( 0001 00 ( 1F "r" ) )`},
		{TypePubcomp, V5, Ack{PacketID: 1, Reason: PacketIDNotFound}, `70 ( 0001 92 )`},
	} {
		if got, err := AppendAck(nil, c.kind, c.version, &c.ack); err != nil || !bytes.Equal(got, wire(t, c.want)) {
			t.Errorf("MQTT %s: AppendAck(%s, %+v) = %x, %v, want %s", c.version, c.kind, c.ack, got, err, c.want)
		}
	}
}

func TestConnackSpeaksEachVersion(t *testing.T) {
	for _, c := range []struct {
		version Version
		connack Connack
		want    string
	}{
		{V31, Connack{SessionPresent: true}, `20 ( 00 00 )`},
		{V311, Connack{SessionPresent: true}, `20 ( 01 00 )`},
		{V311, Connack{SessionPresent: true, Reason: NotAuthorized}, `20 ( 00 05 )`},
		{V311, Connack{Reason: UnsupportedProtocolVersion}, `20 ( 00 01 )`},
		{0, Connack{Reason: UnsupportedProtocolVersion}, `20 ( 00 01 )`},
		{V5, Connack{SessionPresent: true, Props: Properties("\x24\x01")}, `20 ( 01 00 ( 24 01 ) )`},
		{V5, Connack{Reason: Banned}, `20 ( 00 8A 00 )`},
	} {
		if got, err := AppendConnack(nil, c.version, &c.connack); err != nil || !bytes.Equal(got, wire(t, c.want)) {
			t.Errorf("MQTT %s: AppendConnack(%+v) = %x, %v, want %s", c.version, c.connack, got, err, c.want)
		}
	}
}

func TestSubackFailuresSpeakEachVersion(t *testing.T) {
	suback := &Suback{PacketID: 1, Reasons: []ReasonCode{GrantedQoS2, NotAuthorized}}
	for version, want := range map[Version]string{
		V31:  `90 ( 0001 02 00 )`,
		V311: `90 ( 0001 02 80 )`,
		V5:   `90 ( 0001 00 02 87 )`,
	} {
		if got, err := AppendSuback(nil, version, suback); err != nil || !bytes.Equal(got, wire(t, want)) {
			t.Errorf("MQTT %s: AppendSuback = %x, %v, want %s", version, got, err, want)
		}
	}
}

func TestPublishSizeIsToldBeforehand(t *testing.T) {
	for _, version := range []Version{V31, V311, V5} {
		for _, payload := range []int{0, 1, 100, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 16370, 16384, 2097140, 2097152} {
			for qos := range byte(3) {
				out := PublishOut{QoS: qos, Topic: "t", Payload: make([]byte, payload), Props: Properties("\x01\x01")}
				if qos > 0 {
					out.PacketID = 1
				}
				out.SizeMax = out.Size(version) // just fits
				got, err := AppendPublish(nil, version, &out)
				if err != nil || len(got) != out.Size(version) {
					t.Errorf("MQTT %s, QoS %d, payload %d: %d bytes, %v, want %d", version, qos, payload, len(got), err, out.Size(version))
				}
				head, err := AppendPublishHead(nil, version, &out)
				if err != nil || len(head) != len(got)-payload {
					t.Errorf("MQTT %s, QoS %d, payload %d: head of %d bytes, %v, want %d", version, qos, payload, len(head), err, len(got)-payload)
				}
			}
		}
	}
}

func TestPacketsAreAppended(t *testing.T) {
	dst := AppendPingresp(AppendPingreq([]byte("before ")))
	dst, err := AppendSuback(dst, V311, &Suback{PacketID: 1, Reasons: []ReasonCode{0}})
	if err != nil || string(dst) != "before \xc0\x00\xd0\x00\x90\x03\x00\x01\x00" {
		t.Errorf("appended %q, %v", dst, err)
	}
}

func TestReturnCodes(t *testing.T) {
	for reason, want := range map[ReasonCode]int{
		Success: 0, UnsupportedProtocolVersion: 1, ClientIDNotValid: 2, ServerUnavailable: 3, ServerBusy: 3, QuotaExceeded: 3,
		BadUserNameOrPassword: 4, NotAuthorized: 5, Banned: 5, MalformedPacket: -1, ProtocolError: -1, PacketTooLarge: -1,
	} {
		code, ok := reason.ReturnCode()
		if ok != (want >= 0) || ok && int(code) != want {
			t.Errorf("ReturnCode of %q = %d, %v, want %d", reason, code, ok, want)
		}
	}
	for code := range len(returnCodes) {
		if back, ok := ReasonCode(returnCodes[code]).ReturnCode(); !ok || int(back) != code {
			t.Errorf("return code %d comes back as %d, %v", code, back, ok)
		}
	}
}

func TestErrorsSayWhatWasRefused(t *testing.T) {
	_, _, err := decodeWire(wire(t, `82 ( 0001 00 "a/#/b" 00 )`), V5, client)
	if want := `topic filter invalid: SUBSCRIBE: topic filter "a/#/b"`; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	for value, want := range map[string]string{
		Type(20).String():         "type 20",
		Version(9).String():       "level 9",
		ReasonCode(0x7f).String(): "reason 0x7f",
		PropertyID(0x7f).String(): "property 0x7f",
		TypeAuth.String():         "AUTH",
	} {
		if value != want {
			t.Errorf("name %q, want %q", value, want)
		}
	}
}
