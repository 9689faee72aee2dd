package broker

import (
	"fmt"
	"math"
	"strconv"

	"leveret/amqp"
)

// hashRoutes chooses one binding for each message (type x-consistent-hash): the
// same one for the same routing key, or header, or property, as long as the
// bindings stay the same; and few messages change theirs when one comes or goes.
// A binding's key is its weight.
//
// Each binding makes a number of the message and its own identity; the highest
// wins ("rendezvous hashing"). There is no ring to keep, and nothing depends on
// the order in which bindings were made, so a restart changes nothing.
type hashRoutes struct {
	all      []weighted
	header   string // what is hashed in place of the routing key
	property string
}

type weighted struct {
	b      *binding
	seed   uint64
	weight float64
}

// Arguments of an x-consistent-hash exchange, RabbitMQ's.
const (
	argHashHeader   = "hash-header"
	argHashProperty = "hash-property"
)

// hashWeightMax bounds a weight; RabbitMQ's habit is 1 to 20.
const hashWeightMax = 1 << 20

func newHashRoutes(args amqp.Table) (*hashRoutes, error) {
	r := argReader{thing: "x-consistent-hash exchange", args: args}
	h := new(hashRoutes)
	h.header, _ = r.text(argHashHeader)
	h.property, _ = r.text(argHashProperty)
	switch {
	case r.err != nil:
		return nil, r.err
	case h.header != "" && h.property != "":
		return nil, amqp.Errorf(amqp.PreconditionFailed, "hash-header and hash-property are mutually exclusive")
	}
	switch h.property {
	case "", "correlation_id", "message_id", "timestamp":
		return h, nil
	}
	return nil, amqp.Errorf(amqp.PreconditionFailed, "Unsupported property: %s", h.property)
}

// checkWeight refuses a binding key that is no weight.
func checkWeight(key string) error {
	n, err := strconv.ParseInt(key, 10, 64)
	switch {
	case err != nil:
		return amqp.Errorf(amqp.PreconditionFailed, "The binding key must be an integer: %q", key)
	case n < 0:
		return amqp.Errorf(amqp.PreconditionFailed, "The binding key must be greater than 0")
	case n > hashWeightMax:
		return amqp.Errorf(amqp.PreconditionFailed, "The binding key must not be greater than %d", hashWeightMax)
	}
	return nil
}

func (h *hashRoutes) add(b *binding) {
	n, _ := strconv.Atoi(b.key) // checked, see checkWeight
	h.all = append(h.all, weighted{b: b, seed: fnv64(b.id()), weight: float64(n)})
}

func (h *hashRoutes) remove(b *binding) {
	for i := range h.all {
		if h.all[i].b == b {
			h.all = append(h.all[:i:i], h.all[i+1:]...)
			return
		}
	}
}

func (h *hashRoutes) match(key string, props amqp.Properties, found []*binding) []*binding {
	of := fnv64(h.subject(key, props))
	var best *binding
	highest := math.Inf(-1)
	for i := range h.all {
		w := &h.all[i]
		if w.weight == 0 {
			continue
		}
		// A uniform number in (0, 1], bent by the weight: the share of wins is
		// then proportional to it.
		u := (float64(mix64(of^w.seed)>>11) + 1) / (1 << 53)
		if score := math.Log(u) / w.weight; score > highest {
			best, highest = w.b, score
		}
	}
	if best == nil {
		return found
	}
	return append(found, best)
}

// subject is what the choice depends on.
func (h *hashRoutes) subject(key string, props amqp.Properties) string {
	switch {
	case h.header != "":
		v, _ := props.Header(h.header)
		return fmt.Sprint(v)
	case h.property == "correlation_id":
		return props.CorrelationID()
	case h.property == "message_id":
		return props.MessageID()
	case h.property == "timestamp":
		t, _ := props.Timestamp()
		return strconv.FormatUint(uint64(t), 10)
	}
	return key
}

// byKey reports whether the routing key alone decides.
func (h *hashRoutes) byKey() bool { return h.header == "" && h.property == "" }

func fnv64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix64 spreads every bit of x over the whole (the finaliser of splitmix64).
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
