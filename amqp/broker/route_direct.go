package broker

import "leveret/amqp"

// directRoutes: the binding key is the routing key.
type directRoutes map[string][]*binding

func (r directRoutes) add(b *binding) { r[b.key] = append(r[b.key], b) }

func (r directRoutes) remove(b *binding) {
	if r[b.key] = without(r[b.key], b); len(r[b.key]) == 0 {
		delete(r, b.key)
	}
}

func (r directRoutes) match(key string, _ amqp.Properties, found []*binding) []*binding {
	return append(found, r[key]...)
}

func without(bs []*binding, b *binding) []*binding {
	for i := range bs {
		if bs[i] == b {
			return append(bs[:i:i], bs[i+1:]...)
		}
	}
	return bs
}
