package mqttwire

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7).
type Ack struct {
	PacketID uint16
	Reason   ReasonCode // always Success before MQTT 5
	Props    Properties
}

// Decode takes an acknowledgement of the given type apart. MQTT 5 lets the
// sender leave out an empty property list, and then a reason of Success.
func (p *Ack) Decode(kind Type, body []byte, version Version) error {
	*p = Ack{}
	c := cursor{rest: body, packet: kind}
	p.PacketID = c.packetID()
	if version == V5 && len(c.rest) > 0 {
		p.Reason = c.reason(ackReasons(kind))
		if len(c.rest) > 0 {
			p.Props = c.properties(place(kind))
		}
	}
	return c.end()
}

func ackReasons(kind Type) string {
	if kind == TypePubrel || kind == TypePubcomp {
		return pubrelReasons
	}
	return pubackReasons
}

// AppendAck appends an acknowledgement of the given type, as short as it can
// be. Before MQTT 5 it carries the packet identifier alone.
func AppendAck(dst []byte, kind Type, version Version, p *Ack) ([]byte, error) {
	b := build(dst, kind)
	b.packetID(p.PacketID)
	if version == V5 && (p.Reason != Success || len(p.Props) > 0) {
		b.u8(byte(p.Reason))
		if len(p.Props) > 0 {
			b.properties(version, p.Props)
		}
	}
	if kind == TypePubrel {
		return b.finish(2)
	}
	return b.finish(0)
}
