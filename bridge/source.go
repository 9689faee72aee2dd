package bridge

import (
	"context"
	"errors"
	"time"

	"leveret/amqp"
)

// Source is where messages come from. It is opened once for each link, and
// must begin anew each time: at the oldest message that is not settled.
type Source interface {
	// Open starts reading with at most prefetch messages unsettled. It bounds
	// its own time, and ends at once when ctx does.
	Open(ctx context.Context, prefetch int) (Reader, error)
	// Backlog is how many messages are in it, those under way included, and
	// whether that is known at present.
	Backlog() (messages int, known bool)
	// String names the source for operators. It holds no secret.
	String() string
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
	// Bury takes a message out that the far side never takes, to where the
	// source keeps such messages, with the reason. The answer is false, and the
	// message as unsettled as before, when it has no such place.
	Bury(tag uint64, why string) (bool, error)
	// Close puts what is unsettled back to its old place.
	Close()
}

// ErrUnwelcome, wrapped by the error that a link or reader ended with, says
// that somebody over there wants it gone: coming back soon would only begin the
// quarrel anew.
var ErrUnwelcome = errors.New("unwelcome")

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
