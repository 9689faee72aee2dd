package spool

import "iter"

// Waiting is a FIFO of promises, each held back until the log is durable up to
// its LSN. Nothing overtakes: a promise that needs no disk waits behind those
// that do. The zero value is ready. It has no lock of its own.
type Waiting[T any] struct {
	held []held[T]
	next int // index of the oldest in held
}

type held[T any] struct {
	lsn LSN
	v   T
}

// Push adds a promise.
func (w *Waiting[T]) Push(lsn LSN, v T) { w.held = append(w.held, held[T]{lsn, v}) }

// Len is how many are waiting.
func (w *Waiting[T]) Len() int { return len(w.held) - w.next }

// All gives the promises that wait, the oldest first.
func (w *Waiting[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := w.next; i < len(w.held); i++ {
			if !yield(w.held[i].v) {
				return
			}
		}
	}
}

// Pop takes the oldest promise if it may be given, knowing that the log is
// durable up to upTo.
func (w *Waiting[T]) Pop(upTo LSN) (v T, ok bool) {
	if w.Len() == 0 || w.held[w.next].lsn > upTo {
		return v, false
	}
	h := &w.held[w.next]
	v = h.v
	*h = held[T]{}
	w.next++
	w.compact()
	return v, true
}

// compact gives the memory of popped promises back: at once when nothing is
// held, else when half of it is dead.
func (w *Waiting[T]) compact() {
	switch {
	case w.next == len(w.held):
		w.held, w.next = w.held[:0], 0
	case w.next >= 256 && w.next*2 >= len(w.held):
		n := copy(w.held, w.held[w.next:])
		clear(w.held[n:])
		w.held, w.next = w.held[:n], 0
	}
}
