package edge

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/edge/config"
)

// conflicts says which declarations of a changed configuration the core would
// refuse because something else has their name; nothing is made. What was
// declared in the same words before does not stand in a change's way.
func conflicts(b *broker.Broker, old, fresh *config.Config) error {
	t := topology{b: b, conns: make(map[string]*broker.Conn)}
	defer t.close()
	for _, x := range added(old.Exchanges, fresh.Exchanges) {
		t.note(t.sameExchange(x), "exchange %q in vhost %q", x.Name, x.VHost)
	}
	for _, q := range added(old.Queues, fresh.Queues) {
		t.note(t.sameQueue(q), "queue %q in vhost %q", q.Name, q.VHost)
	}
	var all []error
	for _, u := range t.refused {
		all = append(all, fmt.Errorf("%s: %w", u.what, u.err))
	}
	return errors.Join(all...)
}

// added are those of fresh that old has not.
func added[D any](old, fresh []D) []D {
	return slices.DeleteFunc(slices.Clone(fresh), func(d D) bool {
		return slices.ContainsFunc(old, func(o D) bool { return reflect.DeepEqual(o, d) })
	})
}

// sameExchange compares a declaration with the exchange of its name: declaring
// what is there only compares (0-9-1, exchange.declare).
func (t *topology) sameExchange(x config.Exchange) error {
	conn, err := t.in(x.VHost)
	if err == nil {
		err = conn.CheckExchange(x.Name)
	}
	if missing(err) {
		return nil
	}
	return t.exchange(x)
}

// sameQueue is sameExchange for queues.
func (t *topology) sameQueue(q config.Queue) error {
	conn, err := t.in(q.VHost)
	if err == nil {
		_, err = conn.CheckQueue(q.Name)
	}
	if missing(err) {
		return nil
	}
	return t.queue(q)
}

// missing reports whether there is no such thing yet, or not even its vhost.
func missing(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Code == amqp.NotFound || errors.Is(err, broker.ErrNoVHost)
}
