package bridge

import "context"

// Target is where messages go.
type Target interface {
	// Dial opens a link on which at most window messages will be unanswered.
	// It bounds its own time, and ends at once when ctx does.
	Dial(ctx context.Context, window int) (Link, error)
	// String names the target for operators. It holds no secret.
	String() string
}

// Link is an open way to the target. Send is called by one goroutine, the
// other methods by another.
type Link interface {
	// Send hands one message over without waiting for its answer. It may block
	// while the far side does not read; Close frees it. The messages of a link
	// are numbered from 1, and answers name them by that number. After an
	// error the link is of no more use.
	Send(*Message) error
	// Answers come in any order, one for each message. The channel is closed
	// when the link has ended: what is unanswered then is lost. Reading must
	// not be a condition of Send or Close making progress.
	Answers() <-chan Answer
	// Held is why the far side holds publishers back at the moment, or "".
	Held() string
	// Err is why the link has ended, once Answers is closed.
	Err() error
	// Close ends the link within a few seconds: its goroutines have ended then
	// and Answers is closed. It may be called twice.
	Close()
}

// Answer is what became of a message.
type Answer struct {
	Number  uint64 // of the message on its link, from 1
	Outcome Outcome
	Reason  string // why it was not taken; of a confirmed one, what is odd about it
}

// Outcome is the far side's word on a message.
type Outcome uint8

const (
	Confirmed Outcome = iota // the far side is responsible for it now
	Refused                  // the far side did not take it
	Returned                 // the far side had no queue for it
	Busy                     // the far side has no room at present: not the message's fault
)

func (o Outcome) String() string { return [...]string{"confirmed", "refused", "returned", "busy"}[o] }
