package wire091

import (
	"encoding/binary"

	"leveret/amqp"
)

// AppendMethod appends a method as a whole frame.
func AppendMethod(dst []byte, channel uint16, m Method) []byte {
	dst, start := openFrame(dst, FrameMethod, channel)
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.ID()))
	return closeFrame(m.AppendTo(dst), start)
}

// AppendDeliver appends a basic.deliver frame. It is AppendMethod for the one
// method that is sent with every message, without a struct in between.
func AppendDeliver(dst []byte, channel uint16, consumerTag string, deliveryTag uint64, redelivered bool, exchange, key string) []byte {
	dst, start := openFrame(dst, FrameMethod, channel)
	dst = binary.BigEndian.AppendUint32(dst, uint32(MethodBasicDeliver))
	dst = amqp.AppendShortString(dst, consumerTag)
	dst = binary.BigEndian.AppendUint64(dst, deliveryTag)
	dst = append(dst, bit(redelivered, 0))
	dst = amqp.AppendShortString(dst, exchange)
	dst = amqp.AppendShortString(dst, key)
	return closeFrame(dst, start)
}

// AppendContentHeader appends a content header frame. The properties go out
// as they are.
func AppendContentHeader(dst []byte, channel uint16, bodySize uint64, props amqp.Properties) []byte {
	dst, start := openFrame(dst, FrameHeader, channel)
	dst = append(dst, 0, ClassBasic, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, bodySize)
	if len(props) == 0 {
		dst = append(dst, 0, 0)
	}
	return closeFrame(append(dst, props...), start)
}

// AppendBody appends a body in as many frames as frame-max asks for, none for
// an empty one. A frameMax of 0 is no limit.
func AppendBody(dst []byte, channel uint16, body []byte, frameMax int) []byte {
	for len(body) > 0 {
		n := len(body)
		if frameMax > FrameOverhead {
			n = min(n, frameMax-FrameOverhead)
		}
		dst = AppendFrameHeader(dst, FrameBody, channel, n)
		dst = append(append(dst, body[:n]...), FrameEnd)
		body = body[n:]
	}
	return dst
}

// AppendFrameHeader appends the seven octets before a payload of that size.
// A writer that sends payloads from where they lie puts them and FrameEnd
// behind it.
func AppendFrameHeader(dst []byte, kind uint8, channel uint16, size int) []byte {
	dst = append(dst, kind, byte(channel>>8), byte(channel))
	return binary.BigEndian.AppendUint32(dst, uint32(size))
}

// AppendHeartbeat appends a heartbeat frame.
func AppendHeartbeat(dst []byte) []byte {
	return append(dst, FrameHeartbeat, 0, 0, 0, 0, 0, 0, FrameEnd)
}

// openFrame appends a header whose size closeFrame will know.
func openFrame(dst []byte, kind uint8, channel uint16) (b []byte, start int) {
	return AppendFrameHeader(dst, kind, channel, 0), len(dst)
}

func closeFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+3:], uint32(len(dst)-start-frameHeaderSize))
	return append(dst, FrameEnd)
}

func appendLongString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(s))), s...)
}

// bit is a bit argument in its place in the octet.
func bit(set bool, n uint) byte {
	if set {
		return 1 << n
	}
	return 0
}
