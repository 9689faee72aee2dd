package broker

import "leveret/amqp"

// A declaration of what is there already must agree with it (0-9-1,
// exchange.declare and queue.declare); the texts are RabbitMQ's, people search
// logs for them.

func (v *VHost) sameExchange(x *exchange, spec ExchangeSpec) error {
	thing := v.named("exchange", x.Name)
	if x.Type != spec.Type {
		return differs("type", thing, spec.Type, x.Type)
	}
	if err := firstError(
		sameFlag("durable", thing, spec.Durable, x.Durable),
		sameFlag("auto_delete", thing, spec.AutoDelete, x.AutoDelete),
		sameFlag("internal", thing, spec.Internal, x.Internal),
	); err != nil {
		return err
	}
	return sameArgs(thing, spec.Args, x.Args, comparedExchangeArgs)
}

// comparedExchangeArgs are those that a second declaration must have alike.
var comparedExchangeArgs = []string{
	"alternate-exchange", argDelayedType, argHashHeader, argHashProperty,
	argDeduplication, argDedupHeader, argDedupCacheSize, argDedupCacheTTL,
}

func (v *VHost) sameQueue(c *Conn, q *queue, spec QueueSpec) error {
	if q.owner != nil && q.owner != c || q.spec.Exclusive != spec.Exclusive {
		return v.lockedQueue(q.name)
	}
	thing := v.named("queue", q.name)
	if spec.Exclusive {
		spec.Durable = q.spec.Durable // it ends with its connection either way
	}
	if err := firstError(
		sameFlag("durable", thing, spec.Durable, q.spec.Durable),
		sameFlag("auto_delete", thing, spec.AutoDelete, q.spec.AutoDelete),
	); err != nil {
		return err
	}
	return sameArgs(thing, spec.Args, q.spec.Args, comparedQueueArgs)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func sameFlag(arg, thing string, received, current bool) error {
	if received == current {
		return nil
	}
	text := map[bool]string{true: "true", false: "false"}
	return differs(arg, thing, text[received], text[current])
}

func differs(arg, thing, received, current string) error {
	return amqp.Errorf(amqp.PreconditionFailed, "inequivalent arg '%s' for %s: received '%s' but current is '%s'", arg, thing, received, current)
}

func sameArgs(thing string, received, current amqp.Table, compared []string) error {
	for _, key := range compared {
		r, inReceived := received.Get(key)
		c, inCurrent := current.Get(key)
		if key == "x-queue-type" && amqp.Equal(orClassic(r), orClassic(c)) { // not to say it is to say classic
			continue
		}
		switch {
		case inReceived != inCurrent:
			return amqp.Errorf(amqp.PreconditionFailed, "inequivalent arg '%s' for %s: received %s but current is %s",
				key, thing, describeArg(r, inReceived), describeArg(c, inCurrent))
		case inReceived && !amqp.Equal(r, c):
			return differs(key, thing, amqp.FormatValue(r), amqp.FormatValue(c))
		}
	}
	return nil
}

func orClassic(kind any) any {
	if kind == nil {
		return TypeClassic
	}
	return kind
}

// describeArg is an argument that only one of two declarations has.
func describeArg(v any, there bool) string {
	if !there {
		return "none"
	}
	return "the value '" + amqp.FormatValue(v) + "' of type '" + amqp.TypeName(v) + "'"
}
