package mqttwire

// Connack is the answer to CONNECT (section 3.2).
type Connack struct {
	SessionPresent bool // is never so in MQTT 3.1, nor with a failure
	Reason         ReasonCode
	Props          Properties
}

// Decode takes a CONNACK apart. The return code of MQTT 3.1 and 3.1.1 becomes
// the reason code that means the same.
func (p *Connack) Decode(body []byte, version Version) error {
	*p = Connack{}
	c := cursor{rest: body, packet: TypeConnack}
	flags := c.u8("acknowledge flags")
	if version == V31 {
		flags = 0 // the byte is not used
	}
	p.SessionPresent = flags&1 != 0
	if flags&^1 != 0 {
		c.refuse(MalformedPacket, "acknowledge flags 0x%02x", flags)
	}
	if version == V5 {
		p.Reason = c.reason(connackReasons)
		p.Props = c.properties(place(TypeConnack))
	} else if code := c.u8("return code"); int(code) < len(returnCodes) {
		p.Reason = ReasonCode(returnCodes[code])
	} else {
		c.refuse(ProtocolError, "return code %d", code)
	}
	if p.SessionPresent && p.Reason != Success { // [MQTT-3.2.2-6]
		c.refuse(ProtocolError, "session present with %s", p.Reason)
	}
	return c.end()
}

// AppendConnack appends a CONNACK. Before MQTT 5 there are few reasons to
// refuse a client with; for the others it is an error (see
// [ReasonCode.ReturnCode]). A version of 0 is answered like 3.1.1.
func AppendConnack(dst []byte, version Version, p *Connack) ([]byte, error) {
	b := build(dst, TypeConnack)
	b.u8(bit(p.SessionPresent && p.Reason == Success && version != V31, 1))
	if version == V5 {
		b.u8(byte(p.Reason))
		b.properties(version, p.Props)
		return b.finish(0)
	}
	code, ok := p.Reason.ReturnCode()
	if !ok {
		b.refuse(ProtocolError, "MQTT 3 has no return code for %q", p.Reason)
	}
	b.u8(code)
	return b.finish(0)
}
