package mqtt

import (
	"slices"

	"leveret/amqp"
)

// retained is what a subscriber still gets of the retained messages it asked
// for. The messages of one filter are looked up at a time, so that a client who
// subscribes to everything and acknowledges nothing holds one list.
//
// No client may see an old value after a newer one. The lookup comes after the
// subscription, so every newer value also comes as a delivery; and the writer
// takes deliveries before it looks, so it has none in hand that is older than
// what it finds. What waits for a later round is sent only if it is still the
// value then.
type retained struct {
	filters []string // to look up; no filter twice
	filter  string   // the one that found comes from
	found   []*amqp.Message
	fresh   bool // found is of this round
}

// want asks for the retained messages of filters. Those that were waiting and
// are not subscribed to any more are dropped, which bounds the list.
func (r *retained) want(filters []string, subs *subscriptions) {
	if len(filters) == 0 {
		return
	}
	r.filters = slices.DeleteFunc(r.filters, func(f string) bool { return subs.find(f) == nil })
	for _, f := range filters {
		if !slices.Contains(r.filters, f) {
			r.filters = append(r.filters, f)
		}
	}
}

// sendRetained sends as many as the client's window lets through. The reader
// leaves it to the goroutine: it may be long, and the reader takes no deliveries,
// so what it found would not be newer than all of them.
func (w *writer) sendRetained() error {
	if w.direct {
		return nil
	}
	r := &w.retained
	for len(r.found) > 0 || w.nextFilter() {
		open, err := w.sendValue(r.found[0])
		if err != nil {
			return err
		}
		if !open {
			break
		}
		r.found = r.found[1:]
	}
	r.fresh = false
	return nil
}

// nextFilter looks up what is retained for the next filter that has something.
func (w *writer) nextFilter() bool {
	r := &w.retained
	for len(r.filters) > 0 {
		r.filter, r.filters = r.filters[0], r.filters[1:]
		if s := w.subs.Load().find(r.filter); s != nil {
			r.found, r.fresh = w.core.Retained(s.key()), true
		}
		if len(r.found) > 0 {
			return true
		}
	}
	*r = retained{}
	return false
}

// sendValue sends one value, or passes it over. open is false when it must wait
// for room in the client's window.
func (w *writer) sendValue(m *amqp.Message) (open bool, err error) {
	s := w.subs.Load().find(w.retained.filter)
	if s == nil || !w.retained.fresh && !w.stillRetained(m) {
		return true, nil
	}
	a := w.addresses.find(w.subs.Load(), m.Key, w.door.Dots, w.may)
	if !a.valid || a.denied || m.Exchange != w.door.exchangeOf(a.topic) || !s.matches(a.topic) || s.noLocal && publishedBy(m.Props, w.client) {
		return true, nil
	}
	out := outgoing{msg: m, topic: a.topic, retain: true}
	if s.id != 0 {
		out.ids = []uint32{s.id}
	}
	open = true
	switch out.qos = min(qosOf(m), s.qos); out.qos {
	case 1:
		out.id, open = w.inflight.take(slotRetained)
	case 2:
		out.id, open = w.inflight.takeStore()
	}
	if !open {
		return false, nil
	}
	sent, err := w.append(&out)
	if !sent && out.id != 0 {
		w.inflight.release(out.id)
	}
	return true, err
}

func (w *writer) stillRetained(m *amqp.Message) bool {
	return slices.Contains(w.core.Retained(m.Key), m)
}
