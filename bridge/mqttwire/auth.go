package mqttwire

// Auth is a step of an authentication exchange, MQTT 5 only (section 3.15).
// Which side may send which reason at which step is not checked here.
type Auth struct {
	Reason ReasonCode
	Props  Properties
}

// Decode takes an AUTH apart. An empty one means Success; any other has all
// its parts, and with them an authentication method (sections 3.15.2.1 and
// 3.15.2.2.2).
func (p *Auth) Decode(body []byte) error {
	*p = Auth{}
	c := cursor{rest: body, packet: TypeAuth}
	if len(c.rest) > 0 {
		p.Reason = c.reason(authReasons)
		p.Props = c.properties(place(TypeAuth))
		if !p.Props.Has(AuthenticationMethod) {
			c.refuse(ProtocolError, "no authentication method")
		}
	}
	return c.end()
}

// AppendAuth appends an AUTH.
func AppendAuth(dst []byte, p *Auth) ([]byte, error) {
	b := build(dst, TypeAuth)
	if p.Reason != Success || len(p.Props) > 0 {
		b.u8(byte(p.Reason))
		b.properties(V5, p.Props)
	}
	return b.finish(0)
}
