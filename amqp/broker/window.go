package broker

import (
	"math"
	"slices"

	"leveret/amqp"
)

// window remembers what messages were marked with lately, so that one that is
// published again is taken once ("message deduplication"). Exchanges and queues
// have one when the argument x-message-deduplication is true; the mark is the
// header x-deduplication-header of a message, or the one that the argument of
// that name names; "message-id" is the property, where there is no such header. A
// message without a mark is never a duplicate.
//
// It is bounded by x-cache-size and x-cache-ttl (ms). The marks of messages that
// the spool keeps survive a start; see windowPages.
type window struct {
	header string
	size   int
	ttl    int64 // ms; 0: for ever

	known   map[string]struct{}
	order   ring[mark] // oldest first; a mark that was seen again is not moved
	pending []mark     // of the batch under way: known, and not yet in order
	pages   *windowPages
}

// mark is one message's.
type mark struct {
	value  string
	stamp  amqp.Stamp
	until  amqp.Instant // 0 is for ever
	stored bool         // the message depends on the disk, and so does its mark
}

const (
	argDeduplication  = "x-message-deduplication"
	argDedupHeader    = "x-deduplication-header"
	dedupMessageID    = "message-id" // for argDedupHeader
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
		header: argDedupHeader, known: make(map[string]struct{}),
		size: int(min(r.number(argDedupCacheSize, windowSize, 1), windowSizeMax)),
		ttl:  r.number(argDedupCacheTTL, 0, 1),
	}
	if header, given := r.text(argDedupHeader); given {
		w.header = header
	}
	return w
}

// freshLocked reports whether a message was not seen before, and remembers it as
// part of the running batch; stored tells that it depends on the disk.
func (v *VHost) freshLocked(w *window, m *amqp.Message, stored bool) bool {
	if w == nil {
		return true
	}
	text, given := w.markOf(m.Props)
	if !given {
		return true
	}
	now := v.b.now()
	w.forget(now, math.MaxInt) // what is too many goes when the batch was taken
	if _, seen := w.known[text]; seen {
		return false
	}
	w.known[text] = struct{}{}
	if len(w.pending) == 0 {
		v.windows = append(v.windows, w)
	}
	k := mark{value: text, stamp: amqp.Stamp{Boot: v.b.boots.current, At: now}, stored: stored}
	k.until = w.deadline(v.b, k.stamp)
	w.pending = append(w.pending, k)
	return true
}

// markOf is what a message was marked with.
func (w *window) markOf(p amqp.Properties) (text string, given bool) {
	if p.Has(amqp.HasHeaders) {
		if value, given := p.Header(w.header); given {
			text := amqp.FormatValue(value)
			return text[:min(len(text), markMax)], true
		}
	}
	if w.header != dedupMessageID {
		return "", false
	}
	text = p.MessageID() // a short string: not longer than a mark
	return text, text != ""
}

// deadline is when a mark is forgotten.
func (w *window) deadline(b *Broker, s amqp.Stamp) amqp.Instant {
	if w.ttl == 0 {
		return 0
	}
	return b.after(s, w.ttl)
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
	if w.marked() <= n {
		return
	}
	for _, k := range w.pending[n:] {
		delete(w.known, k.value)
	}
	clear(w.pending[n:])
	w.pending = w.pending[:n]
}

// keep notes that the marks of the running batch after the first n are of
// messages that depend on the disk.
func (w *window) keep(n int) {
	for i := n; i < w.marked(); i++ {
		w.pending[i].stored = true
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

// forget drops what is too old, and the oldest when there are more than most.
func (w *window) forget(now amqp.Instant, most int) {
	for w.order.len() > 0 {
		k := w.order.front()
		if len(w.known) <= most && (k.until == 0 || k.until > now) {
			return
		}
		delete(w.known, k.value)
		w.order.popFront()
	}
}

// rememberLocked: the running batch was taken, or was not.
func (v *VHost) rememberLocked(taken bool) {
	for _, w := range v.windows {
		if !taken {
			w.unmark(0)
		}
		for _, k := range w.pending {
			w.order.pushBack(k)
		}
		w.pages.written(taken)
		clear(w.pending)
		w.pending = w.pending[:0]
		w.forget(v.b.now(), w.size)
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
		q := t.queue
		seen := !v.freshLocked(q.window, p.Msg, p.Msg.Persistent() && q.durable() && !t.transient)
		if seen {
			v.repeated(p)
		}
		return seen
	})
}
