package amqp

// Properties is a message's encoded property list: a u16 of presence flags,
// then the present values in flag order, highest bit first. Big endian. Short
// strings are a length octet and bytes; the headers are a field table.
//
//	bit  property          form
//	15   content-type      short string
//	14   content-encoding  short string
//	13   headers           table
//	12   delivery-mode     u8 (2 is persistent)
//	11   priority          u8
//	10   correlation-id    short string
//	 9   reply-to          short string
//	 8   expiration        short string (milliseconds as decimal text)
//	 7   message-id        short string
//	 6   timestamp         u64 (seconds since 1970)
//	 5   type              short string
//	 4   user-id           short string
//	 3   app-id            short string
//	 2   cluster-id        short string
//
// An empty (nil) list is the same as no flags. The bytes are valid: whoever
// makes a Properties from foreign bytes has called [ParseProperties].
type Properties []byte

// Presence flags of a property list.
const (
	HasContentType     = 1 << 15
	HasContentEncoding = 1 << 14
	HasHeaders         = 1 << 13
	HasDeliveryMode    = 1 << 12
	HasPriority        = 1 << 11
	HasCorrelationID   = 1 << 10
	HasReplyTo         = 1 << 9
	HasExpiration      = 1 << 8
	HasMessageID       = 1 << 7
	HasTimestamp       = 1 << 6
	HasType            = 1 << 5
	HasUserID          = 1 << 4
	HasAppID           = 1 << 3
	HasClusterID       = 1 << 2
)

// PropertyList is the decoded form of Properties. Flags says which fields are
// present (a present one may be empty); Encode also writes fields that are not
// zero without their flag.
type PropertyList struct {
	Flags           uint16
	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       Timestamp
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}
