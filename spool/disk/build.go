package disk

import "math"

// buffersKept bounds the chunk buffers that wait for the next commit.
const buffersKept = 8

// build turns a group into changes and returns how many records are written.
// For each queue leaves come first, then purges, then what entered: only so
// may positions begin anew after a queue was emptied.
func (c *committer) build(g *group) (written int, err error) {
	ix := c.index
	for _, q := range g.order {
		if err := ix.leave(q.id, q.sortedLeaves()); err != nil {
			return 0, err
		}
		limit := purgeStep
		if len(q.purges) > 1 {
			limit = math.MaxInt // there is one marker for each queue
		}
		for _, p := range q.purges {
			if err := ix.purge(q.id, p, limit, c.sizes); err != nil {
				return 0, err
			}
		}
	}
	ix.flush()
	base := ix.next
	chunks := c.encode(g)
	entries := c.entries(g, base)
	for i, w := range chunks {
		c.store(w, base+uint64(i))
		written += int(w.n)
	}
	for _, e := range entries {
		e.weight = uint64(len(chunks[e.chunk-base].buf))
		ix.insert(e)
	}
	for _, p := range g.puts {
		if p.Value == nil {
			ix.changes.del(defKey(p.Key))
		} else {
			ix.changes.set(defKey(p.Key), defValue(p.Key, p.Value))
		}
	}
	return written, nil
}

// encode writes the group's records into as many chunks as it takes.
func (c *committer) encode(g *group) []*chunkWriter {
	n := 0
	var w *chunkWriter
	for i := range g.records {
		r := &g.records[i]
		if r.live == 0 {
			continue
		}
		if w == nil || w.full() {
			w = c.buffer(n)
			w.begin(c.index.next)
			c.index.next++
			n++
		}
		r.chunk, r.slot = w.id, w.add(r.rec, r.payload)
	}
	return c.writers[:n]
}

// buffer gives the i-th chunk buffer of this commit. Those beyond the few that
// are kept, and large ones, go when the next commit begins.
func (c *committer) buffer(i int) *chunkWriter {
	if i == 0 {
		c.writers = c.writers[:min(len(c.writers), buffersKept)]
		for k, w := range c.writers {
			if cap(w.buf) > 2*chunkBytes {
				c.writers[k] = new(chunkWriter)
			}
		}
	}
	if i == len(c.writers) {
		c.writers = append(c.writers, new(chunkWriter))
	}
	return c.writers[i]
}

// entries makes the index entries of a group whose chunks begin at base: one
// for each queue and chunk.
func (c *committer) entries(g *group, base uint64) (list []*entry) {
	for _, q := range g.order {
		var e *entry
		for _, p := range q.enters[q.head:] {
			if p.rec == gone {
				continue
			}
			r := &g.records[p.rec]
			if e == nil || e.chunk != r.chunk {
				e = &entry{queue: q.id, first: p.pos, chunk: r.chunk}
				list = append(list, e)
			}
			e.add(p.pos, r.slot, r.volatile, r.payload)
		}
	}
	for _, e := range list {
		w := c.writers[e.chunk-base]
		w.routes = e.appendRoute(w.routes)
	}
	return list
}

// store adds a finished chunk to the changes, in parts when it is large.
func (c *committer) store(w *chunkWriter, id uint64) {
	ix := c.index
	value := w.finish(c.zip)
	limit := c.opts.partMax()
	ix.changes.set(chunkKey(id), value[:min(limit, len(value))])
	for part := 1; part*limit < len(value); part++ {
		ix.refs.set(id, refParts)
		ix.changes.set(partKey(id, part), value[part*limit:min((part+1)*limit, len(value))])
	}
}

// sizes tells how much payload some messages of an entry have, for a purge that
// takes only a part of it.
func (c *committer) sizes(e *entry, gone []run) (bytes, volatile int64) {
	ch, err := c.chunk(c.snap.at, e.chunk)
	if err != nil {
		return shareSizes(e, gone)
	}
	return runSizes(ch, gone)
}
