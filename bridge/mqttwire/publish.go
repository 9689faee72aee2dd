package mqttwire

import (
	"encoding/binary"
	"unicode/utf8"
)

// Publish is a message as it came in (section 3.3). All slices are views.
type Publish struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    []byte // empty only if Props has a topic alias
	PacketID uint16 // 0 with QoS 0
	Props    Properties
	Payload  []byte
}

// Decode takes a PUBLISH from a client apart. Flags are those of the fixed
// header. It allocates nothing.
func (p *Publish) Decode(flags byte, body []byte, version Version) error {
	return p.decode(flags, body, version, place(TypePublish))
}

// DecodeFromServer takes a PUBLISH from a server apart. That one may carry
// subscription identifiers, which a client must not send [MQTT-3.3.4-6].
func (p *Publish) DecodeFromServer(flags byte, body []byte, version Version) error {
	return p.decode(flags, body, version, inServerPublish)
}

func (p *Publish) decode(flags byte, body []byte, version Version, at place) error {
	*p = Publish{}
	if err := checkFlags(TypePublish, flags, version); err != nil {
		return err
	}
	p.QoS = flags >> 1 & 3
	p.Dup = flags&flagDup != 0 && p.QoS > 0
	p.Retain = flags&flagRetain != 0

	c := cursor{rest: body, packet: TypePublish}
	p.Topic = c.text("topic")
	if p.QoS > 0 {
		p.PacketID = c.packetID()
	}
	if version == V5 {
		p.Props = c.properties(at)
	}
	p.checkTopic(&c, version)
	p.Payload, c.rest = c.rest, nil
	return c.end()
}

func (p *Publish) checkTopic(c *cursor, version Version) {
	switch {
	case c.refusal != nil:
	case len(p.Topic) == 0 && version == V5: // section 3.3.2.3.4
		if !p.Props.Has(TopicAlias) {
			c.refuse(ProtocolError, "neither topic nor topic alias")
		}
	case len(p.Topic) == 0 || hasWildcard(view(p.Topic)): // [MQTT-4.7.3-1] and [MQTT-3.3.2-2]
		c.refuse(TopicNameInvalid, "topic %q", p.Topic)
	}
}

// CheckFormat refuses a payload that says it is UTF-8 and is not (section
// 3.3.2.3.2). It is apart from Decode because the answer to it is a PUBACK or
// PUBREC, not a DISCONNECT, and because a server need not look.
func (p *Publish) CheckFormat() error {
	if format, _ := p.Props.Uint32(PayloadFormat); format == 1 && !utf8.Valid(p.Payload) {
		return errorf(PayloadFormatInvalid, "PUBLISH: payload is not the UTF-8 it says it is")
	}
	return nil
}

// PublishOut is a message to be sent.
type PublishOut struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    string // trusted to be a valid topic; empty only if Props has a topic alias
	PacketID uint16
	Props    Properties // MQTT 5 only
	Payload  []byte
	SizeMax  int // the receiver's Maximum Packet Size; 0 is no limit
}

// Size is how many bytes the whole packet will have.
func (p *PublishOut) Size(version Version) int {
	remaining := p.remaining(version)
	return 1 + varintLen(remaining) + remaining
}

func (p *PublishOut) remaining(version Version) int {
	n := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if version == V5 {
		n += varintLen(len(p.Props)) + len(p.Props)
	}
	return n
}

// AppendPublish appends a PUBLISH.
func AppendPublish(dst []byte, version Version, p *PublishOut) ([]byte, error) {
	dst, err := AppendPublishHead(dst, version, p)
	if err != nil {
		return dst, err
	}
	return append(dst, p.Payload...), nil
}

// AppendPublishHead appends all of a PUBLISH but its payload, for a caller that
// sends the payload from where it lies.
func AppendPublishHead(dst []byte, version Version, p *PublishOut) ([]byte, error) {
	remaining := p.remaining(version)
	if err := p.check(version, remaining); err != nil {
		return dst, err
	}
	first := byte(TypePublish)<<4 | bit(p.Dup, flagDup) | p.QoS<<1 | bit(p.Retain, flagRetain)
	dst = appendVarint(append(dst, first), remaining)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Topic)))
	dst = append(dst, p.Topic...)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if version == V5 {
		dst = append(appendVarint(dst, len(p.Props)), p.Props...)
	}
	return dst, nil
}

func (p *PublishOut) check(version Version, remaining int) error {
	const doing = "encode PUBLISH: "
	size := 1 + varintLen(remaining) + remaining
	switch {
	case len(p.Topic) > stringMax:
		return errorf(TopicNameInvalid, doing+"topic of %d bytes, at most %d fit", len(p.Topic), stringMax)
	case p.Topic == "" && (version != V5 || !p.Props.Has(TopicAlias)):
		return errorf(TopicNameInvalid, doing+"empty topic")
	case p.QoS > 2:
		return errorf(MalformedPacket, doing+"QoS %d", p.QoS)
	case p.QoS > 0 && p.PacketID == 0:
		return errorf(ProtocolError, doing+"packet identifier 0")
	case p.QoS == 0 && p.Dup: // [MQTT-3.3.1-2]
		return errorf(MalformedPacket, doing+"DUP with QoS 0")
	case remaining > remainingMax:
		return errorf(PacketTooLarge, doing+"body of %d bytes, at most %d fit", remaining, remainingMax)
	case p.SizeMax > 0 && size > p.SizeMax: // [MQTT-3.1.2-24]
		return errorf(PacketTooLarge, doing+"%d bytes, the receiver takes %d", size, p.SizeMax)
	}
	return nil
}
