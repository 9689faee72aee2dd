package disk

import (
	"errors"
	"fmt"
	"sort"

	"leveret/spool"
)

// Read implements spool.Log.
func (s *Store) Read(q spool.QueueID, from spool.Pos, items []spool.Item, bytesMax int) (int, error) {
	if len(items) == 0 {
		return 0, nil
	}
	v, live, err := s.view(q, from, items)
	if err != nil {
		return 0, err
	}
	defer v.close()
	if v.snap == nil {
		return cutLive(items[:live], bytesMax, 0), nil
	}
	list, err := v.search(len(items))
	if err != nil {
		return 0, err
	}
	// What is on the disk lies before what is in memory.
	live = min(live, len(items)-len(list))
	copy(items[len(list):], items[:live])
	n, bytes, err := s.fetch(v, list, items[:len(list)], bytesMax)
	if err != nil {
		return 0, err
	}
	if n < len(list) {
		clear(items[n:])
		return n, nil
	}
	return n + cutLive(items[n:n+live], bytesMax, bytes), nil
}

// cutLive is how many of the items belong to an answer that has bytes already.
func cutLive(items []spool.Item, bytesMax, bytes int) (n int) {
	for n < len(items) && (bytes < bytesMax || bytes == 0 && n == 0) {
		bytes += items[n].Live.Size()
		n++
	}
	clear(items[n:])
	return n
}

// view is what one Read sees of a queue's stored messages: the database as of
// one commit, less what left since. Without a snapshot there is nothing stored.
type view struct {
	s      *Store
	q      spool.QueueID
	from   spool.Pos
	head   spool.Pos
	left   [][]leave // appended since that commit, group by group, each in order
	purged []span
	snap   *snapshot
	groups []*group
	look   seeker
	unread uint64 // damaged messages and index entries
}

// view takes, in one moment, what memory holds of the queue (into items) and
// the view of what the disk holds.
func (s *Store) view(q spool.QueueID, from spool.Pos, items []spool.Item) (*view, int, error) {
	v := &view{s: s, q: q, from: from}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, 0, s.failed
	}
	groups := s.groupsLocked()
	for _, g := range groups {
		var left []leave
		if sq := g.queues[q]; sq != nil {
			left = sq.sortedLeaves()
			v.purged = append(v.purged, sq.purges...)
		}
		v.left = append(v.left, left)
	}
	live := 0
	for i, g := range groups {
		// What left in a group was there before it; only what left since concerns
		// its own messages.
		since := view{left: v.left[i+1:]}
		for _, later := range groups[i+1:] {
			if sq := later.queues[q]; sq != nil {
				since.purged = append(since.purged, sq.purges...)
			}
		}
		live += g.read(q, from, items[live:], since.hasLeft)
	}
	head, stored := s.heads[q]
	if !stored {
		return v, live, nil
	}
	if p, ok := s.purging[q]; ok {
		v.purged = append(v.purged, p)
	}
	if v.skip(); v.from == spool.MaxPos {
		return v, live, nil // no message has this position
	}
	v.head = head
	v.snap = s.acquireLocked()
	v.look.at = v.snap.at
	for i, g := range groups {
		if len(v.left[i]) > 0 {
			g.readers++
			v.groups = append(v.groups, g)
		}
	}
	return v, live, nil
}

// groupsLocked are the groups that are not on the disk, in order.
func (s *Store) groupsLocked() []*group {
	list := make([]*group, 0, 2+len(s.sealed))
	if s.inflight != nil {
		list = append(list, s.inflight)
	}
	return append(append(list, s.sealed...), s.staged)
}

// skip begins behind what is purged anyway.
func (v *view) skip() {
	for _, p := range v.purged {
		if p.holds(v.from) {
			v.from = max(p.to, p.to+1) // MaxPos stays
		}
	}
}

// hasLeft reports a Leave or Purge among those noted.
func (v *view) hasLeft(pos spool.Pos) bool {
	for _, p := range v.purged {
		if p.holds(pos) {
			return true
		}
	}
	for _, l := range v.left {
		if contains(l, pos) {
			return true
		}
	}
	return false
}

func contains(l []leave, pos spool.Pos) bool {
	if len(l) == 0 || pos > l[len(l)-1].pos || pos < l[0].pos { // reading ahead
		return false
	}
	i := sort.Search(len(l), func(i int) bool { return l[i].pos >= pos })
	return l[i].pos == pos
}

func (v *view) close() {
	v.look.close()
	if v.snap == nil {
		return
	}
	v.s.mu.Lock()
	for _, g := range v.groups {
		g.readers--
	}
	v.s.stats.Corrupt += v.unread
	v.s.mu.Unlock()
	v.s.release(v.snap)
}

// found is a stored message that is to be read.
type found struct {
	pos   spool.Pos
	chunk uint64
	slot  uint32
}

// search lists up to n stored messages of the view.
func (v *view) search(n int) ([]found, error) {
	list := make([]found, 0, n)
	var failed error
	scan := func(e *entry, err error) bool {
		if err != nil {
			if !errors.Is(err, spool.ErrCorrupt) {
				failed = err
				return false
			}
			v.unread++
			v.s.opts.Log.Error("index entry is damaged", "queue", v.q, "err", err)
			return true
		}
		list = v.take(list, n, e)
		return len(list) < n
	}
	start := max(v.from, v.head)
	if v.from > v.head {
		e, err := v.look.floor(v.q, v.from, v.head)
		if err != nil && !errors.Is(err, spool.ErrCorrupt) {
			return nil, err
		}
		if e != nil {
			start = e.top + 1
			if !scan(e, nil) {
				return list, failed
			}
		}
	}
	v.look.entries(v.q, start, scan)
	return list, failed
}

// take adds the messages of e that belong to the view.
func (v *view) take(list []found, n int, e *entry) []found {
	i, _ := e.find(v.from)
	for ; i < len(e.runs); i++ {
		r := e.runs[i]
		k := uint32(0)
		if r.pos < v.from {
			k = uint32(v.from - r.pos)
		}
		for ; k < r.n; k++ {
			if len(list) == n {
				return list
			}
			if pos := r.pos + spool.Pos(k); !v.hasLeft(pos) {
				list = append(list, found{pos, e.chunk, r.slot + k})
			}
		}
	}
	return list
}

// fetch reads what was found and says how many items fit into the bound.
func (s *Store) fetch(v *view, list []found, items []spool.Item, bytesMax int) (n, bytes int, err error) {
	for n < len(list) && (n == 0 || bytes < bytesMax) {
		k := n + 1 // messages n..k lie in one chunk
		for k < len(list) && list[k].chunk == list[n].chunk {
			k++
		}
		c, err := s.chunk(v.snap.at, list[n].chunk)
		if errors.Is(err, spool.ErrCorrupt) {
			s.damaged(v, items[n:k], list[n:k], err)
			n = k
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		var buf []byte
		if !c.private {
			buf = make([]byte, 0, c.want(list[n:k], bytesMax-bytes))
		}
		for ; n < k && (n == 0 || bytes < bytesMax); n++ {
			data, err := c.record(list[n].slot)
			if err != nil {
				s.bury(fmt.Sprintf("chunk-%d-slot-%d", list[n].chunk, list[n].slot), data)
				s.damaged(v, items[n:n+1], list[n:n+1], err)
				continue
			}
			if !c.private {
				start := len(buf)
				buf = append(buf, data...)
				data = buf[start:len(buf):len(buf)]
			}
			items[n] = spool.Item{Pos: list[n].pos, Data: data}
			bytes += len(data)
		}
	}
	return n, bytes, nil
}

// damaged answers err for some messages: each keeps its place.
func (s *Store) damaged(v *view, items []spool.Item, list []found, err error) {
	for i, f := range list {
		items[i] = spool.Item{Pos: f.pos, Err: fmt.Errorf("queue %d position %d: %w", v.q, f.pos, err)}
	}
	v.unread += uint64(len(list))
	s.opts.Log.Error("stored messages are damaged", "queue", v.q, "from", list[0].pos, "count", len(list), "err", err)
}

// want is how large a buffer some of the chunk's records need, up to where
// reading stops.
func (c *chunk) want(list []found, stop int) (n int) {
	for _, f := range list {
		if n > 0 && n >= stop {
			break
		}
		if int(f.slot) < len(c.slots) {
			n += int(c.slots[f.slot].n)
		}
	}
	return n
}
