package mqttwire

import "fmt"

// Type is a control packet type (section 2.1.2).
type Type byte

const (
	TypeConnect Type = 1 + iota
	TypeConnack
	TypePublish
	TypePuback
	TypePubrec
	TypePubrel
	TypePubcomp
	TypeSubscribe
	TypeSuback
	TypeUnsubscribe
	TypeUnsuback
	TypePingreq
	TypePingresp
	TypeDisconnect
	TypeAuth
)

var typeNames = [16]string{
	"type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String is the packet's name as the specification writes it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", byte(t))
}

// Version is a protocol level, without the bridge bit.
type Version byte

const (
	V31  Version = 3
	V311 Version = 4
	V5   Version = 5
)

// String is the version as people say it.
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5"
	}
	return fmt.Sprintf("level %d", byte(v))
}

// Packet is one packet, not yet decoded.
type Packet struct {
	Type  Type
	Flags byte   // low four bits of the first byte, checked
	Body  []byte // view into the reader's buffer
}

const (
	// headerMax is the first byte and the remaining length.
	headerMax = 5
	// remainingMax is what four bytes of remaining length can say.
	remainingMax = 1<<28 - 1
	// stringMax is what the 16-bit length of a string can say.
	stringMax = 1<<16 - 1
)

const (
	flagRetain = 1 << 0
	flagDup    = 1 << 3
)

// checkFlags checks the flags of the fixed header (section 2.1.3). MQTT 3.1
// calls bits "not used" that later versions reserve, and lets a client set DUP
// when it repeats a SUBSCRIBE, UNSUBSCRIBE or PUBREL (3.1, section 2.1). The
// version is 0 as long as no CONNECT has told it.
func checkFlags(t Type, flags byte, v Version) *Error {
	ok := true
	switch t {
	case 0:
		return errorf(MalformedPacket, "packet type 0 is reserved")
	case TypePublish:
		qos := flags >> 1 & 3
		ok = qos <= 2 && (qos > 0 || flags&flagDup == 0 || v == V31)
	case TypePubrel, TypeSubscribe, TypeUnsubscribe:
		ok = flags == 2 || v == V31 && flags&6 == 2
	case TypeAuth:
		if v == V31 || v == V311 {
			return errorf(MalformedPacket, "packet type 15 is reserved in MQTT %s", v)
		}
		ok = flags == 0
	default:
		ok = flags == 0 || v == V31
	}
	if !ok {
		return errorf(MalformedPacket, "%s: flags %04b", t, flags)
	}
	return nil
}
