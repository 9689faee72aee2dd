package disk

import (
	"errors"
	"math"

	"leveret/spool"
)

// span is a stretch of positions, both ends included.
type span struct{ from, to spool.Pos }

func (p span) holds(pos spool.Pos) bool { return p.from <= pos && pos <= p.to }

// purge empties a stretch of a queue, or begins to: what is more than limit
// entries is left to a marker that is written with the group, and to resume.
// Readers see the marker's effect at once.
func (ix *index) purge(q spool.QueueID, p span, limit int, sizes func(*entry, []run) (int64, int64)) error {
	qi := ix.queues[q]
	if qi == nil {
		return nil
	}
	// Entries that reach over a border keep what lies outside. The rest of the
	// stretch is then made of whole entries.
	for _, border := range []spool.Pos{p.from, p.to} {
		e, err := ix.find(q, border)
		if err != nil {
			return err
		}
		if e == nil || len(e.runs) == 0 || e.first >= p.from && e.last() <= p.to {
			continue
		}
		ix.trim(e, p, sizes)
		if e.first < p.from {
			continue
		}
		if e.first == p.from {
			return nil
		}
		p.to = e.first - 1
	}
	done, err := ix.purgeSome(qi, &p, limit)
	if err != nil || done {
		return err
	}
	ix.purging[q] = p
	ix.touched = append(ix.touched, q)
	ix.changes.set(purgeKey(q), be.AppendUint64(be.AppendUint64(nil, uint64(p.from)), uint64(p.to)))
	return nil
}

// trim takes the part of e that lies in p out of it.
func (ix *index) trim(e *entry, p span, sizes func(*entry, []run) (int64, int64)) {
	before := len(e.runs)
	gone := e.cut(p)
	if len(gone) == 0 {
		return
	}
	for _, r := range gone {
		ix.removed += int64(r.n)
	}
	ix.runs += max(0, len(e.runs)-before)
	bytes, volatile := sizes(e, gone)
	e.bytes, e.volatile = max(0, e.bytes-bytes), max(0, e.volatile-volatile)
	ix.mark(e)
}

// resume goes on with a purge and reports whether it is finished.
func (ix *index) resume(q spool.QueueID) (done bool, err error) {
	p := ix.purging[q]
	done = true
	if qi := ix.queues[q]; qi != nil {
		done, err = ix.purgeSome(qi, &p, purgeStep)
	}
	ix.purging[q] = p
	if done && err == nil {
		delete(ix.purging, q)
		ix.touched = append(ix.touched, q)
		ix.changes.del(purgeKey(q))
	}
	return done, err
}

// purgeSome marks up to limit entries that begin in p as empty, moves the
// beginning of p behind them, and reports whether these were all.
func (ix *index) purgeSome(qi *queueIndex, p *span, limit int) (done bool, err error) {
	done = true
	n, dead := 0, spool.Pos(0)
	ix.look.entries(qi.id, max(qi.head, p.from), func(e *entry, rerr error) bool {
		if rerr != nil {
			if !errors.Is(rerr, spool.ErrCorrupt) {
				err = rerr
				return false
			}
			ix.corrupted++
			return true // Open drops it
		}
		if e.first > p.to {
			return false
		}
		if n++; n > limit {
			done = false
			return false
		}
		e = ix.admit(qi, e) // so that a second purge in this group sees it empty
		ix.removed += int64(e.count())
		e.runs = e.runs[:0]
		ix.mark(e)
		dead = e.first + 1
		return true
	})
	if p.from <= qi.head {
		qi.head = max(qi.head, dead)
	}
	p.from = max(p.from, dead)
	return done, err
}

// runSizes adds up the payload of runs of one chunk, volatile ones apart.
func runSizes(c *chunk, runs []run) (bytes, volatile int64) {
	for _, r := range runs {
		for i := range r.n {
			if int(r.slot+i) >= len(c.slots) {
				continue
			}
			n := int64(c.slots[r.slot+i].payload)
			if r.volatile {
				volatile += n
			} else {
				bytes += n
			}
		}
	}
	return bytes, volatile
}

// shareSizes is the guess for a chunk that cannot be read: every record counts
// the same.
func shareSizes(e *entry, gone []run) (bytes, volatile int64) {
	var all, part [2]int64 // persistent, volatile
	count := func(to *[2]int64, runs []run) {
		for _, r := range runs {
			if r.volatile {
				to[1] += int64(r.n)
			} else {
				to[0] += int64(r.n)
			}
		}
	}
	count(&part, gone)
	count(&all, gone)
	count(&all, e.runs)
	share := func(total int64, k int) int64 {
		if all[k] == 0 {
			return 0
		}
		return int64(math.Round(float64(total) * float64(part[k]) / float64(all[k])))
	}
	return share(e.bytes, 0), share(e.volatile, 1)
}
