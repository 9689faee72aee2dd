package wire091

// Protocol is what the first eight octets of a connection ask for.
type Protocol int

const (
	NotAMQP     Protocol = iota
	OtherAMQP            // some other version, or AMQP 1.0
	Protocol09           // AMQP 1 1 0 9, as clients before 0-9-1 sent it
	Protocol091          // AMQP 0 0 9 1
)

// ProtocolHeaderSize is the length of a protocol header.
const ProtocolHeaderSize = 8

const (
	header091    = "AMQP\x00\x00\x09\x01"
	header09     = "AMQP\x01\x01\x00\x09"
	header10SASL = "AMQP\x03\x01\x00\x00"
)

// ParseProtocolHeader tells the protocol that a header asks for. 0-9 and 0-9-1
// are the same to this package: connection.start says version 0 9 to both.
func ParseProtocolHeader(h [ProtocolHeaderSize]byte) Protocol {
	switch s := string(h[:]); {
	case s == header091:
		return Protocol091
	case s == header09:
		return Protocol09
	case s[:4] == "AMQP":
		return OtherAMQP
	}
	return NotAMQP
}

// RefusalHeader is the header to send before closing on a protocol that is
// not served: the version we would speak, so that the peer can tell.
func RefusalHeader(h [ProtocolHeaderSize]byte) [ProtocolHeaderSize]byte {
	if string(h[:6]) == header091[:6] {
		return [ProtocolHeaderSize]byte([]byte(header091))
	}
	return [ProtocolHeaderSize]byte([]byte(header10SASL))
}
