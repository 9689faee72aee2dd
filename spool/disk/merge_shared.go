package disk

import (
	"errors"
	"slices"

	"leveret/spool"
)

// Small chunks that several queues share come from a fan-out that is a trickle.
// Copied for one queue after the other their messages would be stored once for
// each, so they are merged for all queues in one step: neighbours in one queue,
// the lead, with what every other queue has of them.
//
// An export hands chunks out so that each queue's messages come in order. A merged
// chunk must not have to come before and after some other one, be it by several
// queues and by chunks between them. So in every queue the merged entries are
// neighbours, and among the merged chunks is one that lies, for every queue, between
// the first and the last that it has a part in. That is enough: what comes behind the
// merged chunk in some queue came behind that one before, what comes before it came
// before that one, and what would have to do both had to already.

// sharersMax is how many queues may share what is merged in one step.
const sharersMax = mergeLook / mergeFew

// sharedChunk is one whose queues are merged together.
type sharedChunk struct {
	*chunk
	weight  uint64
	entries []*entry // of all its queues
}

// rewriteShared copies chunks at the beginning of list, which are neighbours in the
// lead, into one chunk: shared ones, and others of the lead's own among them. It
// answers whether it did, and how many it did or could not do, 0 where none of them
// is shared.
func (c *committer) rewriteShared(list []*entry) (n int, merged bool, err error) {
	ix := c.index
	if !slices.ContainsFunc(list, func(e *entry) bool { return ix.sharers(e) > 1 }) {
		return 0, false, nil
	}
	s := sharedStep{ix: ix, of: make(map[spool.QueueID][]*entry)}
	for _, e := range list {
		ch, err := c.sharedOf(e)
		if err != nil {
			return 0, false, err
		}
		if ch == nil {
			break
		}
		if fits, err := s.takes(ch); err != nil || !fits {
			if err != nil {
				return 0, false, err
			}
			break
		}
		s.take(ch)
	}
	if len(s.of) < 2 {
		return 0, false, nil
	}
	if n = len(s.chunks); n < min(mergeFew, c.opts.MergeChunks) {
		return n, false, nil
	}
	w := c.buffer(0)
	w.begin(ix.next)
	ix.next++
	entries := s.copyTo(w)
	for _, ch := range s.chunks {
		ix.freed -= int64(ch.weight) // compaction gives it back anyway
		for _, e := range ch.entries {
			e.runs = e.runs[:0]
			ix.mark(e)
		}
	}
	ix.flush()
	c.store(w, w.id)
	for _, e := range entries {
		e.weight = uint64(len(w.buf))
		ix.insert(e)
	}
	return n, true, nil
}

// sharedOf reads the chunk of an entry with the entries of all its queues. It
// answers nil for one in which several queues have messages of their own, and for
// one that has to stay: what is damaged, and what too many queues share.
func (c *committer) sharedOf(e *entry) (*sharedChunk, error) {
	ix := c.index
	refs := int(ix.refs.get(e.chunk) & refCount)
	if !ix.isSmall(e) || refs > sharersMax {
		return nil, nil
	}
	raw, err := readParts(c.snap.at, e.chunk)
	var routes []*entry
	if err == nil {
		routes, err = routesOf(e.chunk, raw)
	}
	s := &sharedChunk{weight: e.weight}
	if err == nil {
		s.chunk, err = decodeChunk(e.chunk, raw, c.zip)
	}
	if err == nil && refs > 1 && !shared(routes, len(s.slots)) {
		return nil, nil
	}
	for _, r := range routes {
		var have *entry
		if err == nil {
			have, err = ix.named(r.queue, r.first)
		}
		if have != nil && have.chunk == e.chunk {
			s.entries = append(s.entries, have)
		}
	}
	if err == nil && len(s.entries) == refs {
		err = s.readable()
	} else if err == nil {
		return nil, nil // something is not as the chunk says
	}
	if errors.Is(err, spool.ErrCorrupt) {
		return nil, nil // reading will tell
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// named is the entry of a queue with a certain key, nil when there is none.
func (ix *index) named(q spool.QueueID, first spool.Pos) (*entry, error) {
	qi := ix.queues[q]
	if qi == nil {
		return nil, nil
	}
	if i, ok := slices.BinarySearchFunc(qi.resident, first, byFirst); ok {
		return qi.resident[i], nil
	}
	e, err := readEntry(ix.look.at, entryKey(q, first))
	if e == nil || err != nil {
		return nil, err
	}
	return ix.admit(qi, e), nil
}

// readable checks every message that some queue still has.
func (s *sharedChunk) readable() error {
	for _, e := range s.entries {
		for _, r := range e.runs {
			for i := range r.n {
				if _, err := s.record(r.slot + i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// live tells for each slot whether some queue has its message.
func (s *sharedChunk) live() []bool {
	live := make([]bool, len(s.slots))
	for _, e := range s.entries {
		for _, r := range e.runs {
			for i := range r.n {
				live[r.slot+i] = true
			}
		}
	}
	return live
}

// size is how many messages live in the chunk, and their bytes.
func (s *sharedChunk) size() (records, bytes int) {
	for i, lives := range s.live() {
		if lives {
			records, bytes = records+1, bytes+int(s.slots[i].n)
		}
	}
	return records, bytes
}

// sharedStep is what one step merges.
type sharedStep struct {
	ix      *index
	chunks  []*sharedChunk
	of      map[spool.QueueID][]*entry // of the chunks, in order
	entries int
	records int
	bytes   int
	weight  uint64
}

// takes reports whether a chunk, the next in the lead, may come to the others.
func (s *sharedStep) takes(ch *sharedChunk) (bool, error) {
	if len(s.chunks) == 0 {
		return true, nil
	}
	records, bytes := ch.size()
	if s.records+records > chunkRecordsMax || s.bytes+bytes > chunkBytes ||
		s.weight+ch.weight > mergeReadMax || s.entries+len(ch.entries) > mergeLook {
		return false, nil
	}
	known := 0
	for _, e := range ch.entries {
		before := s.of[e.queue]
		if len(before) == 0 {
			continue
		}
		known++
		next, err := s.ix.neighbours(before[len(before)-1], e)
		if !next || err != nil {
			return false, err
		}
	}
	// A queue that comes in now has its first here, so all others must have a part
	// in this one, or behind it, which nobody knows yet.
	return known == len(ch.entries) || known == len(s.of), nil
}

// neighbours reports that b is the entry right behind a in their queue.
func (ix *index) neighbours(a, b *entry) (bool, error) {
	if b.first <= a.first {
		return false, nil
	}
	before, err := ix.look.floor(b.queue, b.first-1, a.first)
	if errors.Is(err, spool.ErrCorrupt) {
		return false, nil // Open makes it anew
	}
	return err == nil && before != nil && before.first == a.first, err
}

func (s *sharedStep) take(ch *sharedChunk) {
	records, bytes := ch.size()
	s.chunks = append(s.chunks, ch)
	s.records, s.bytes, s.weight = s.records+records, s.bytes+bytes, s.weight+ch.weight
	for _, e := range ch.entries {
		s.of[e.queue] = append(s.of[e.queue], e)
		s.entries++
	}
}

// copyTo appends what lives to a new chunk, each message once, and answers the
// new entries, one for each queue.
func (s *sharedStep) copyTo(w *chunkWriter) (merged []*entry) {
	into := make(map[spool.QueueID]*entry)
	for _, ch := range s.chunks {
		slots := make([]uint32, len(ch.slots)) // where they are in the new chunk
		for i, lives := range ch.live() {
			if lives {
				from := ch.slots[i]
				slots[i] = w.add(stored(ch.body[from.off:from.off+from.n]), from.payload)
			}
		}
		for _, e := range ch.entries {
			to := into[e.queue]
			if to == nil {
				to = &entry{queue: e.queue, first: e.runs[0].pos, chunk: w.id}
				into[e.queue] = to
				merged = append(merged, to)
			}
			for _, r := range e.runs {
				for i := range r.n {
					to.add(r.pos+spool.Pos(i), slots[r.slot+i], r.volatile, ch.slots[r.slot+i].payload)
				}
			}
		}
	}
	for _, e := range merged {
		w.routes = e.appendRoute(w.routes)
	}
	return merged
}
