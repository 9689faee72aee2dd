package broker

import (
	"errors"
	"fmt"
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// ArgRetained as an argument of a queue's binding (true) brings the queue the
// retained values of the exchange whose keys the binding matches, before
// anything that is published later. A binding that is there already brings none:
// whoever wants the values anew binds a fresh queue, or takes the binding away
// first.
const ArgRetained = "x-retained"

// Bounds of what one binding brings: it is one change of the log.
const (
	bindRetainedMax      = 10_000
	bindRetainedBytesMax = 8 << 20
)

// bindRetainedLocked adds a binding that is not there yet, and gives its queue
// the values that it matches, as one change and with no update lost between.
func (v *VHost) bindRetainedLocked(b *binding) (spool.LSN, error) {
	if b.source.sources[b.id()] != nil {
		return v.standing(b.durable()), nil
	}
	if b.source.kind() != typeTopic {
		return 0, amqp.Errorf(amqp.PreconditionFailed, "invalid arg '%s' for a binding of %s: only topic exchanges retain values", ArgRetained, v.named("exchange", b.source.Name))
	}
	values := slices.DeleteFunc(v.retainedLocked(b.key), func(m *amqp.Message) bool { return m.Exchange != b.source.Name })
	size := 0
	for _, m := range values {
		size += len(m.Body)
	}
	switch {
	case len(values) > bindRetainedMax || size > bindRetainedBytesMax:
		return 0, amqp.Errorf(amqp.PreconditionFailed, "binding would bring %d retained values of %d bytes, at most %d of %d bytes may come at once",
			len(values), size, bindRetainedMax, bindRetainedBytesMax)
	case len(values) > 0 && v.b.log.Room() != nil:
		return 0, amqp.Errorf(amqp.ResourceError, "spool is full: retained values cannot be brought")
	}
	if err := atMost("bindings", v.bindings, v.b.limits.BindingsMax); err != nil {
		return 0, err
	}
	if err := v.takesValuesLocked(values); err != nil {
		return 0, err
	}
	to := target{queue: b.queue, transient: b.transient}
	for _, m := range values {
		p := Publish{Msg: m}
		v.deliverToLocked(m, v.openTo(&p, []target{to}))
	}
	v.batch.Moves = v.batch.Moves || len(values) > 0 // there was room, and a binding is not undone
	return v.bindLocked(b)
}

// takesValuesLocked refuses values that the log could not take as one change.
func (v *VHost) takesValuesLocked(values []*amqp.Message) error {
	all := spool.Batch{Moves: true, Enters: make([]spool.Enter, len(values))}
	for i, m := range values {
		all.Enters[i] = spool.Enter{Record: (*stored)(m), Size: len(m.Body)}
	}
	if err := v.b.log.Takes(&all); errors.Is(err, spool.ErrLarge) {
		return tooLarge(fmt.Sprintf("binding that would bring %d retained values", len(values)), err)
	}
	return nil
}
