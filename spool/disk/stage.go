package disk

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"leveret/spool"
)

const (
	// stageCost is what a staged record or leave takes in memory beside its
	// own bytes. Records that were cancelled keep costing it until their group
	// is taken, so that a group stays bounded whatever happens in it.
	stageCost = 64
	leaveCost = 24
	destCost  = 24 // each queue but the first that a record enters

	gone = ^uint32(0) // instead of a record's index: it left
)

// group is what was appended since the writer took the last one. It changes
// under the store's lock until it is taken; then only the writer works on it,
// and readers may look.
type group struct {
	records []stagedRecord
	queues  map[spool.QueueID]*stagedQueue
	order   []*stagedQueue // as they were first named
	puts    []spool.Put

	last   spool.LSN
	bytes  int64
	begun  time.Time // when the first batch came
	live   int       // records that are in some queue
	leaves int       // of records that are not in this group
	purges int
	asking int // records and other changes for which somebody is likely to wait

	readers int // the group's memory is not used again while there are any
}

type stagedRecord struct {
	rec      spool.Record
	to       []spool.Dest
	payload  uint32
	size     uint32 // as it was counted in bytes
	live     uint32 // queues that it has not left
	volatile bool

	chunk uint64 // where the writer put it
	slot  uint32
}

type stagedQueue struct {
	id     spool.QueueID
	listed bool     // in the group's order
	enters []placed // rising
	head   int      // all before it left
	leaves []leave  // of stored records, as they came; append only
	mixed  bool     // leaves are not rising
	purges []span   // everything stored there before this group leaves; append only
}

type placed struct {
	pos spool.Pos
	rec uint32
}

type leave struct {
	pos  spool.Pos
	size uint32
}

// enterCost is what a staged record costs beside its own bytes.
func enterCost(e *spool.Enter) int64 { return stageCost + int64(max(0, len(e.To)-1))*destCost }

// putCost is what a staged definition costs.
func putCost(p *spool.Put) int64 { return int64(len(p.Key)+len(p.Value)) + stageCost }

// weigh is what a batch adds to a group, at most.
func weigh(b *spool.Batch) (n int64) {
	for i := range b.Enters {
		n += int64(b.Enters[i].Record.Size()) + enterCost(&b.Enters[i])
	}
	for i := range b.Puts {
		n += putCost(&b.Puts[i])
	}
	return n + leaveCost*int64(len(b.Leaves)+len(b.Purges))
}

func newGroup() *group { return &group{queues: make(map[spool.QueueID]*stagedQueue)} }

// queuesKept bounds the queues whose memory a group keeps for the next time.
const queuesKept = 1024

// reset empties the group for its next use.
func (g *group) reset() {
	if len(g.queues) > queuesKept {
		*g = *newGroup()
		return
	}
	clear(g.records)
	clear(g.puts)
	for _, q := range g.order {
		q.enters, q.leaves, q.head = q.enters[:0], q.leaves[:0], 0
		q.listed, q.mixed, q.purges = false, false, nil
	}
	*g = group{records: g.records[:0], queues: g.queues, order: g.order[:0], puts: g.puts[:0]}
}

// idle reports that nothing of the group needs the disk.
func (g *group) idle() bool {
	return g.live == 0 && g.leaves == 0 && g.purges == 0 && len(g.puts) == 0
}

func (g *group) queue(id spool.QueueID) *stagedQueue {
	q := g.queues[id]
	if q == nil {
		q = &stagedQueue{id: id}
		g.queues[id] = q
	}
	if !q.listed {
		q.listed = true
		g.order = append(g.order, q)
	}
	return q
}

func (g *group) enter(e *spool.Enter) {
	size := e.Record.Size()
	i := uint32(len(g.records))
	g.records = append(g.records, stagedRecord{
		rec: e.Record, to: e.To, payload: uint32(e.Size), size: uint32(size),
		live: uint32(len(e.To)), volatile: e.Volatile,
	})
	if len(e.To) > 0 {
		g.live++
		g.bytes += int64(size)
	}
	g.bytes += enterCost(e)
	for _, d := range e.To {
		q := g.queue(d.Queue)
		if n := len(q.enters); n > 0 && q.enters[n-1].pos >= d.Pos {
			panic(fmt.Sprintf("BUG: queue %d: position %d after %d", d.Queue, d.Pos, q.enters[n-1].pos))
		}
		q.enters = append(q.enters, placed{d.Pos, i})
	}
}

// leave takes a message out and reports whether it was one of this group.
func (g *group) leave(l *spool.Leave) bool {
	q := g.queue(l.Queue)
	if i, ok := q.find(l.Pos); ok {
		return g.cancel(q, i)
	}
	if n := len(q.leaves); n > 0 && q.leaves[n-1].pos > l.Pos {
		q.mixed = true
	}
	q.leaves = append(q.leaves, leave{l.Pos, uint32(l.Size)})
	g.leaves++
	g.bytes += leaveCost
	return false
}

// cancel takes the message at index i of q out before it was ever written.
func (g *group) cancel(q *stagedQueue, i int) bool {
	p := &q.enters[i]
	if p.rec == gone {
		return false
	}
	r := &g.records[p.rec]
	p.rec = gone
	for q.head < len(q.enters) && q.enters[q.head].rec == gone {
		q.head++
	}
	if r.live--; r.live == 0 {
		g.live--
		g.bytes -= int64(r.size)
		r.rec, r.to = nil, nil
	}
	return true
}

// clear purges a stretch of a queue: what this group holds of it is cancelled,
// the rest is noted. It returns how many were cancelled.
func (g *group) clear(id spool.QueueID, p span) (n int) {
	q := g.queue(id)
	begin := sort.Search(len(q.enters), func(i int) bool { return q.enters[i].pos >= p.from })
	end := sort.Search(len(q.enters), func(i int) bool { return q.enters[i].pos > p.to })
	for i := begin; i < end; i++ {
		if g.cancel(q, i) {
			n++
		}
	}
	// The slots go too: positions may begin anew after a purge.
	q.enters = slices.Delete(q.enters, begin, end)
	q.head = min(q.head, begin)
	q.notePurge(p)
	g.purges++
	g.bytes += leaveCost
	return n
}

// notePurge keeps the list short when a queue is purged again and again.
func (q *stagedQueue) notePurge(p span) {
	if k := len(q.purges); k > 0 {
		if l := q.purges[k-1]; p.from <= l.from && p.to >= l.to {
			q.purges = append(slices.Clone(q.purges[:k-1]), p) // readers may share the list
			return
		}
	}
	q.purges = append(q.purges, p)
}

func (q *stagedQueue) find(pos spool.Pos) (int, bool) {
	live := q.enters[q.head:]
	if len(live) > 0 && live[0].pos == pos { // the usual case: in order
		return q.head, true
	}
	i := sort.Search(len(live), func(i int) bool { return live[i].pos >= pos })
	return q.head + i, i < len(live) && live[i].pos == pos
}

// read fills items with the group's live messages at or above from.
func (g *group) read(id spool.QueueID, from spool.Pos, items []spool.Item, left func(spool.Pos) bool) (n int) {
	q := g.queues[id]
	if q == nil {
		return 0
	}
	live := q.enters[q.head:]
	i := sort.Search(len(live), func(i int) bool { return live[i].pos >= from })
	for ; i < len(live) && n < len(items); i++ {
		p := live[i]
		if p.rec == gone || left(p.pos) {
			continue
		}
		items[n] = spool.Item{Pos: p.pos, Live: g.records[p.rec].rec}
		n++
	}
	return n
}

// sortedLeaves gives the queue's leaves in order without touching the list,
// which readers may share.
func (q *stagedQueue) sortedLeaves() []leave {
	if !q.mixed {
		return q.leaves
	}
	l := slices.Clone(q.leaves)
	slices.SortFunc(l, func(a, b leave) int {
		switch {
		case a.pos < b.pos:
			return -1
		case a.pos > b.pos:
			return 1
		}
		return 0
	})
	return l
}
