package amqp

import (
	"encoding/binary"
	"math/bits"
)

// Forms of the properties, by flag; the headers are the one table.
const (
	shortStringFlags = HasContentType | HasContentEncoding | HasCorrelationID | HasReplyTo | HasExpiration |
		HasMessageID | HasType | HasUserID | HasAppID | HasClusterID
	octetFlags = HasDeliveryMode | HasPriority
	allFlags   = shortStringFlags | octetFlags | HasHeaders | HasTimestamp
)

// ParseProperties checks a whole encoded list, the headers' structure
// included, and answers b itself. It allocates nothing. Like the standard
// 0-9-1 peers it takes short strings of any bytes.
func ParseProperties(b []byte) (Properties, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 2 {
		return nil, errPropertyShort("flags")
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&^allFlags != 0 {
		return nil, Errorf(SyntaxError, "property flags %#04x have unknown bits", flags)
	}
	rest := b[2:]
	for left := flags; left != 0; {
		flag := highest(left)
		left &^= flag
		n, err := checkProperty(flag, rest)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return nil, Errorf(FrameError, "cannot decode properties: %d octets are left over", len(rest))
	}
	return b, nil
}

// checkProperty says how many bytes the property takes.
func checkProperty(flag uint16, b []byte) (int, error) {
	if flag == HasHeaders {
		return checkTable(b)
	}
	if len(b) == 0 {
		return 0, errPropertyShort(propertyName(flag))
	}
	n := propertySize(flag, b)
	if n > len(b) {
		return 0, errPropertyShort(propertyName(flag))
	}
	return n, nil
}

func errPropertyShort(what string) error {
	return Errorf(FrameError, "cannot decode properties: %s goes past the end", what)
}

func propertyName(flag uint16) string {
	switch flag {
	case HasContentType:
		return "content-type"
	case HasContentEncoding:
		return "content-encoding"
	case HasHeaders:
		return "headers"
	case HasDeliveryMode:
		return "delivery-mode"
	case HasPriority:
		return "priority"
	case HasCorrelationID:
		return "correlation-id"
	case HasReplyTo:
		return "reply-to"
	case HasExpiration:
		return "expiration"
	case HasMessageID:
		return "message-id"
	case HasTimestamp:
		return "timestamp"
	case HasType:
		return "type"
	case HasUserID:
		return "user-id"
	case HasAppID:
		return "app-id"
	}
	return "cluster-id"
}

// propertySize is the encoded size of the property that b starts with.
func propertySize(flag uint16, b []byte) int {
	switch {
	case flag&shortStringFlags != 0:
		return 1 + int(b[0])
	case flag&octetFlags != 0:
		return 1
	case flag == HasTimestamp:
		return 8
	}
	return 4 + int(binary.BigEndian.Uint32(b))
}

// highest is the highest flag in flags, which are not 0.
func highest(flags uint16) uint16 { return 1 << (bits.Len16(flags) - 1) }

func (p Properties) flags() uint16 {
	if len(p) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(p)
}

// find is the encoded value of a property, nil when it is absent.
func (p Properties) find(want uint16) []byte {
	flags := p.flags()
	if flags&want == 0 {
		return nil
	}
	b := p[2:]
	for before := flags &^ (want<<1 - 1); before != 0; {
		flag := highest(before)
		before &^= flag
		b = b[propertySize(flag, b):]
	}
	return b[:propertySize(want, b)]
}

func (p Properties) octet(flag uint16) uint8 {
	if b := p.find(flag); b != nil {
		return b[0]
	}
	return 0
}

func (p Properties) text(flag uint16) string {
	if b := p.find(flag); b != nil {
		return string(b[1:])
	}
	return ""
}

// Has reports whether one of the flags' properties is present.
func (p Properties) Has(flag uint16) bool { return p.flags()&flag != 0 }

// The accessors answer the zero value for a property that is absent. They
// allocate only the strings and values they answer.

// DeliveryMode is 2 for a persistent message.
func (p Properties) DeliveryMode() uint8 { return p.octet(HasDeliveryMode) }

func (p Properties) Priority() uint8         { return p.octet(HasPriority) }
func (p Properties) ContentType() string     { return p.text(HasContentType) }
func (p Properties) ContentEncoding() string { return p.text(HasContentEncoding) }
func (p Properties) CorrelationID() string   { return p.text(HasCorrelationID) }
func (p Properties) ReplyTo() string         { return p.text(HasReplyTo) }
func (p Properties) Expiration() string      { return p.text(HasExpiration) }
func (p Properties) MessageID() string       { return p.text(HasMessageID) }
func (p Properties) Type() string            { return p.text(HasType) }
func (p Properties) UserID() string          { return p.text(HasUserID) }
func (p Properties) AppID() string           { return p.text(HasAppID) }
func (p Properties) ClusterID() string       { return p.text(HasClusterID) }

// Timestamp is the publisher's time, and whether there is one.
func (p Properties) Timestamp() (Timestamp, bool) {
	b := p.find(HasTimestamp)
	if b == nil {
		return 0, false
	}
	return Timestamp(binary.BigEndian.Uint64(b)), true
}

// Headers decodes the headers; nil when they are absent.
func (p Properties) Headers() Table {
	b := p.find(HasHeaders)
	if b == nil {
		return nil
	}
	return decodeTable(b[4:])
}

// Header is the first header of that key. The others are passed over without
// being decoded.
func (p Properties) Header(key string) (any, bool) {
	b := p.find(HasHeaders)
	if b == nil {
		return nil, false
	}
	for rest := b[4:]; len(rest) > 0; {
		var k, value []byte
		k, value, rest = cutField(rest)
		if string(k) == key {
			return decodeValue(value), true
		}
	}
	return nil, false
}

// List decodes everything.
func (p Properties) List() PropertyList {
	stamp, _ := p.Timestamp()
	return PropertyList{
		Flags:           p.flags(),
		ContentType:     p.ContentType(),
		ContentEncoding: p.ContentEncoding(),
		Headers:         p.Headers(),
		DeliveryMode:    p.DeliveryMode(),
		Priority:        p.Priority(),
		CorrelationID:   p.CorrelationID(),
		ReplyTo:         p.ReplyTo(),
		Expiration:      p.Expiration(),
		MessageID:       p.MessageID(),
		Timestamp:       stamp,
		Type:            p.Type(),
		UserID:          p.UserID(),
		AppID:           p.AppID(),
		ClusterID:       p.ClusterID(),
	}
}

// Encode makes the encoded list; nil when nothing is present. Strings longer
// than a short string holds are cut.
func (l PropertyList) Encode() Properties {
	flags := l.present()
	if flags == 0 {
		return nil
	}
	e := propertyEncoder{flags: flags, b: make([]byte, 0, 128)}
	e.b = binary.BigEndian.AppendUint16(e.b, flags)
	e.text(HasContentType, l.ContentType)
	e.text(HasContentEncoding, l.ContentEncoding)
	if flags&HasHeaders != 0 {
		e.b = l.Headers.AppendTo(e.b)
	}
	e.octet(HasDeliveryMode, l.DeliveryMode)
	e.octet(HasPriority, l.Priority)
	e.text(HasCorrelationID, l.CorrelationID)
	e.text(HasReplyTo, l.ReplyTo)
	e.text(HasExpiration, l.Expiration)
	e.text(HasMessageID, l.MessageID)
	if flags&HasTimestamp != 0 {
		e.b = binary.BigEndian.AppendUint64(e.b, uint64(l.Timestamp))
	}
	e.text(HasType, l.Type)
	e.text(HasUserID, l.UserID)
	e.text(HasAppID, l.AppID)
	e.text(HasClusterID, l.ClusterID)
	return e.b
}

// present is Flags and the flags of all fields that are not zero.
func (l *PropertyList) present() uint16 {
	flags := l.Flags & allFlags
	for _, f := range [...]struct {
		flag uint16
		set  bool
	}{
		{HasContentType, l.ContentType != ""},
		{HasContentEncoding, l.ContentEncoding != ""},
		{HasHeaders, l.Headers != nil},
		{HasDeliveryMode, l.DeliveryMode != 0},
		{HasPriority, l.Priority != 0},
		{HasCorrelationID, l.CorrelationID != ""},
		{HasReplyTo, l.ReplyTo != ""},
		{HasExpiration, l.Expiration != ""},
		{HasMessageID, l.MessageID != ""},
		{HasTimestamp, l.Timestamp != 0},
		{HasType, l.Type != ""},
		{HasUserID, l.UserID != ""},
		{HasAppID, l.AppID != ""},
		{HasClusterID, l.ClusterID != ""},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// propertyEncoder appends those properties whose flag is set.
type propertyEncoder struct {
	flags uint16
	b     []byte
}

func (e *propertyEncoder) text(flag uint16, s string) {
	if e.flags&flag != 0 {
		e.b = AppendShortString(e.b, s)
	}
}

func (e *propertyEncoder) octet(flag uint16, v uint8) {
	if e.flags&flag != 0 {
		e.b = append(e.b, v)
	}
}
