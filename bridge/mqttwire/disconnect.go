package mqttwire

// Disconnect ends a connection on purpose (section 3.14). Before MQTT 5 only
// clients send it, and it is empty.
type Disconnect struct {
	Reason ReasonCode
	Props  Properties
}

// Decode takes a client's DISCONNECT apart.
func (p *Disconnect) Decode(body []byte, version Version) error {
	return p.decode(body, version, clientDisconnects, place(TypeDisconnect))
}

// DecodeFromServer takes a server's DISCONNECT apart. It has other reasons,
// may refer to another server, and has no session expiry [MQTT-3.14.2-2].
func (p *Disconnect) DecodeFromServer(body []byte, version Version) error {
	return p.decode(body, version, serverDisconnects, inServerDisconnect)
}

func (p *Disconnect) decode(body []byte, version Version, reasons string, at place) error {
	*p = Disconnect{}
	c := cursor{rest: body, packet: TypeDisconnect}
	if version == V5 && len(c.rest) > 0 {
		p.Reason = c.reason(reasons)
		if len(c.rest) > 0 { // section 3.14.2.2.1
			p.Props = c.properties(at)
		}
	}
	return c.end()
}

// AppendDisconnect appends a DISCONNECT, as short as it can be.
func AppendDisconnect(dst []byte, version Version, p *Disconnect) ([]byte, error) {
	b := build(dst, TypeDisconnect)
	if version == V5 && (p.Reason != Success || len(p.Props) > 0) {
		b.u8(byte(p.Reason))
		if len(p.Props) > 0 {
			b.properties(version, p.Props)
		}
	}
	return b.finish(0)
}
