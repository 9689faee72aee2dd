package bridge

import (
	"context"
	"time"

	"leveret/amqp"
)

// Source is where messages come from. It is opened once for each link, and
// must begin anew each time: at the oldest message that is not settled.
type Source interface {
	// Open starts reading with at most prefetch messages unsettled.
	Open(prefetch int) (Reader, error)
	// Backlog is how many messages are in it, those under way included; 0 when
	// that is not known.
	Backlog() int
}

// Reader is an open source. Take is called by one goroutine, Settle and Close
// by another; Close comes after the last Take has returned.
type Reader interface {
	// Take waits for messages and gives them in the order in which they must
	// be sent, with rising tags. They are the caller's until its next Take. It
	// answers ctx's error when that ends first, and another when nothing will
	// come any more.
	Take(ctx context.Context) ([]Message, error)
	// Settle takes confirmed messages out of the source. No tag is named twice.
	Settle([]Ack) error
	// Close puts what is unsettled back to its old place.
	Close()
}

// Ack settles the message of a tag, or with Multiple all unsettled ones up to it.
type Ack struct {
	Tag      uint64
	Multiple bool
}

// Message is a message on its way. Its properties are decoded and may be
// changed; the values in them and the body are shared and may not.
type Message struct {
	Tag      uint64 // for Settle; rising
	Exchange string // where it was published
	Key      string // routing key of any length
	Props    amqp.PropertyList
	Body     []byte
	// Redelivered: it may have been sent before.
	Redelivered bool
	// Arrived is when it came into the source; zero when that is not known.
	Arrived time.Time
}

// HeaderRedelivered is true in a message that may have been sent before.
const HeaderRedelivered = "x-leveret-redelivered"
