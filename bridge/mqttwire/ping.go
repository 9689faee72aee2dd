package mqttwire

// DecodePing checks the body of a PINGREQ or PINGRESP, which has none
// (sections 3.12 and 3.13).
func DecodePing(kind Type, body []byte) error {
	c := cursor{rest: body, packet: kind}
	return c.end()
}

// AppendPingreq appends a PINGREQ.
func AppendPingreq(dst []byte) []byte { return append(dst, byte(TypePingreq)<<4, 0) }

// AppendPingresp appends a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(TypePingresp)<<4, 0) }
