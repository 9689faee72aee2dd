package wire091

import (
	"encoding/binary"

	"leveret/amqp"
)

// ContentHeader says what follows a method with content.
type ContentHeader struct {
	Class    uint16
	BodySize uint64
	Props    amqp.Properties // lies in the payload it was read from
}

// contentHeaderSize is class, weight and body size; properties follow.
const contentHeaderSize = 12

// ParseContentHeader reads a content header frame's payload. Only class basic
// has contents.
func ParseContentHeader(payload []byte) (ContentHeader, error) {
	if len(payload) < contentHeaderSize {
		return ContentHeader{}, errFrame(FrameHeader, payload, unknownFrame)
	}
	h := ContentHeader{
		Class:    binary.BigEndian.Uint16(payload),
		BodySize: binary.BigEndian.Uint64(payload[4:]),
	}
	if h.Class != ClassBasic {
		return ContentHeader{}, amqp.Errorf(amqp.UnexpectedFrame,
			"expected content header for class %d, got one for class %d instead", ClassBasic, h.Class)
	}
	if len(payload) < contentHeaderSize+2 {
		return ContentHeader{}, errFrame(FrameHeader, payload, unknownFrame)
	}
	props, err := amqp.ParseProperties(payload[contentHeaderSize:])
	if err != nil {
		return ContentHeader{}, err
	}
	h.Props = props
	return h, nil
}
