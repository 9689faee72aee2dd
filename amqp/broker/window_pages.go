package broker

import (
	"cmp"
	"encoding/binary"
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// windowPages is what the spool keeps of a durable window: a ring of pages of
// pageMarks marks each, overwritten from the oldest on when it is full. A mark is
// written with its message, in the same batch, so that after a cut both are there
// or none; the page that is not full is written again with each batch that adds
// to it. A message alone in its commit so costs half a page of marks beside its
// own bytes, one of a full stream its mark and little else.
//
// Only marks of messages that depend on the disk are kept: that of a message
// that a cut took away would refuse its second try.
type windowPages struct {
	vhost string
	owner byte
	name  string
	ring  uint64 // pages: full ones for a whole window, and the one that is written

	safe, draft windowPage // as of the last batch that was taken, and with the running one
}

// windowPage is the page that is not full.
type windowPage struct {
	number uint64 // it counts up; its place in the ring is the remainder
	marks  int
	text   []byte // the encoded marks, append only
}

const (
	pageMarks = 16

	ownerExchange byte = 0
	ownerQueue    byte = 1
)

// lasts makes the window of a durable owner survive starts.
func (w *window) lasts(v *VHost, owner byte, name string) {
	if w != nil {
		w.pages = &windowPages{vhost: v.name, owner: owner, name: name, ring: uint64(w.size/pageMarks + 2)}
	}
}

// keepMarksLocked adds the marks of the running batch to it.
func (v *VHost) keepMarksLocked() {
	for _, w := range v.windows {
		if w.pages == nil {
			continue
		}
		for i := range w.pending {
			if w.pending[i].stored {
				v.batch.Puts = w.pages.add(v.batch.Puts, &w.pending[i])
			}
		}
		if p := w.pages; p.draft.marks > 0 && (p.draft.number != p.safe.number || p.draft.marks != p.safe.marks) {
			v.batch.Puts = append(v.batch.Puts, p.put())
		}
	}
}

// add writes a mark on the page, and the page to puts when it is full.
func (p *windowPages) add(puts []spool.Put, k *mark) []spool.Put {
	d := &p.draft
	d.text = appendText(d.text, k.value)
	d.text = binary.AppendUvarint(d.text, uint64(k.stamp.Boot))
	d.text = binary.AppendUvarint(d.text, uint64(k.stamp.At))
	if d.marks++; d.marks == pageMarks {
		puts = append(puts, p.put())
		*d = windowPage{number: d.number + 1}
	}
	return puts
}

func (p *windowPages) put() spool.Put {
	b := appendText([]byte{definitionVersion}, p.vhost)
	b = appendText(append(b, p.owner), p.name)
	b = binary.AppendUvarint(b, p.draft.number)
	return spool.Put{Key: p.key(p.draft.number), Value: append(b, p.draft.text...)}
}

func (p *windowPages) key(number uint64) string {
	place := binary.BigEndian.AppendUint32(nil, uint32(number%p.ring))
	return definitionKey(kindSeen, p.vhost, string(p.owner), p.name, string(place))
}

// written: the running batch was taken, or was not.
func (p *windowPages) written(taken bool) {
	switch {
	case p == nil:
	case taken:
		p.safe = p.draft
	default:
		p.draft = p.safe
	}
}

// dropPagesLocked: the owner of a window is deleted.
func (v *VHost) dropPagesLocked(w *window) {
	if w == nil || w.pages == nil {
		return
	}
	p := w.pages
	for number := range min(p.safe.number+1, p.ring) {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: p.key(number)})
	}
}

// page keeps a page until all are read: they come in order of their places. One
// whose owner is gone, or takes everything now, is forgotten.
func (r *recovery) page(key string, value []byte) error {
	d := decode(value)
	vhost, owner, name, number := d.text(), d.u8(), d.text(), d.uvarint()
	if d.err != nil {
		return d.err
	}
	w := r.b.vhosts[vhost].windowOf(owner, name)
	if w == nil || w.pages == nil || w.pages.key(number) != key {
		r.dead = append(r.dead, spool.Put{Key: key})
		return nil
	}
	r.pages[w] = append(r.pages[w], windowPage{number: number, text: d.b})
	return nil
}

// windowOf is the window of an exchange or a queue, or nil.
func (v *VHost) windowOf(owner byte, name string) *window {
	if v == nil {
		return nil
	}
	if owner == ownerQueue {
		if q := v.queues[name]; q != nil {
			return q.window
		}
		return nil
	}
	if x := v.exchanges[name]; x != nil {
		return x.window
	}
	return nil
}

// remember takes over what the spool kept.
func (r *recovery) remember(w *window, pages []windowPage) {
	b := r.b
	slices.SortFunc(pages, func(x, y windowPage) int { return cmp.Compare(x.number, y.number) })
	for i := range pages {
		p := &pages[i]
		d := decoder{b: p.text}
		read := 0
		for len(d.b) > 0 {
			k := mark{value: d.text(), stamp: amqp.Stamp{Boot: amqp.Boot(d.uvarint()), At: amqp.Instant(d.uvarint())}, stored: true}
			if d.err != nil {
				r.unreadable(w.pages.key(p.number), d.err)
				break
			}
			p.marks, read = p.marks+1, len(p.text)-len(d.b)
			k.until = w.deadline(b, k.stamp)
			w.learn(k, b.now())
		}
		p.text = p.text[:read:read]
	}
	last := pages[len(pages)-1]
	if last.marks >= pageMarks {
		last = windowPage{number: last.number + 1}
	}
	w.pages.safe, w.pages.draft = last, last
}

// learn adds a mark of an earlier start.
func (w *window) learn(k mark, now amqp.Instant) {
	if _, twice := w.known[k.value]; twice || k.until != 0 && k.until <= now {
		return
	}
	w.known[k.value] = struct{}{}
	w.order.pushBack(k)
	w.forget(now, w.size)
}
