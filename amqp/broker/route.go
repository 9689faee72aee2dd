package broker

import "leveret/amqp"

// routeLocked finds the queues for a message published to x: one target for
// each queue, whatever number of ways lead there. The result is valid until the
// next call.
func (v *VHost) routeLocked(x *exchange, key string, props amqp.Properties) []target {
	if x.Name == "" {
		v.targets = v.targets[:0]
		if q := v.queues[key]; q != nil {
			v.targets = append(v.targets, target{queue: q})
		}
		return v.targets
	}
	if !x.cacheable {
		ts, _ := v.walkLocked(x, key, props)
		return ts
	}
	if x.cacheGen != v.routesGen {
		clear(x.cache)
		x.cacheGen = v.routesGen
	}
	if ts, ok := x.cache[key]; ok {
		return ts
	}
	ts, byKey := v.walkLocked(x, key, props)
	if byKey {
		if x.cache == nil || len(x.cache) >= cacheMax {
			x.cache = make(map[string][]target)
		}
		x.cache[key] = append([]target(nil), ts...)
	}
	return ts
}

// walkLocked follows the bindings from x, and its alternate exchange when
// nothing was found. byKey tells that only the key decided, not the headers.
func (v *VHost) walkLocked(x *exchange, key string, props amqp.Properties) (ts []target, byKey bool) {
	v.targets, v.walked = v.targets[:0], v.walked[:0]
	v.mark++
	byKey = v.visitLocked(x, key, props)
	for len(v.targets) == 0 && x.alternate != "" {
		if x = v.exchanges[x.alternate]; x == nil || x.mark == v.mark {
			break
		}
		byKey = v.visitLocked(x, key, props) && byKey
	}
	return v.targets, byKey
}

// visitLocked adds what x leads to. Each exchange is visited once, so circles
// between exchanges end.
func (v *VHost) visitLocked(x *exchange, key string, props amqp.Properties) (byKey bool) {
	byKey = x.cacheable
	x.mark = v.mark
	if h := x.holding; h != nil && delayOf(props) > 0 {
		v.targetLocked(&h.way)
		return false
	}
	from := len(v.walked)
	v.walked = x.routes.match(key, props, v.walked)
	for _, b := range v.walked[from:len(v.walked):len(v.walked)] {
		switch {
		case b.queue != nil:
			v.targetLocked(b)
		case b.exchange.mark != v.mark:
			byKey = v.visitLocked(b.exchange, key, props) && byKey
		}
	}
	return byKey
}

func (v *VHost) targetLocked(b *binding) {
	q := b.queue
	if q.mark != v.mark {
		q.mark, q.markAt = v.mark, len(v.targets)
		v.targets = append(v.targets, target{queue: q, transient: b.transient})
		return
	}
	if !b.transient {
		v.targets[q.markAt].transient = false
	}
}
