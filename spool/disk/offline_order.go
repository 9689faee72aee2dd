package disk

import (
	"container/heap"
	"slices"
)

// Chunks are read in an order that keeps the one of every queue. Ids alone do
// not: chunks that were merged have a newer one than what comes behind them.

// chunkOrder says which chunks come before which.
type chunkOrder struct {
	after map[uint64][]uint64
	open  map[uint64]int // how many still have to come before
}

// orderOf takes entries in the order of their keys, by queue and position.
func orderOf(entries []*entry) chunkOrder {
	o := chunkOrder{make(map[uint64][]uint64), make(map[uint64]int)}
	for i, e := range entries {
		if i > 0 && entries[i-1].queue == e.queue && entries[i-1].chunk != e.chunk {
			before := entries[i-1].chunk
			o.after[before] = append(o.after[before], e.chunk)
			o.open[e.chunk]++
		}
	}
	return o
}

// sort answers the chunks in order, the lowest id first where any may come
// first. A circle, which only damage makes, is broken at its lowest id.
func (o chunkOrder) sort(ids []uint64) []uint64 {
	var ready idHeap
	waiting := make(map[uint64]bool)
	for _, id := range ids {
		if o.open[id] == 0 {
			ready = append(ready, id)
		} else {
			waiting[id] = true
		}
	}
	heap.Init(&ready)
	rest := slices.Sorted(slices.Values(ids))
	list := make([]uint64, 0, len(ids))
	for len(list) < len(ids) {
		for len(ready) == 0 {
			if id := rest[0]; waiting[id] {
				delete(waiting, id)
				ready = append(ready, id)
			}
			rest = rest[1:]
		}
		id := heap.Pop(&ready).(uint64)
		list = append(list, id)
		for _, next := range o.after[id] {
			if o.open[next]--; o.open[next] == 0 && waiting[next] {
				delete(waiting, next)
				heap.Push(&ready, next)
			}
		}
	}
	return list
}

type idHeap []uint64

func (h idHeap) Len() int           { return len(h) }
func (h idHeap) Less(i, k int) bool { return h[i] < h[k] }
func (h idHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *idHeap) Push(x any)        { *h = append(*h, x.(uint64)) }
func (h *idHeap) Pop() any {
	old := *h
	id := old[len(old)-1]
	*h = old[:len(old)-1]
	return id
}
