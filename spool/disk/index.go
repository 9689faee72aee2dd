package disk

import (
	"errors"
	"slices"
	"sort"

	"leveret/spool"
)

const (
	// The cache of index entries is bounded by entries and by runs, because a
	// badly fragmented entry is a hundred times larger than a fresh one.
	cachedEntriesMax = 4096
	cachedRunsMax    = 64 << 10
	// purgeStep is how many entries one transaction of a purge removes.
	purgeStep = 1024
)

// index is the writer's knowledge of what is stored. Only the writer touches
// it (and Open before there is one); what readers need of it is published under
// the store's lock with each commit. After a failed commit it is worthless.
type index struct {
	refs    refs
	queues  map[spool.QueueID]*queueIndex // those that have something stored
	purging map[spool.QueueID]span        // purges that are not finished
	next    uint64                        // id of the next chunk

	cache  entry // head of a ring, newest first
	cached int
	runs   int // about, in the cache

	look    seeker // as of the last commit
	dirty   []*entry
	changes changes
	touched []spool.QueueID // whose head may have moved

	inline  int64 // stored bytes from which a chunk goes to the value log
	small   int   // entries of chunks below that
	kept    int   // as many of them the last merge left
	thinned int64 // payload that left since the last look for sparse chunks

	removed   int64 // places that left, in the group being built
	freed     int64 // stored bytes of the chunks deleted in it
	corrupted uint64
}

type queueIndex struct {
	id       spool.QueueID
	head     spool.Pos // no stored entry begins below
	entries  int
	resident []*entry  // by first
	seen     spool.Pos // a merge has looked at small chunks up to here
	each     int64     // stored bytes of a message, when payload tells too little; 0: unknown
}

func newIndex() *index {
	ix := &index{
		refs:    newRefs(),
		queues:  make(map[spool.QueueID]*queueIndex),
		purging: make(map[spool.QueueID]span),
		next:    1,
	}
	ix.cache.prev, ix.cache.next = &ix.cache, &ix.cache
	return ix
}

// begin starts a group's changes. at is the moment of the last
// commit.
func (ix *index) begin(at moment) {
	ix.look = seeker{at: at}
	ix.changes.reset()
	ix.dirty, ix.touched = ix.dirty[:0], ix.touched[:0]
	ix.removed, ix.freed, ix.corrupted = 0, 0, 0
}

// end ends them.
func (ix *index) end() { ix.look.close() }

// leave takes messages out.
func (ix *index) leave(q spool.QueueID, leaves []leave) error {
	var e *entry
	for _, l := range leaves {
		if e == nil || e.queue != q || !holds(e, l.pos) {
			var err error
			if e, err = ix.find(q, l.pos); err != nil {
				return err
			}
		}
		if e == nil {
			continue
		}
		before := len(e.runs)
		if e.remove(l.pos, int64(l.size)) {
			ix.runs += max(0, len(e.runs)-before)
			ix.removed++
			ix.thinned += int64(l.size)
			ix.mark(e)
		}
	}
	return nil
}

func holds(e *entry, pos spool.Pos) bool {
	return len(e.runs) > 0 && e.runs[0].pos <= pos && pos <= e.last()
}

func (ix *index) mark(e *entry) {
	if !e.dirty {
		e.dirty = true
		ix.dirty = append(ix.dirty, e)
	}
}

// find gives the entry that may hold pos; nil when there is none.
func (ix *index) find(q spool.QueueID, pos spool.Pos) (*entry, error) {
	qi := ix.queues[q]
	if qi == nil {
		return nil, nil
	}
	if e := qi.floor(pos); e != nil && holds(e, pos) {
		ix.touch(e)
		return e, nil
	}
	e, err := ix.look.floor(q, pos, qi.head)
	if errors.Is(err, spool.ErrCorrupt) {
		ix.corrupted++ // it cannot be rewritten; Open will drop it
		return nil, nil
	}
	if e == nil || err != nil {
		return nil, err
	}
	return ix.admit(qi, e), nil
}

// floor is the cached entry with the highest first at or below pos.
func (qi *queueIndex) floor(pos spool.Pos) *entry {
	i := sort.Search(len(qi.resident), func(i int) bool { return qi.resident[i].first > pos })
	if i == 0 {
		return nil
	}
	return qi.resident[i-1]
}

// admit puts an entry read from the disk into the cache, or answers the one
// that is there already and newer.
func (ix *index) admit(qi *queueIndex, e *entry) *entry {
	i, ok := slices.BinarySearchFunc(qi.resident, e.first, byFirst)
	if ok {
		return qi.resident[i]
	}
	qi.resident = slices.Insert(qi.resident, i, e)
	ix.link(e)
	return e
}

func byFirst(e *entry, first spool.Pos) int {
	switch {
	case e.first < first:
		return -1
	case e.first > first:
		return 1
	}
	return 0
}

func (ix *index) link(e *entry) {
	e.prev, e.next = &ix.cache, ix.cache.next
	e.prev.next, e.next.prev = e, e
	ix.cached++
	ix.runs += len(e.runs)
}

func (ix *index) unlink(e *entry) {
	if e.next == nil {
		return // was never in the cache
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	ix.cached--
	if qi := ix.queues[e.queue]; qi != nil {
		if i, ok := slices.BinarySearchFunc(qi.resident, e.first, byFirst); ok && qi.resident[i] == e {
			qi.resident = slices.Delete(qi.resident, i, i+1)
		}
	}
}

func (ix *index) touch(e *entry) {
	if ix.cache.next != e && e.next != nil {
		e.prev.next, e.next.prev = e.next, e.prev
		e.prev, e.next = &ix.cache, ix.cache.next
		e.prev.next, e.next.prev = e, e
	}
}

// evict keeps the cache in its bounds. Nothing may be dirty.
func (ix *index) evict() {
	if ix.cached <= cachedEntriesMax && ix.runs <= cachedRunsMax {
		return
	}
	ix.runs = 0 // runs split and melt while cached: count anew
	kept := 0
	for e := ix.cache.next; e != &ix.cache; {
		next := e.next
		if kept++; kept > cachedEntriesMax*7/8 || ix.runs+len(e.runs) > cachedRunsMax*7/8 {
			ix.unlink(e)
		} else {
			ix.runs += len(e.runs)
		}
		e = next
	}
}

// insert stores a new entry, which overlaps with no other of its queue.
func (ix *index) insert(e *entry) {
	qi := ix.queues[e.queue]
	if qi == nil {
		qi = &queueIndex{id: e.queue, head: e.first}
		ix.queues[e.queue] = qi
	}
	qi.entries++
	qi.head = min(qi.head, e.first)
	i, _ := slices.BinarySearchFunc(qi.resident, e.first, byFirst)
	qi.resident = slices.Insert(qi.resident, i, e)
	if ix.isSmall(e) {
		ix.small++
	}
	ix.link(e)
	ix.refs.set(e.chunk, ix.refs.get(e.chunk)+1)
	ix.touched = append(ix.touched, e.queue)
	ix.changes.set(entryKey(e.queue, e.first), e.encode())
}

// flush turns dirty entries into changes: those that are empty go, and with
// the last of a chunk the chunk.
func (ix *index) flush() {
	for _, e := range ix.dirty {
		e.dirty = false
		if len(e.runs) > 0 {
			ix.changes.set(entryKey(e.queue, e.first), e.encode())
			continue
		}
		ix.changes.del(entryKey(e.queue, e.first))
		ix.unlink(e)
		ix.forget(e)
		ix.deref(e.chunk, e.weight)
	}
	ix.dirty = ix.dirty[:0]
}

// forget takes a deleted entry off its queue.
func (ix *index) forget(e *entry) {
	if ix.isSmall(e) {
		ix.small--
	}
	qi := ix.queues[e.queue]
	if qi == nil {
		return
	}
	ix.touched = append(ix.touched, e.queue)
	if qi.entries--; qi.entries == 0 {
		delete(ix.queues, e.queue)
	} else if e.first == qi.head {
		qi.head = e.top + 1
	}
}

func (ix *index) deref(chunk, weight uint64) {
	last, parts := ix.refs.drop(chunk)
	if !last {
		return
	}
	ix.freed += int64(weight)
	ix.changes.del(chunkKey(chunk))
	if parts {
		for _, k := range ix.look.parts(chunk) {
			ix.changes.del(k)
		}
	}
}
