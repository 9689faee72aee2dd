package broker

import (
	"slices"
	"strings"

	"leveret/amqp"
	"leveret/spool"
)

// retained is a vhost's last-value store: one message for each exchange and
// routing key.
// Values are in memory, within limits, and in the spool.
type retained struct {
	values  map[address]*amqp.Message
	bytes   int64
	pending []*amqp.Message // of the batch under way
}

// address is where a value was published.
type address struct{ exchange, key string }

func addressOf(m *amqp.Message) address { return address{m.Exchange, m.Key} }

// valueBytesMax bounds one value: the spool keeps values as it keeps definitions,
// each of which is written in one piece.
const valueBytesMax = 2 << 20

// retainLocked sets or deletes the value of a message's key with the running
// batch. Beyond the limits the message is delivered but not kept.
func (v *VHost) retainLocked(p *Publish) {
	m, r := p.Msg, &v.retained
	old, known := r.values[addressOf(m)]
	put := spool.Put{Key: definitionKey(kindValue, v.name, m.Exchange, m.Key)}
	if len(m.Body) > 0 {
		grown := r.bytes + footprint(m)
		if known {
			grown -= footprint(old)
		}
		l := &v.b.limits
		if !known && len(r.values)+len(r.pending) >= l.RetainedMax || grown > l.RetainedBytesMax || (*stored)(m).Size() > valueBytesMax {
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
	if old, known := r.values[addressOf(m)]; known {
		r.bytes -= footprint(old)
	}
	if len(m.Body) == 0 {
		delete(r.values, addressOf(m))
		return
	}
	r.values[addressOf(m)] = m
	r.bytes += footprint(m)
}

// MoveRetained makes a value one of another exchange, as one change; one that
// is there for the key already is newer and stays. Nobody is told: it is no
// new message. A value that is another one by now is left alone.
func (c *Conn) MoveRetained(m *amqp.Message, exchange string) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &v.retained
	if r.values[addressOf(m)] != m || m.Exchange == exchange {
		return
	}
	moved, gone := *m, *m
	moved.Exchange, gone.Body = exchange, nil
	v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindValue, v.name, m.Exchange, m.Key)})
	r.pending = append(r.pending, &gone)
	if _, newer := r.values[addressOf(&moved)]; !newer {
		v.batch.Puts = append(v.batch.Puts, spool.Put{
			Key: definitionKey(kindValue, v.name, exchange, m.Key), Value: encodeValue(v.name, &moved),
		})
		r.pending = append(r.pending, &moved)
	}
	v.finishLocked()
}

// Retained gives the values whose routing keys match a topic pattern, of all
// exchanges, by key.
func (c *Conn) Retained(pattern string) []*amqp.Message { return c.v.retainedBy(pattern) }

func (v *VHost) retainedBy(pattern string) []*amqp.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.retainedLocked(pattern)
}

func (v *VHost) retainedLocked(pattern string) []*amqp.Message {
	if len(v.retained.values) == 0 {
		return nil // a trie for each subscriber would be half of what its SUBACK costs
	}
	var one topicRoutes
	one.add(&binding{key: pattern})
	exact := !strings.ContainsAny(pattern, "*#")
	var found []*amqp.Message
	var scratch []*binding
	for at, m := range v.retained.values {
		if exact && at.key != pattern {
			continue
		}
		if scratch = one.match(at.key, nil, scratch[:0]); len(scratch) > 0 {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *amqp.Message) int { return strings.Compare(a.Key, b.Key) })
	return found
}
