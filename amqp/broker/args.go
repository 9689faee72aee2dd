package broker

import (
	"fmt"

	"leveret/amqp"
)

// queueArgs are the arguments that change what a queue does.
type queueArgs struct {
	ttl           int64 // ms a message may wait; -1 is for ever
	expires       int64 // ms the queue may be unused; 0 is for ever
	maxLength     int64 // ready messages; -1 is no limit
	maxBytes      int64 // of their bodies; -1 is no limit
	overflow      overflow
	deadExchange  string
	deadLettering bool
	deadKey       string
	deadKeyGiven  bool
	maxPriority   int
	singleActive  bool
	deliveryLimit int64 // -1 is none
	attended      bool  // see ArgAttended
	retryMin      int64 // ms a message rests after its first return; 0 is not at all
	retryMax      int64 // ms it rests at most; 0 is no limit
	// spoolPriority says what is worth more when the spool is nearly full.
	spoolPriority int
	// consumerTimeout is how long (ms) a consumer may have a message; 0 is for
	// ever.
	consumerTimeout int64
}

// ArgAttended as a queue argument (true) lets only messages that the spool
// keeps wait while nobody consumes: the others are for who is there.
const ArgAttended = "x-attended"

// overflow is what happens to a message too many.
type overflow uint8

const (
	dropHead          overflow = iota // the oldest goes
	rejectPublish                     // the new one is refused
	rejectPublishDead                 // and dead-lettered
	thin                              // every second of the older ones goes
	keepLast                          // the older one of the same routing key goes
)

func (o overflow) rejects() bool { return o == rejectPublish || o == rejectPublishDead }

const spoolPriorityMax = 9

// lanes is how many lanes of priority the queue has.
func (a *queueArgs) lanes() int { return a.maxPriority + 1 }

// comparedQueueArgs are those that a second declaration must have alike; other
// arguments are kept and not compared (RabbitMQ's rule).
var comparedQueueArgs = []string{
	"x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key",
	"x-max-length", "x-max-length-bytes", "x-max-priority", "x-overflow",
	"x-single-active-consumer", "x-delivery-limit", "x-queue-type",
	"x-spool-priority", argDeduplication, argDedupHeader, argDedupCacheSize, argDedupCacheTTL,
	"x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max", "x-consumer-timeout",
}

// argReader reads arguments and keeps the first refusal.
type argReader struct {
	thing string // "queue 'q' in vhost '/'"
	args  amqp.Table
	types QueueTypes
	err   error
}

// parseQueueArgs reads a queue's arguments; a wrong one is refused in
// RabbitMQ's words.
func parseQueueArgs(thing string, args amqp.Table, types QueueTypes) (queueArgs, error) {
	r := argReader{thing: thing, args: args, types: types}
	var a queueArgs
	// In RabbitMQ's order: of several mistakes the first is told.
	a.deadExchange, a.deadLettering = r.text("x-dead-letter-exchange")
	a.expires = r.number("x-expires", 0, 1)
	a.ttl = r.number("x-message-ttl", -1, 0)
	a.deadKey, a.deadKeyGiven = r.text("x-dead-letter-routing-key")
	if a.deadKeyGiven && !a.deadLettering {
		r.refuse("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")
	}
	a.maxLength = r.number("x-max-length", -1, 0)
	a.maxBytes = r.number("x-max-length-bytes", -1, 0)
	a.maxPriority = int(r.atMost("x-max-priority", 255))
	a.overflow = r.overflow()
	r.queueType()
	a.singleActive = r.flag("x-single-active-consumer")
	a.attended = r.flag(ArgAttended)
	a.spoolPriority = int(r.atMost("x-spool-priority", spoolPriorityMax))
	a.consumerTimeout = r.number("x-consumer-timeout", 0, 1)
	a.retryMin, a.retryMax = r.retry()
	a.deliveryLimit = r.deliveryLimit(a.retryMin > 0 || r.kind() == TypeQuorum)
	r.window()
	return a, r.err
}

func (r *argReader) overflow() overflow {
	switch how, _ := r.text("x-overflow"); how {
	case "", "drop-head":
	case "reject-publish":
		return rejectPublish
	case "reject-publish-dlx":
		return rejectPublishDead
	case "thin":
		return thin
	case "keep-last":
		return keepLast
	default:
		r.refuse("x-overflow", "invalid_overflow")
	}
	return dropHead
}

// deliveryLimitDefault is RabbitMQ's for quorum queues.
const deliveryLimitDefault = 20

// deliveryLimit is how often a message may come back; a negative one is no
// limit, and default applies to queues for which there is one.
func (r *argReader) deliveryLimit(hasDefault bool) int64 {
	v, given := r.args.Get("x-delivery-limit")
	if n, isNumber := amqp.Int(v); isNumber && n < 0 {
		return -1
	}
	if !given && hasDefault {
		return deliveryLimitDefault
	}
	return r.number("x-delivery-limit", -1, 0)
}

// retry reads how long a message rests after it came back. The types tell
// returns apart that are one in 0-9-1: all but "disabled" mean the same.
func (r *argReader) retry() (least, most int64) {
	least, most = r.number("x-delayed-retry-min", 0, 1), r.number("x-delayed-retry-max", 0, 1)
	if most > 0 && most < least {
		r.refuse("x-delayed-retry-max", "less than x-delayed-retry-min")
	}
	switch kind, _ := r.text("x-delayed-retry-type"); kind {
	case "", "all", "failed", "returned":
	case "disabled":
		return 0, 0
	default:
		r.refuse("x-delayed-retry-type", "\"unknown type '"+kind+"'\"")
	}
	return least, most
}

func (r *argReader) refuse(key, why string) {
	if r.err == nil {
		r.err = amqp.Errorf(amqp.PreconditionFailed, "invalid arg '%s' for %s: %s", key, r.thing, why)
	}
}

// refuseType is about a value that is no text or no bool. RabbitMQ has words of
// its own for the names of exchanges.
func (r *argReader) refuseType(key string, v any) {
	kind := amqp.TypeName(v)
	if r.err == nil && (key == "x-dead-letter-exchange" || key == "alternate-exchange") {
		r.err = amqp.Errorf(amqp.PreconditionFailed, "invalid type '%s' for arg '%s' in %s", kind, key, r.thing)
	}
	r.refuse(key, "{unacceptable_type,"+kind+"}")
}

// number reads a whole number of at least least; none is what its absence means.
func (r *argReader) number(key string, none, least int64) int64 {
	v, ok := r.args.Get(key)
	if !ok {
		return none
	}
	n, isNumber := amqp.Int(v)
	switch {
	case !isNumber:
		r.refuse(key, fmt.Sprintf("\"expected integer, got %s\"", amqp.TypeName(v)))
	case n < 0:
		r.refuse(key, fmt.Sprintf("{value_negative,%d}", n))
	case n < least:
		r.refuse(key, "{value_zero,0}")
	case n > numberMax:
		r.refuse(key, fmt.Sprintf("{value_too_large,%d}", n))
	}
	return n
}

// atMost reads a whole number from 0 to most.
func (r *argReader) atMost(key string, most int64) int64 {
	n := r.number(key, 0, 0)
	if n > most {
		r.refuse(key, fmt.Sprintf("{max_value_exceeded,%d}", n))
	}
	return n
}

// numberMax keeps milliseconds countable in nanoseconds (RabbitMQ's bound is
// that of a 32-bit timer, which nobody's telemetry reaches either).
const numberMax = 1 << 42

func (r *argReader) text(key string) (string, bool) {
	v, ok := r.args.Get(key)
	if !ok {
		return "", false
	}
	s, isText := v.(string)
	if !isText {
		r.refuseType(key, v)
	}
	return s, true
}

func (r *argReader) flag(key string) bool {
	v, ok := r.args.Get(key)
	if !ok {
		return false
	}
	b, isBool := v.(bool)
	if !isBool {
		r.refuseType(key, v)
	}
	return b
}
