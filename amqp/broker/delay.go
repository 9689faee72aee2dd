package broker

import (
	"container/heap"
	"math"
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// holding is what an x-delayed-message exchange keeps until its time: messages
// with the header x-delay (ms). Then they are routed as the exchange's
// x-delayed-type says; the header is negative by then, as the plugin of
// RabbitMQ's that this follows does it, so that nobody holds them back again.
//
// In the spool the messages stand in a queue of the exchange's own, which no
// name leads to; leaving it and entering where they are routed is one batch. In
// memory there is an index by time, of 32 bytes a message and bounded by
// Limits.HeldMax, and a window of messages; the others are read when they are
// due. After a start the index is made anew from the spool.
type holding struct {
	exchange *exchange
	queue    *queue
	way      binding // from the exchange to queue
	index    heldHeap
	bytes    int // bodies in memory that the spool has too
}

// held is a message in the index.
type held struct {
	at     amqp.Instant
	pos    spool.Pos
	msg    *amqp.Message // nil when only the spool has it
	stored bool
	size   int32
}

// heldHeap is a heap by time, and for equal times by position.
type heldHeap []held

func (h heldHeap) Len() int { return len(h) }
func (h heldHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].pos < h[j].pos
}
func (h heldHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heldHeap) Push(x any)   { *h = append(*h, x.(held)) }
func (h *heldHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = held{}
	*h = old[:len(old)-1]
	return last
}

const (
	argDelayedType = "x-delayed-type"
	delayHeader    = "x-delay"
	releaseMax     = 64 // messages read and released at a time
)

var errDelayedType = amqp.Errorf(amqp.PreconditionFailed, "Invalid argument, 'x-delayed-type' must be an existing exchange type")

// delayOf is how long (ms) a message asks to be held back.
func delayOf(p amqp.Properties) int64 {
	if !p.Has(amqp.HasHeaders) {
		return 0
	}
	v, _ := p.Header(delayHeader)
	n, _ := amqp.Int(v)
	return n
}

// isHeld reports whether a target is the holding of an exchange.
func isHeld(t target) bool { return t.queue.holding != nil }

// holdLocked gives an exchange its holding.
func (v *VHost) holdLocked(x *exchange, id spool.QueueID) *holding {
	spec := QueueSpec{Name: v.named("exchange", x.Name), Durable: x.Durable}
	args := queueArgs{ttl: -1, maxLength: int64(v.b.limits.HeldMax), maxBytes: -1, overflow: rejectPublish, deliveryLimit: -1}
	h := &holding{exchange: x, queue: makeQueue(v, id, spec, args)}
	h.queue.holding, h.way.queue, x.holding = h, h.queue, h
	v.holdings[h] = struct{}{}
	return h
}

// dropHoldingLocked ends it with its exchange.
func (v *VHost) dropHoldingLocked(h *holding) {
	delete(v.holdings, h)
	for i := range h.index {
		if m := &h.index[i]; !m.stored {
			v.b.transient.Add(-footprint(m.msg))
		}
	}
	h.index, h.queue.deleted = nil, true
	if h.queue.spec.Durable {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindHolding, v.name, h.exchange.Name)})
	}
	if h.lane().inSpool {
		v.batch.Purges = append(v.batch.Purges, spool.Purge{Queue: h.queue.id, To: spool.MaxPos})
	}
}

func (h *holding) lane() *lane { return h.queue.lanes[0] }

// add takes a message in.
func (h *holding) add(e entry) {
	b := h.queue.v.b
	m := held{at: b.after(e.msg.Stamp, delayOf(e.msg.Props)), pos: e.pos, msg: e.msg, stored: e.stored, size: int32(len(e.msg.Body))}
	switch {
	case !e.stored:
		b.transient.Add(footprint(e.msg))
	case h.bytes+len(e.msg.Body)+messageOverhead > b.limits.WindowBytes:
		m.msg = nil
	default:
		h.bytes += len(e.msg.Body) + messageOverhead
	}
	heap.Push(&h.index, m)
}

// arm has the ticker call when the next message is due.
func (h *holding) arm() {
	if len(h.index) > 0 {
		h.queue.v.b.alarm(h.index[0].at)
	}
}

// releaseAllLocked lets everything go whose time has come, and says when the
// next one's will; 0 is never. It may wait for the disk.
func (v *VHost) releaseAllLocked() (next amqp.Instant) {
	for h := range v.holdings {
		for v.indexLocked(h) || v.releaseLocked(h) {
			v.finishLocked()
		}
		if len(h.index) > 0 && (next == 0 || h.index[0].at < next) {
			next = h.index[0].at
		}
	}
	return next
}

// indexLocked takes some of what an earlier start has left into the index, and
// reports whether it did.
func (v *VHost) indexLocked(h *holding) bool {
	l := h.lane()
	if l.cold == 0 || h.queue.deleted {
		return false
	}
	// Not one more than is cold: what came since the start is indexed already.
	items := v.readHeldLocked(h, l.coldFrom, min(l.cold, v.b.limits.WindowMessages))
	if len(items) == 0 || h.queue.deleted {
		h.queue.count -= l.cold
		l.cold = 0
		return false
	}
	l.cold = max(0, l.cold-len(items))
	l.coldFrom = items[len(items)-1].Pos + 1
	for i := range items {
		if msg, ok := v.thawHeldLocked(h, &items[i]); ok {
			h.add(entry{pos: items[i].Pos, msg: msg, stored: true})
		}
	}
	return true
}

// releaseLocked lets some messages go that are due, and reports whether it did.
func (v *VHost) releaseLocked(h *holding) bool {
	now := v.b.now()
	if h.queue.deleted || len(h.index) == 0 || h.index[0].at > now {
		return false
	}
	var read []spool.Item // from the first one's position on
	if first := h.index[0]; first.msg == nil {
		if read = v.readHeldLocked(h, first.pos, releaseMax); h.queue.deleted {
			return false
		}
	}
	for n := 0; n < releaseMax && len(h.index) > 0 && h.index[0].at <= now; n++ {
		m := h.index[0]
		if m.msg == nil {
			i, found := slices.BinarySearchFunc(read, m.pos, func(it spool.Item, pos spool.Pos) int { return int(int64(it.Pos) - int64(pos)) })
			if !found && n > 0 {
				break // is read first in the next round
			}
			heap.Pop(&h.index)
			if !found {
				v.lostHeldLocked(h)
			} else if msg, ok := v.thawHeldLocked(h, &read[i]); ok {
				v.letGoLocked(h, m, msg)
				v.cutLocked()
			}
			continue
		}
		heap.Pop(&h.index)
		if m.stored {
			h.bytes -= len(m.msg.Body) + messageOverhead
		}
		v.letGoLocked(h, m, m.msg)
		v.cutLocked()
	}
	return true
}

// letGoLocked routes a message whose time has come.
func (v *VHost) letGoLocked(h *holding, m held, msg *amqp.Message) {
	h.forget(m.size)
	v.goneLocked(h.queue.id, entry{pos: m.pos, msg: msg, stored: m.stored})
	due := *msg
	list := msg.Props.List()
	list.Headers = list.Headers.With(delayHeader, negated(delayOf(msg.Props)))
	due.Props = list.Encode()
	due.Stamp = amqp.Stamp{Boot: v.b.boots.current, At: v.b.now()}
	targets := v.routeMessageLocked(h.exchange, &due)
	out := &due
	if blind(out.Props) {
		out = withoutBlind(out)
	}
	v.deliverToLocked(out, targets)
	v.batch.Moves = true
}

// negated keeps to 32 bits where they are enough: some clients read a negative
// number of 64 bits as a huge one.
func negated(n int64) any {
	if n <= math.MaxInt32 {
		return int32(-n)
	}
	return -n
}

func (h *holding) forget(size int32) {
	h.queue.count--
	h.queue.bytes -= int64(size)
	h.queue.out++
}

// readHeldLocked reads what is held from a position on. The lock is given up
// meanwhile.
func (v *VHost) readHeldLocked(h *holding, from spool.Pos, most int) []spool.Item {
	items := make([]spool.Item, most)
	v.mu.Unlock()
	n, err := v.b.log.Read(h.queue.id, from, items, v.b.limits.WindowBytes)
	v.mu.Lock()
	if err != nil {
		v.b.trouble("held messages cannot be read", "of", h.queue.name, "err", err)
	}
	return items[:n]
}

// thawHeldLocked makes a read item a message again; a damaged one is told,
// counted and taken out.
func (v *VHost) thawHeldLocked(h *holding, it *spool.Item) (*amqp.Message, bool) {
	msg, err := thaw(it, new(names))
	if err == nil {
		return msg, true
	}
	v.b.counts.damaged.Add(1)
	v.b.trouble("stored message is damaged and was left out", "of", h.queue.name, "position", uint64(it.Pos), "err", err)
	v.batch.Leaves = append(v.batch.Leaves, spool.Leave{Queue: h.queue.id, Pos: it.Pos})
	h.forget(0)
	return nil, false
}

// lostHeldLocked: the spool does not have what the index says.
func (v *VHost) lostHeldLocked(h *holding) {
	h.forget(0)
	v.b.counts.missing.Add(1)
	v.b.trouble("a held message is not in the spool", "of", h.queue.name)
}
