package shovel

import (
	"context"
	"fmt"
	"sync"
	"time"

	"leveret/bridge"
)

// flight is what is under way on one link: messages sent and not settled, in
// the order of their numbers. It is the window: launch waits while it is full.
//
// The window counts from the oldest message that is not confirmed, so that one
// unanswered message stops the flow in the end, and the watchdog sees it.
type flight struct {
	bytesMax int
	room     chan struct{} // holds a note when launch may look again
	launched chan struct{} // holds a note when something left an empty window

	mu     sync.Mutex // protects the fields below
	ring   []sent     // message n is at n % len(ring)
	oldest uint64     // number of the oldest that is not settled in order
	next   uint64     // number of the next to be sent
	bytes  int        // of the unanswered ones
	solo   bool       // the first message goes alone until it is confirmed

	// The first that was not taken; nothing from there on is settled.
	refused *bridge.Answer
}

// sent is a message under way.
type sent struct {
	tag     uint64
	bytes   int
	arrived time.Time
	state   sentState
	id, key string
	answer  *bridge.Answer // of one that was refused
}

type sentState uint8

const (
	unanswered sentState = iota
	confirmed            // and to be settled
	settled              // before older ones
	refused
)

func newFlight(messages, bytes int) *flight {
	return &flight{
		bytesMax: bytes,
		room:     make(chan struct{}, 1), launched: make(chan struct{}, 1),
		ring: make([]sent, messages), oldest: 1, next: 1, solo: true,
	}
}

func (f *flight) at(number uint64) *sent { return &f.ring[number%uint64(len(f.ring))] }

// launch waits until the window has room for the message and enters it. A
// message that is larger than the whole window goes alone.
func (f *flight) launch(ctx context.Context, m *bridge.Message) error {
	for !f.tryLaunch(m) {
		select {
		case <-f.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func (f *flight) tryLaunch(m *bridge.Message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := footprint(m)
	if n := f.next - f.oldest; n > 0 && (f.solo || n >= uint64(len(f.ring)) || f.bytes+size > f.bytesMax) {
		return false
	}
	if f.next == f.oldest {
		note(f.launched)
	}
	*f.at(f.next) = sent{tag: m.Tag, bytes: size, arrived: m.Arrived, id: m.Props.MessageID, key: m.Key}
	f.next++
	f.bytes += size
	return true
}

// landing is what a batch of answers allows and counts.
type landing struct {
	acks      []bridge.Ack
	confirmed int
	bytes     int64
	arrived   time.Time // of the newest confirmed message, when known
}

// land takes answers in. An answer for a message that is not under way is an
// error: a far side that confirms what it was never sent cannot be believed.
func (f *flight) land(answers []bridge.Answer) (landing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range answers {
		if err := f.answerLocked(&answers[i]); err != nil {
			return landing{}, err
		}
	}
	l := f.settleInOrderLocked()
	for i := range answers {
		f.settleEarlyLocked(&l, answers[i].Number)
	}
	if l.confirmed > 0 {
		f.solo = false
	}
	note(f.room)
	return l, nil
}

func (f *flight) answerLocked(a *bridge.Answer) error {
	if a.Number < f.oldest || a.Number >= f.next || f.at(a.Number).state != unanswered {
		return fmt.Errorf("the far side answered message %d, which was not under way", a.Number)
	}
	m := f.at(a.Number)
	f.bytes -= m.bytes
	if a.Outcome == bridge.Confirmed {
		m.state = confirmed
		return nil
	}
	own := *a
	m.state, m.answer = refused, &own
	if f.refused == nil || a.Number < f.refused.Number {
		f.refused = &own
	}
	return nil
}

// mayLocked reports whether a confirm of the message counts: not behind one
// that was refused, which must come before it again.
func (f *flight) mayLocked(number uint64) bool {
	return f.refused == nil || number < f.refused.Number
}

// settleInOrderLocked settles the oldest messages, as far as all are confirmed.
// It names the last of them that is not settled yet: a tag can be settled once.
func (f *flight) settleInOrderLocked() (l landing) {
	var tag uint64
	for f.oldest < f.next && f.mayLocked(f.oldest) {
		m := f.at(f.oldest)
		if m.state == confirmed {
			l.count(m)
			tag = m.tag
		} else if m.state != settled {
			break
		}
		f.oldest++
	}
	if tag != 0 {
		l.acks = append(l.acks, bridge.Ack{Tag: tag, Multiple: true})
	}
	return l
}

// settleEarlyLocked settles a message that was confirmed before an older one:
// if the link is lost now, it must not be sent again.
func (f *flight) settleEarlyLocked(l *landing, number uint64) {
	if number < f.oldest || !f.mayLocked(number) || f.at(number).state != confirmed {
		return
	}
	m := f.at(number)
	m.state = settled
	l.count(m)
	l.acks = append(l.acks, bridge.Ack{Tag: m.tag})
}

func (l *landing) count(m *sent) {
	l.confirmed++
	l.bytes += int64(m.bytes - messageOverhead)
	if m.arrived.After(l.arrived) {
		l.arrived = m.arrived
	}
}

// refusal is the first message that was not taken, or nil.
func (f *flight) refusal() *bridge.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// suspect is what is remembered of the message that was not taken.
func (f *flight) suspect() sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.at(f.refused.Number)
}

// bury takes the refused message out: it was settled in another way. What was
// confirmed behind it counts now, up to the next refused one.
func (f *flight) bury() landing {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at(f.refused.Number).state = settled
	f.refused = nil
	for n := f.oldest; n < f.next && f.refused == nil; n++ {
		if m := f.at(n); m.state == refused {
			f.refused = m.answer
		}
	}
	l := f.settleInOrderLocked()
	for n := f.oldest; n < f.next; n++ {
		f.settleEarlyLocked(&l, n)
	}
	f.solo = false
	note(f.room)
	return l
}

// load is how much is unanswered or unsettled.
func (f *flight) load() (messages, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int(f.next - f.oldest), f.bytes
}

// over reports whether no answer can settle anything any more.
func (f *flight) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.oldest == f.next || !f.mayLocked(f.oldest)
}

// note leaves a note in a channel of capacity one.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
