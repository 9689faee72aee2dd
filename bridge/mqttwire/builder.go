package mqttwire

import (
	"encoding/binary"
	"slices"
)

// builder is the cursor's counterpart: it puts a body together at the end of a
// slice, keeps the first error, and writes the fixed header when the length is
// known. PUBLISH and the acknowledgements are written without it, for speed.
type builder struct {
	buf     []byte
	start   int  // where the packet starts in buf
	packet  Type // named in errors
	refusal *Error
}

func build(dst []byte, packet Type) builder {
	return builder{buf: dst, start: len(dst), packet: packet}
}

func (b *builder) refuse(code ReasonCode, format string, args ...any) {
	if b.refusal == nil {
		b.refusal = errorf(code, "encode "+b.packet.String()+": "+format, args...)
	}
}

func (b *builder) u8(v byte) { b.buf = append(b.buf, v) }

func (b *builder) u16(v uint16) { b.buf = binary.BigEndian.AppendUint16(b.buf, v) }

func (b *builder) packetID(id uint16) {
	if id == 0 {
		b.refuse(ProtocolError, "packet identifier 0")
	}
	b.u16(id)
}

func (b *builder) text(what, s string) {
	if len(s) > stringMax {
		b.refuse(MalformedPacket, "%s of %d bytes, at most %d fit", what, len(s), stringMax)
		return
	}
	b.u16(uint16(len(s)))
	b.buf = append(b.buf, s...)
}

func (b *builder) binary(what string, v []byte) { b.text(what, view(v)) }

// properties writes the list with its length, in MQTT 5.
func (b *builder) properties(v Version, p Properties) {
	if v == V5 {
		b.buf = append(appendVarint(b.buf, len(p)), p...)
	}
}

// finish answers the packet behind what was in the slice before, or an error
// and the slice as it was.
func (b *builder) finish(flags byte) ([]byte, error) {
	remaining := len(b.buf) - b.start
	if remaining > remainingMax {
		b.refuse(PacketTooLarge, "body of %d bytes, at most %d fit", remaining, remainingMax)
	}
	if b.refusal != nil {
		return b.buf[:b.start], b.refusal
	}
	var header [headerMax]byte
	h := appendVarint(append(header[:0], byte(b.packet)<<4|flags), remaining)
	return slices.Insert(b.buf, b.start, h...), nil
}
