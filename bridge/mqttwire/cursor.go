package mqttwire

import (
	"encoding/binary"
	"unsafe"
)

// cursor takes a packet's body apart. It keeps the first refusal and answers
// zero values after it, so that a decoder reads like the specification.
type cursor struct {
	rest    []byte
	packet  Type // named in refusals
	refusal *Error
}

func (c *cursor) refuse(code ReasonCode, format string, args ...any) {
	if c.refusal == nil {
		c.refusal = errorf(code, c.packet.String()+": "+format, args...)
	}
	c.rest = nil
}

// end is the outcome: the refusal, also one of bytes left over.
func (c *cursor) end() error {
	if len(c.rest) > 0 {
		c.refuse(MalformedPacket, "%d bytes too many", len(c.rest))
	}
	if c.refusal != nil {
		return c.refusal
	}
	return nil
}

func (c *cursor) take(n int, what string) []byte {
	if len(c.rest) < n {
		c.refuse(MalformedPacket, "%s is cut short", what)
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u8(what string) byte {
	if b := c.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16(what string) uint16 {
	if b := c.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// packetID reads a packet identifier, which is never 0 [MQTT-2.2.1-3].
func (c *cursor) packetID() uint16 {
	id := c.u16("packet identifier")
	if id == 0 {
		c.refuse(ProtocolError, "packet identifier 0")
	}
	return id
}

func (c *cursor) binary(what string) []byte {
	return c.take(int(c.u16(what)), what)
}

// text reads a UTF-8 string (section 1.5.4) as a view.
func (c *cursor) text(what string) []byte {
	b := c.binary(what)
	if !ValidText(view(b)) {
		c.refuse(MalformedPacket, "%s is not UTF-8 without U+0000", what)
		return nil
	}
	return b
}

// reason reads a reason code that has to be one of allowed.
func (c *cursor) reason(allowed string) ReasonCode {
	code := c.u8("reason code")
	c.checkReason(code, allowed)
	return ReasonCode(code)
}

func (c *cursor) checkReason(code byte, allowed string) {
	for i := range len(allowed) {
		if allowed[i] == code {
			return
		}
	}
	c.refuse(ProtocolError, "reason code 0x%02x", code)
}

// properties reads and checks a property list with its length.
func (c *cursor) properties(at place) Properties {
	size, n := varint(c.rest)
	if n <= 0 || n > varintLen(size) {
		c.refuse(MalformedPacket, "property length")
		return nil
	}
	c.take(n, "property length")
	p := Properties(c.take(size, "property list"))
	if err := p.check(at); err != nil && c.refusal == nil {
		c.refuse(err.Code, "%s", err.Text)
		return nil
	}
	return p
}

// varint reads a variable byte integer (section 1.5.5). n is the number of its
// bytes, 0 if it is not all there, -1 if there would be a fifth.
func varint(b []byte) (value, n int) {
	for i := range min(len(b), 4) {
		value |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return value, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}

// varintLen is how many bytes a value takes at least.
func varintLen(value int) int {
	switch {
	case value < 1<<7:
		return 1
	case value < 1<<14:
		return 2
	case value < 1<<21:
		return 3
	}
	return 4
}

func appendVarint(dst []byte, value int) []byte {
	for value >= 0x80 {
		dst = append(dst, byte(value)|0x80)
		value >>= 7
	}
	return append(dst, byte(value))
}

// view lends bytes to a function that takes a string. The string must not
// outlive the call.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
