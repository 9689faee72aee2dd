package config

import (
	"errors"
	"math"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/edge/users"
)

// Policy gives arguments to all queues or exchanges whose names match, also to
// those that are there already. Of several that match a name, the one of the
// highest priority applies. A policy that is taken out of the file is taken
// away: it holds no data.
type Policy struct {
	// Name is at most 255 bytes.
	Name string // name
	// VHost is the name of a vhost. ["/"]
	VHost string // vhost
	// Pattern is a regular expression, searched in the names. [".*"]
	Pattern string // pattern
	// ApplyTo is all, queues, classic_queues, quorum_queues or exchanges.
	// ["all"]
	ApplyTo string // apply_to
	// Priority is any whole number of 32 bits. [0]
	Priority int // priority
	// Operator makes it apply on top of the others, and of what a queue was
	// declared with; it can only make limits narrower. [false]
	Operator bool // operator
	// Definition are arguments without their x-, such as message-ttl,
	// max-length, overflow, dead-letter-exchange, delivery-limit.
	Definition amqp.Table // definition
}

// Core is the policy in the words of the core.
func (p Policy) Core() broker.Policy {
	return broker.Policy{
		Name: p.Name, Pattern: p.Pattern, ApplyTo: p.ApplyTo, Priority: p.Priority,
		Definition: p.Definition, Operator: p.Operator, Declared: true,
	}
}

func (d *decoder) policy(s *section) Policy {
	p := Policy{Pattern: ".*", ApplyTo: "all"}
	d.must(s, "name", &p.Name, "limits")
	d.vhost(s, &p.VHost)
	pattern(s, "pattern", &p.Pattern, users.CheckPattern)
	choice(s, "apply_to", &p.ApplyTo, "all", "queues", "classic_queues", "quorum_queues", "exchanges")
	s.integer("priority", &p.Priority, math.MinInt32, math.MaxInt32)
	s.boolean("operator", &p.Operator)
	d.fields(s, "definition", &p.Definition)
	if !s.has("definition") {
		s.lacks("definition", "is missing; write definition = {max-length = 100000}")
		return p
	}
	for _, f := range p.Definition { // one by one, so that each is told
		one := broker.Policy{Name: "p", ApplyTo: "all", Operator: p.Operator, Definition: amqp.Table{f}}
		if err := broker.CheckPolicy(one); err != nil {
			at := s.table.get("definition").value
			if at.kind == table && at.get(f.Key) != nil {
				at = at.get(f.Key).value
			}
			s.bad("definition", at, "%s", words(err))
		}
	}
	return p
}

// words is an error without the reply code that clients are told.
func words(err error) string {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return e.Text
	}
	return err.Error()
}
