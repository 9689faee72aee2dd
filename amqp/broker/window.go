package broker

import (
	"slices"
	"time"

	"leveret/amqp"
)

// window remembers what messages were marked with lately, so that one that is
// published again is taken once ("message deduplication"). Exchanges and queues
// have one when the argument x-message-deduplication is true; the mark is the
// header x-deduplication-header of a message, or the one that the argument of
// that name names. A message without a mark is never a duplicate.
//
// It is bounded by x-cache-size and x-cache-ttl (ms), and in memory only: after
// a start the first duplicate passes.
type window struct {
	header string
	size   int
	ttl    amqp.Instant // 0: for ever

	last    map[string]amqp.Instant // when a mark was seen last
	order   ring[mark]              // oldest first; a mark that was seen again is not moved
	pending []string                // of the batch under way
}

type mark struct {
	value string
	at    amqp.Instant
}

const (
	argDeduplication  = "x-message-deduplication"
	argDedupHeader    = "x-deduplication-header"
	argDedupCacheSize = "x-cache-size"
	argDedupCacheTTL  = "x-cache-ttl"

	windowSize    = 10_000  // by default
	windowSizeMax = 100_000 // marks that may be asked for
	markMax       = 255     // bytes of a mark that count
)

// window reads the arguments of deduplication; nil is none.
func (r *argReader) window() *window {
	if !r.flag(argDeduplication) {
		return nil
	}
	w := &window{
		header: argDedupHeader, last: make(map[string]amqp.Instant),
		size: int(min(r.number(argDedupCacheSize, windowSize, 1), windowSizeMax)),
		ttl:  amqp.Instant(time.Duration(r.number(argDedupCacheTTL, 0, 1)) * time.Millisecond),
	}
	if header, given := r.text(argDedupHeader); given {
		w.header = header
	}
	return w
}

// freshLocked reports whether a message was not seen before, and remembers it as part
// of the running batch.
func (v *VHost) freshLocked(w *window, m *amqp.Message) bool {
	if w == nil || !m.Props.Has(amqp.HasHeaders) {
		return true
	}
	value, given := m.Props.Header(w.header)
	if !given {
		return true
	}
	text := amqp.FormatValue(value)
	text = text[:min(len(text), markMax)]
	now := v.b.now()
	w.forget(now)
	if _, seen := w.last[text]; seen {
		return false
	}
	w.last[text] = now
	w.order.pushBack(mark{text, now})
	if len(w.pending) == 0 {
		v.windows = append(v.windows, w)
	}
	w.pending = append(w.pending, text)
	return true
}

// marked is how many messages of the running batch were marked.
func (w *window) marked() int {
	if w == nil {
		return 0
	}
	return len(w.pending)
}

// unmark forgets those marks of the running batch that came after the first n.
func (w *window) unmark(n int) {
	for w.marked() > n {
		last := len(w.pending) - 1
		delete(w.last, w.pending[last])
		w.order.popBack()
		w.pending = w.pending[:last]
	}
}

// repeated: a message is a duplicate, and its promise is the same as that of the
// first one, which may still be on its way to the disk.
func (v *VHost) repeated(p *Publish) {
	v.b.counts.duplicates.Add(1)
	if p.Msg.Persistent() {
		p.LSN = pendingLSN
	}
}

// forget makes room and drops what is too old.
func (w *window) forget(now amqp.Instant) {
	for w.order.len() > 0 {
		m := w.order.front()
		if len(w.last) < w.size && (w.ttl == 0 || m.at+w.ttl > now) {
			return
		}
		if w.last[m.value] == m.at {
			delete(w.last, m.value)
		}
		w.order.popFront()
	}
}

// rememberLocked: the running batch was taken, or was not.
func (v *VHost) rememberLocked(taken bool) {
	for _, w := range v.windows {
		if !taken {
			w.unmark(0)
		}
		w.pending = w.pending[:0]
	}
	clear(v.windows)
	v.windows = v.windows[:0]
}

// firstTimeLocked leaves those queues out that have seen the message.
func (v *VHost) firstTimeLocked(p *Publish, targets []target) []target {
	if !slices.ContainsFunc(targets, func(t target) bool { return t.queue.window != nil }) {
		return targets
	}
	return slices.DeleteFunc(slices.Clone(targets), func(t target) bool {
		seen := !v.freshLocked(t.queue.window, p.Msg)
		if seen {
			v.repeated(p)
		}
		return seen
	})
}
