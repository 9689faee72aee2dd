package broker

import (
	"slices"
	"strings"

	"leveret/amqp"
	"leveret/spool"
)

// retained is a vhost's last-value store: one message for each routing key.
// Values are in memory, within limits, and in the spool.
type retained struct {
	values  map[string]*amqp.Message
	bytes   int64
	pending []*amqp.Message // of the batch under way
}

// retainLocked sets or deletes the value of a message's key with the running
// batch. Beyond the limits the message is delivered but not kept.
func (v *VHost) retainLocked(p *Publish) {
	m, r := p.Msg, &v.retained
	old, known := r.values[m.Key]
	put := spool.Put{Key: definitionKey(kindValue, v.name, m.Key)}
	if len(m.Body) > 0 {
		grown := r.bytes + footprint(m)
		if known {
			grown -= footprint(old)
		}
		l := &v.b.limits
		if !known && len(r.values)+len(r.pending) >= l.RetainedMax || grown > l.RetainedBytesMax {
			v.b.counts.unretained.Add(1)
			return
		}
		put.Value = encodeValue(v.name, m)
	}
	v.batch.Puts = append(v.batch.Puts, put)
	r.pending = append(r.pending, m)
	p.LSN = pendingLSN
}

func (r *retained) undo() { r.pending = nil }

func (r *retained) done() {
	for _, m := range r.pending {
		r.set(m)
	}
	r.pending = nil
}

func (r *retained) set(m *amqp.Message) {
	if old, known := r.values[m.Key]; known {
		r.bytes -= footprint(old)
	}
	if len(m.Body) == 0 {
		delete(r.values, m.Key)
		return
	}
	r.values[m.Key] = m
	r.bytes += footprint(m)
}

// Retained gives the values whose routing keys match a topic pattern, by key.
func (c *Conn) Retained(pattern string) []*amqp.Message {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	values := v.retained.values
	if !strings.ContainsAny(pattern, "*#") {
		if m := values[pattern]; m != nil {
			return []*amqp.Message{m}
		}
		return nil
	}
	var one topicRoutes
	one.add(&binding{key: pattern})
	var found []*amqp.Message
	var scratch []*binding
	for key, m := range values {
		if scratch = one.match(key, nil, scratch[:0]); len(scratch) > 0 {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *amqp.Message) int { return strings.Compare(a.Key, b.Key) })
	return found
}
