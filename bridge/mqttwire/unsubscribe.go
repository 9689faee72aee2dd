package mqttwire

// Unsubscribe ends subscriptions (section 3.10).
type Unsubscribe struct {
	PacketID uint16
	Props    Properties
	Filters  []string // kept by Decode as memory for the next one
}

// Decode takes an UNSUBSCRIBE apart.
func (p *Unsubscribe) Decode(body []byte, version Version) error {
	*p = Unsubscribe{Filters: p.Filters[:0]}
	c := cursor{rest: body, packet: TypeUnsubscribe}
	p.PacketID = c.packetID()
	if version == V5 {
		p.Props = c.properties(place(TypeUnsubscribe))
	}
	if len(c.rest) == 0 { // [MQTT-3.10.3-2]
		c.refuse(ProtocolError, "no topic filter")
	}
	for len(c.rest) > 0 {
		filter := c.filter(version)
		c.countFilters(len(p.Filters) + 1)
		p.Filters = append(p.Filters, filter)
	}
	return c.end()
}

// AppendUnsubscribe appends an UNSUBSCRIBE.
func AppendUnsubscribe(dst []byte, version Version, p *Unsubscribe) ([]byte, error) {
	b := build(dst, TypeUnsubscribe)
	b.packetID(p.PacketID)
	b.properties(version, p.Props)
	if len(p.Filters) == 0 {
		b.refuse(ProtocolError, "no topic filter")
	}
	for _, filter := range p.Filters {
		b.text("topic filter", filter)
	}
	return b.finish(2)
}

// Unsuback answers an UNSUBSCRIBE (section 3.11).
type Unsuback struct {
	PacketID uint16
	Props    Properties
	Reasons  []ReasonCode // one for each filter; none before MQTT 5
}

// Decode takes an UNSUBACK apart.
func (p *Unsuback) Decode(body []byte, version Version) error {
	*p = Unsuback{Reasons: p.Reasons[:0]}
	c := cursor{rest: body, packet: TypeUnsuback}
	p.PacketID = c.packetID()
	if version == V5 {
		p.Props = c.properties(place(TypeUnsuback))
		p.Reasons = c.reasons(p.Reasons, unsubackReasons)
	}
	return c.end()
}

// AppendUnsuback appends an UNSUBACK.
func AppendUnsuback(dst []byte, version Version, p *Unsuback) ([]byte, error) {
	b := build(dst, TypeUnsuback)
	b.packetID(p.PacketID)
	if version == V5 {
		b.properties(version, p.Props)
		if len(p.Reasons) == 0 {
			b.refuse(ProtocolError, "no reason code")
		}
		for _, reason := range p.Reasons {
			b.u8(byte(reason))
		}
	}
	return b.finish(0)
}
