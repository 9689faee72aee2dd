package broker

import (
	"fmt"
	"slices"
	"strings"

	"leveret/amqp"
)

// Types of queues that a declaration can ask for (x-queue-type, an extension of
// RabbitMQ's). A classic queue is a queue as 0-9-1 has it. A quorum queue is a
// durable queue with a delivery limit: there is one node, and all durable queues
// here are as safe as that type promises, dead letters included. A stream, which
// is read and not emptied, is not offered.
const (
	TypeClassic = "classic"
	TypeQuorum  = "quorum"
	TypeStream  = "stream"
	// TypeRefused refuses the declaration.
	TypeRefused = "refuse"
)

// QueueTypes says what a declared type of queue becomes: TypeClassic,
// TypeQuorum or TypeRefused. "" is TypeQuorum for a quorum queue and
// TypeRefused for a stream. A queue that is there stays when this changes.
type QueueTypes struct {
	Quorum string
	Stream string
}

func (t QueueTypes) orDefaults() QueueTypes {
	if t.Quorum == "" {
		t.Quorum = TypeQuorum
	}
	if t.Stream == "" {
		t.Stream = TypeRefused
	}
	return t
}

// keeping is the same for queues that were declared already.
func (t QueueTypes) keeping() QueueTypes {
	for _, to := range []*string{&t.Quorum, &t.Stream} {
		if *to == TypeRefused {
			*to = TypeClassic
		}
	}
	return t
}

// kind is what the queue becomes.
func (r *argReader) kind() string {
	declared, given := r.text("x-queue-type")
	switch {
	case !given || strings.EqualFold(declared, TypeClassic):
		return TypeClassic
	case strings.EqualFold(declared, TypeQuorum):
		return r.types.Quorum
	case strings.EqualFold(declared, TypeStream):
		return r.types.Stream
	}
	r.refuse("x-queue-type", fmt.Sprintf("\"unsupported queue type '%s'\"", declared))
	return TypeClassic
}

// queueType refuses types that are not offered, and reads what RabbitMQ reads of
// arguments that are about other nodes, about a layout in memory or about
// streams. They are kept and mean nothing.
func (r *argReader) queueType() {
	if r.kind() == TypeRefused {
		declared, _ := r.text("x-queue-type")
		r.refuse("x-queue-type", notOffered[strings.ToLower(declared)])
	}
	r.number("x-max-in-memory-length", 0, 0)
	r.number("x-max-in-memory-bytes", 0, 0)
	r.number("x-quorum-initial-group-size", 1, 1)
	r.number("x-initial-cluster-size", 1, 1)
	r.number("x-stream-max-segment-size-bytes", 0, 0)
	r.number("x-queue-version", 1, 1)
	r.word("x-queue-mode", "\"unsupported queue mode '%s'\"", "default", "lazy")
	r.word("x-queue-leader-locator", "invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders")
	r.word("x-dead-letter-strategy", "invalid_dlx_strategy", "at-most-once", "at-least-once")
}

var notOffered = map[string]string{
	TypeQuorum: "quorum queues are not offered here; a durable queue is as safe",
	TypeStream: "streams are not offered; a durable queue with x-max-length-bytes keeps the newest messages",
}

// word reads one of a few words.
func (r *argReader) word(key, refusal string, words ...string) {
	if s, given := r.text(key); given && !slices.Contains(words, s) {
		r.refuse(key, strings.ReplaceAll(refusal, "%s", s))
	}
}

// fitsType refuses what RabbitMQ refuses of quorum queues: they are durable and
// for everybody.
func fitsType(thing string, spec QueueSpec, types QueueTypes) error {
	r := argReader{args: spec.Args, types: types}
	if r.kind() != TypeQuorum {
		return nil
	}
	property := ""
	switch {
	case !spec.Durable:
		property = "non-durable"
	case spec.AutoDelete:
		property = "auto-delete"
	case spec.Exclusive:
		property = "exclusive-owner"
	default:
		return nil
	}
	return amqp.Errorf(amqp.PreconditionFailed, "invalid property '%s' for %s", property, thing)
}
