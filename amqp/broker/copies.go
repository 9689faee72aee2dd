package broker

import (
	"slices"

	"leveret/amqp"
)

// The headers CC and BCC, arrays of text, name further routing keys of a
// message; BCC does not reach anybody (an extension of RabbitMQ's, "sender
// selected distribution").

// routeMessageLocked finds the queues of a message by all its routing keys. The
// result is valid until the next call.
func (v *VHost) routeMessageLocked(x *exchange, m *amqp.Message) []target {
	targets := v.routeLocked(x, m.Key, m.Props)
	keys := copyKeys(m.Props)
	if len(keys) == 0 {
		return targets
	}
	all := slices.Clone(targets)
	for _, key := range keys {
		for _, t := range v.routeLocked(x, key, m.Props) {
			i := slices.IndexFunc(all, func(a target) bool { return a.queue == t.queue })
			if i < 0 {
				all = append(all, t)
			} else if !t.transient {
				all[i].transient = false
			}
		}
	}
	return all
}

var copyHeaders = [...]string{"CC", "BCC"}

func copyKeys(p amqp.Properties) (keys []string) {
	if !p.Has(amqp.HasHeaders) {
		return nil
	}
	for _, name := range copyHeaders {
		v, _ := p.Header(name)
		list, _ := v.(amqp.Array)
		for _, k := range list {
			if key, isText := k.(string); isText {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// checkCopies refuses CC and BCC headers that are no arrays. What is no text in
// an array is passed over.
func checkCopies(p amqp.Properties) error {
	if !p.Has(amqp.HasHeaders) {
		return nil
	}
	for _, name := range copyHeaders {
		v, given := p.Header(name)
		if !given {
			continue
		}
		if _, isList := v.(amqp.Array); !isList {
			return amqp.Errorf(amqp.PreconditionFailed, "invalid message: {unacceptable_type_in_header,\"%s\",%s}", name, amqp.TypeName(v))
		}
	}
	return nil
}

func blind(p amqp.Properties) bool {
	if !p.Has(amqp.HasHeaders) {
		return false
	}
	_, given := p.Header("BCC")
	return given
}

func withoutBlind(m *amqp.Message) *amqp.Message {
	list := m.Props.List()
	list.Headers = list.Headers.Without("BCC")
	open := *m
	open.Props = list.Encode()
	return &open
}
