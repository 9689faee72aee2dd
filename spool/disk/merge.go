package disk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"leveret/spool"
)

// Some chunks are not worth their place, and are written anew with others:
//
// Small ones, which a trickle leaves behind. They lie in the LSM tree, where
// compaction would rewrite their bodies once for each level, each costs an
// index entry, and a few messages hardly pack. While a trickle is consumed
// they come and go; it is when they stay that they are merged.
//
// Sparse ones, of which a few messages stayed while the others left.
//
// A step takes neighbouring entries of one queue, copies their live messages
// into one new chunk and replaces the entries by one, for small chunks that
// queues share in all of these (merge_shared.go), all in one transaction
// between two commits: after a power cut either the old ones are there or the
// new one. Readers keep the snapshot that they have.
const (
	// mergeChunks small chunks must have stayed.
	mergeChunks = 1024
	// mergeFew: fewer small neighbours are left as they are.
	mergeFew = 16
	// mergeReadMax bounds the stored bytes that one step reads, and with them
	// the time for which commits wait; mergeWeightMax those of a single chunk.
	mergeReadMax   = 1 << 20
	mergeWeightMax = 8 << 20
	// mergeLook bounds the index entries that one step looks at.
	mergeLook = 4096
	// thinQuiet and thinLate are how long after messages left in number their
	// chunks are looked at: soon when it has become quiet, else later.
	thinQuiet = 2 * time.Second
	thinLate  = 15 * time.Second
)

// merger is where a pass over the queues has come to. The writer owns it.
type merger struct {
	queues []spool.QueueID // still to be looked at, the first in part
	from   spool.Pos
	sparse bool // looks for sparse chunks, else for small ones

	since time.Time // when messages began to leave after the last pass for sparse ones
}

// merges says when the next pass is due and begins it.
func (c *committer) merges(now time.Time, next func(time.Time)) {
	m, ix := &c.merger, c.index
	if len(m.queues) > 0 || c.opts.MergeChunks < 0 {
		return
	}
	ix.kept = min(ix.kept, ix.small)
	switch at := m.due(c, now); {
	case !at.IsZero() && !at.After(now):
		ix.thinned, m.since, m.sparse = 0, time.Time{}, true
	case ix.small >= ix.kept+c.opts.MergeChunks:
		m.sparse = false
	default:
		if !at.IsZero() {
			next(at)
		}
		return
	}
	m.queues = slices.Sorted(maps.Keys(ix.queues))
	m.enter(ix)
	next(now)
}

// due is when sparse chunks are to be looked for; the zero time: not yet.
func (m *merger) due(c *committer, now time.Time) time.Time {
	if c.index.thinned < c.opts.thin() {
		return time.Time{}
	}
	if m.since.IsZero() {
		m.since = now
	}
	at := m.since.Add(thinLate)
	if quiet := later(m.since, c.ended).Add(thinQuiet); quiet.Before(at) {
		at = quiet
	}
	return at
}

// thin is how much payload has to leave before sparse chunks are looked for.
func (o *Options) thin() int64 { return o.ReclaimBytes / 32 }

// enter begins with the first of the queues.
func (m *merger) enter(ix *index) {
	m.from = 0
	if len(m.queues) == 0 {
		if !m.sparse { // else small ones were not tried
			ix.kept = ix.small
		}
	} else if qi := ix.queues[m.queues[0]]; qi != nil && !m.sparse {
		m.from = qi.seen
	}
}

// merge does one step of a pass.
func (c *committer) merge() (more bool, err error) {
	m, ix := &c.merger, c.index
	if len(m.queues) == 0 || len(ix.purging) > 0 {
		return false, nil
	}
	if wait, err := c.putOff(mergeReadMax); wait || err != nil {
		return false, err
	}
	q := m.queues[0]
	ix.begin(c.snap.at)
	done, err := c.mergeSome(q)
	if err == nil {
		err = c.write(0)
	}
	ix.end()
	if err != nil {
		return false, fmt.Errorf("merge chunks of queue %d: %w", q, err)
	}
	if len(ix.changes.list) > 0 {
		c.publish(func() {})
	}
	ix.evict()
	if done {
		m.queues = m.queues[1:]
		m.enter(ix)
	}
	return len(m.queues) > 0, nil
}

// mergeSome merges the next chunks of a queue that are worth it, and reports
// whether the queue has no more.
func (c *committer) mergeSome(q spool.QueueID) (done bool, err error) {
	m, ix := &c.merger, c.index
	qi := ix.queues[q]
	if qi == nil {
		return true, nil
	}
	list, next, done, err := ix.gather(qi, max(m.from, qi.head), m.sparse, c.opts.MergeChunks)
	if err != nil {
		return false, err
	}
	if len(list) > 0 {
		n, err := c.rewrite(qi, list)
		if err != nil {
			return false, err
		}
		if n < len(list) { // the rest is another step's
			next, done = list[n].first, false
		}
	}
	m.from = next
	if qi = ix.queues[q]; qi != nil && !m.sparse { // all of it may have been replaced
		qi.seen = max(qi.seen, next)
	}
	return done, nil
}

// gather lists neighbouring entries that are worth a merge, from some position
// on, and says where to go on and whether that is the end.
func (ix *index) gather(qi *queueIndex, from spool.Pos, sparse bool, small int) (list []*entry, next spool.Pos, done bool, err error) {
	next, done = from, true
	var weight uint64
	var bytes int64
	looked, count := 0, 0
	enough := func() bool { return len(list) >= min(mergeFew, small) || sparse && len(list) > 0 }
	ix.look.entries(qi.id, from, func(e *entry, rerr error) bool {
		if rerr != nil {
			// Open makes it anew: what is merged may not reach over it.
			if !errors.Is(rerr, spool.ErrCorrupt) {
				err = rerr
			} else if done = !enough(); done {
				list, weight, bytes, count = list[:0], 0, 0, 0
			}
			return err == nil && done
		}
		worth := sparse && ix.sparse(e) || !sparse && ix.isSmall(e)
		full := len(list) > 0 && (bytes+e.bytes+e.volatile > chunkBytes || count+e.count() > chunkRecordsMax ||
			weight+e.weight > mergeReadMax)
		if looked++; looked > mergeLook || (full || !worth) && enough() {
			done = false
			return false
		}
		next = e.top + 1
		if full || !worth {
			list, weight, bytes, count = list[:0], 0, 0, 0
		}
		if worth {
			list = append(list, e)
			weight, bytes, count = weight+e.weight, bytes+e.bytes+e.volatile, count+e.count()
		}
		return true
	})
	if !enough() && len(list) > 0 {
		next, list = list[0].first, nil // until more come behind them
	}
	return list, next, done, err
}

// isSmall reports an entry whose chunk lies in the LSM tree.
func (ix *index) isSmall(e *entry) bool { return int64(e.weight) < ix.inline }

// sparse reports an entry that keeps a chunk for the sake of few messages. How
// much the chunk's other queues still have of it is a guess: as much.
func (ix *index) sparse(e *entry) bool {
	if ix.isSmall(e) || e.weight > mergeWeightMax {
		return false
	}
	sharers, count := ix.sharers(e), int64(e.count())
	live := e.bytes + e.volatile
	if qi := ix.queues[e.queue]; qi != nil {
		live = max(live, count*qi.each)
	}
	end := e.runs[len(e.runs)-1]
	return 2*sharers*live <= int64(e.weight) || 4*sharers*count <= int64(end.slot+end.n)
}

func (ix *index) sharers(e *entry) int64 {
	return int64(max(1, ix.refs.get(e.chunk)&refCount))
}

// full reports that an entry, which its payload made look sparse, keeps a good
// part of its chunk: names and headers may be most of a message. What one takes
// is kept in mind, or each look would read the queue anew.
func (ix *index) full(e *entry, ch *chunk) bool {
	sharers, live := ix.sharers(e), int64(0)
	for _, r := range e.runs {
		for _, s := range ch.slots[r.slot : r.slot+r.n] {
			live += int64(s.n)
		}
	}
	if 2*sharers*live <= int64(len(ch.body)) || 4*sharers*int64(e.count()) <= int64(len(ch.slots)) {
		return false
	}
	if qi := ix.queues[e.queue]; qi != nil {
		qi.each = int64(e.weight) / int64(len(ch.slots))
	}
	return true
}

// rewrite copies what entries of list hold into one chunk. It passes over those
// in front that cannot be copied, ends before the next such one, and says how
// many entries it is done with.
func (c *committer) rewrite(qi *queueIndex, list []*entry) (n int, err error) {
	ix := c.index
	if !c.merger.sparse {
		n, merged, err := c.rewriteShared(list)
		if merged || err != nil {
			return n, err
		}
		if n > 0 { // what comes behind these may be merged in another step
			list = list[:n]
		}
	}
	w := c.buffer(0)
	w.begin(ix.next)
	var into *entry
	begin := 0
	for ; n < len(list); n++ {
		ch, err := c.whole(list[n])
		if err != nil {
			return 0, err
		}
		if ch == nil && into != nil {
			break
		}
		if ch == nil {
			begin++
			continue
		}
		if into == nil {
			into = &entry{queue: qi.id, first: list[n].runs[0].pos, chunk: w.id}
		}
		copyLive(w, into, ch, list[n])
	}
	if into == nil {
		return n, nil
	}
	ix.next++
	w.routes = into.appendRoute(w.routes)
	for _, e := range list[begin:n] {
		e = ix.admit(qi, e)
		if ix.isSmall(e) && ix.refs.get(e.chunk)&refCount == 1 {
			ix.freed -= int64(e.weight) // compaction gives it back anyway
		}
		e.runs = e.runs[:0]
		ix.mark(e)
	}
	ix.flush()
	c.store(w, w.id)
	into.weight = uint64(len(w.buf))
	ix.insert(into)
	return n, nil
}

// whole reads the chunk of an entry that can be copied. It answers nil for one
// that has to stay: what is damaged, which reading it will tell, what other
// queues share, which would be stored twice and is rewriteShared's, and what is
// not sparse after all.
func (c *committer) whole(e *entry) (*chunk, error) {
	raw, err := readParts(c.snap.at, e.chunk)
	var routes []*entry
	if err == nil {
		routes, err = routesOf(e.chunk, raw)
	}
	var ch *chunk
	if err == nil {
		ch, err = decodeChunk(e.chunk, raw, c.zip)
	}
	if errors.Is(err, spool.ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ix := c.index
	if ix.refs.get(e.chunk)&refCount > 1 && !ix.sparse(e) && shared(routes, len(ch.slots)) {
		return nil, nil
	}
	for _, r := range e.runs {
		for i := range r.n {
			if _, err := ch.record(r.slot + i); err != nil {
				return nil, nil
			}
		}
	}
	if c.merger.sparse && ix.full(e, ch) {
		return nil, nil
	}
	return ch, nil
}

// shared reports a chunk of some records of which at least one had several
// queues.
func shared(routes []*entry, records int) bool {
	places := 0
	for _, e := range routes {
		places += e.count()
	}
	return places > records
}

// copyLive appends the live messages of e, whose chunk is ch, to a new chunk.
func copyLive(w *chunkWriter, into *entry, ch *chunk, e *entry) {
	for _, r := range e.runs {
		for i := range r.n {
			s := ch.slots[r.slot+i]
			slot := w.add(stored(ch.body[s.off:s.off+s.n]), s.payload)
			into.add(r.pos+spool.Pos(i), slot, r.volatile, s.payload)
		}
	}
}

// stored is a record as it was read back.
type stored []byte

func (s stored) AppendTo(dst []byte) []byte { return append(dst, s...) }
func (s stored) Size() int                  { return len(s) }
