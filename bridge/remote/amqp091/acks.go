package amqp091

import (
	"slices"

	"leveret/amqp/wire091"
	"leveret/bridge"
)

// owed is a message that the far side waits for an answer about.
type owed struct {
	tag    uint64
	bytes  int
	state  owedState
	sight        // of one whose id was made up
	offset int64 // in a stream; -1 otherwise
}

type owedState uint8

const (
	open     owedState = iota
	settled            // to be acknowledged
	answered           // it was, before older ones, or it was rejected
)

// findLocked is where the message of a tag stands.
func (r *reader) findLocked(tag uint64) (i int, found bool) {
	return slices.BinarySearchFunc(r.owed, tag, func(o owed, tag uint64) int {
		switch {
		case o.tag < tag:
			return -1
		case o.tag > tag:
			return 1
		}
		return 0
	})
}

// Settle acknowledges.
func (r *reader) Settle(acks []bridge.Ack) error { return r.acknowledge(acks) }

// acknowledge settles, and acknowledges what is due: the oldest messages at
// once, as far as all are settled, and one by one those that were settled before
// older ones.
func (r *reader) acknowledge(acks []bridge.Ack) error {
	r.acking.Lock()
	defer r.acking.Unlock()
	r.mu.Lock()
	for _, a := range acks {
		r.settleLocked(a)
	}
	out := r.dueLocked(nil)
	r.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	if r.conn.write(out) != nil {
		return r.conn.lost("link to")
	}
	return nil
}

func (r *reader) settleLocked(a bridge.Ack) {
	i, found := r.findLocked(a.Tag)
	if !found && !a.Multiple {
		return
	}
	first := i
	if a.Multiple {
		first = 0
	}
	if found {
		i++
	}
	for k := first; k < i; k++ {
		if r.owed[k].state == open {
			r.owed[k].state = settled
		}
	}
}

// dueLocked appends the frames of what can be acknowledged.
func (r *reader) dueLocked(out []byte) []byte {
	n, last, many := 0, uint64(0), 0
	for ; n < len(r.owed) && r.owed[n].state != open; n++ {
		o := &r.owed[n]
		if o.state == settled {
			last = o.tag
			many++
			r.answerLocked(o)
		}
		if o.offset >= 0 {
			r.source.resume.Store(o.offset + 1)
		}
	}
	if many > 0 {
		out = appendAck(out, last, many > 1)
	}
	r.owed = r.owed[:copy(r.owed, r.owed[n:])]
	for i := range r.owed {
		if o := &r.owed[i]; o.state == settled {
			out = appendAck(out, o.tag, false)
			r.answerLocked(o)
		}
	}
	if len(out) > 0 {
		note(r.room)
	}
	return out
}

func appendAck(out []byte, tag uint64, multiple bool) []byte {
	return wire091.AppendMethod(out, channelID, &wire091.BasicAck{DeliveryTag: tag, Multiple: multiple})
}

// answerLocked: the far side waits for this one no longer.
func (r *reader) answerLocked(o *owed) {
	o.state = answered
	r.load--
	r.left = max(r.left-1, 0)
	r.bytes -= o.bytes
	if o.id == "" {
		return
	}
	r.acked = append(r.acked, o.sight)
	if more := len(r.acked) - rememberedMax; more > 0 {
		r.acked = r.acked[more:]
		if r.asked > 0 {
			r.asked = max(1, r.asked-more)
		}
	}
}

// Bury gives a message back to the far side, which puts it into the dead letter
// exchange of its queue.
func (r *reader) Bury(tag uint64, _ string) (bool, error) {
	if !r.source.reject {
		return false, nil
	}
	return true, r.reject(tag)
}

func (r *reader) reject(tag uint64) error {
	r.acking.Lock()
	defer r.acking.Unlock()
	out := wire091.AppendMethod(nil, channelID, &wire091.BasicReject{DeliveryTag: tag})
	r.mu.Lock()
	if i, found := r.findLocked(tag); found && r.owed[i].state != answered {
		r.answerLocked(&r.owed[i])
	}
	out = r.dueLocked(out) // what was settled behind it
	r.mu.Unlock()
	if r.conn.write(out) != nil {
		return r.conn.lost("link to")
	}
	return nil
}
