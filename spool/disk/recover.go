package disk

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"leveret/spool"
)

// Open opens the spool in o.Dir, or makes one. What a power cut left half done
// is finished or dropped first, and damage is repaired as far as it can be
// (mend.go, rebuild.go). A folder whose starts fail is set aside (starts.go).
func Open(o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := makeFolder(o.on, o.Dir); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := o.on.lock(o.Dir)
	if err != nil {
		return nil, err
	}
	free, total, err := o.on.volume(o.Dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	o.fit(total)
	// On a full volume the process may have died of that.
	st := readStarts(o.on, o.Dir, o.Crashed && free >= 2*o.needToOpen())
	aside := ""
	if st.spent() {
		if lock, aside, err = startAfresh(&o, lock); err != nil {
			return nil, err
		}
		st = readStarts(o.on, o.Dir, false)
	}
	s, err := open(o, &st, aside)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.lock = lock
	return s, nil
}

// startAfresh sets the folder aside and answers the lock of an empty one.
func startAfresh(o *Options, lock io.Closer) (io.Closer, string, error) {
	defer lock.Close()
	aside, err := setAside(o.on, o.Dir, o.Now())
	if err != nil {
		return nil, "", err
	}
	o.tell(troubleAside, fmt.Sprintf("%d starts failed; the spool was set aside as %s and an empty one serves: export what is in it with \"leveret spool export\"", startsMax, aside))
	lock, err = o.on.lock(o.Dir)
	return lock, aside, err
}

// open counts the start as failed until the spool is open, unless the reason
// is none of the spool's.
func open(o Options, st *starts, aside string) (*Store, error) {
	if err := roomToOpen(&o); err != nil {
		return nil, err
	}
	found, err := o.on.mend(&o)
	if err != nil {
		return nil, err
	}
	// Without room a start is not counted: what it fails of is that.
	if err := st.begin(); err != nil && !noRoom(err) {
		return nil, err
	}
	s, err := openStore(o, found)
	if err == nil && aside != "" {
		err = s.bequeath(aside)
	}
	if err != nil {
		if weather(err) || errors.Is(err, spool.ErrNewer) {
			err = errors.Join(err, st.forget())
		}
		return nil, err
	}
	s.starts = st
	if err := st.opened(); err != nil && !noRoom(err) {
		return nil, errors.Join(err, s.closeFiles(false))
	}
	return s, nil
}

func openStore(o Options, found mended) (_ *Store, err error) {
	s := &Store{
		opts: o, index: newIndex(), cache: &chunkCache{max: o.CacheBytes},
		wake: make(chan struct{}, 1), moved: make(chan struct{}), staged: newGroup(),
		heads: make(map[spool.QueueID]spool.Pos), purging: make(map[spool.QueueID]span),
		grave: quarantine{on: o.on, dir: filepath.Join(o.Dir, quarantineName)},
	}
	s.budget.Store(o.BudgetBytes)
	s.index.inline, s.index.thinned = o.ValueThreshold, o.thin() // one look for what the last life left
	s.opened, s.writes = o.Now(), readWrites(o.Dir)
	if s.zip, err = newZipper(!o.NoCompression); err != nil {
		return nil, err
	}
	if s.engine, err = o.on.open(&s.opts); err != nil {
		s.zip.close()
		return nil, fmt.Errorf("open spool %s: %w", o.Dir, err)
	}
	s.out = newWriter(s.engine)
	if err := s.recover(found); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", o.Dir, err), s.closeFiles(false))
	}
	return s, nil
}

// closeFiles closes whatever is open; see engine.
func (s *Store) closeFiles(sound bool) error {
	err := s.engine.close(sound)
	s.zip.close()
	if s.high != nil {
		err = errors.Join(err, s.high.close())
	}
	err = errors.Join(err, s.jots.close())
	return err
}

// recover brings the database into the state the last commits left it in and
// fills the index.
func (s *Store) recover(found mended) (err error) {
	if s.high, err = openHighWater(s.opts.on, s.opts.Dir); err != nil {
		return err
	}
	if s.jots, s.jotted, err = openJotter(s.opts.on, s.opts.Dir); err != nil {
		s.opts.Log.Warn("marks are only noted now and then", "dir", s.opts.Dir, "err", err)
	}
	if err := s.schema(); err != nil {
		return err
	}
	torn, err := s.redo()
	if err != nil {
		return err
	}
	if err := s.compare(); err != nil {
		return err
	}
	// Each chunk had a commit or a record of its own, so no chunk that ever was
	// has this number: what is found of one that went is never taken for another.
	s.index.next = s.mark.commits + s.mark.records + 1
	if s.torn = found.suspect; s.torn {
		if err := s.recallDefs(); err != nil {
			return err
		}
	}
	r := recovery{
		s: s, depths: make(map[spool.QueueID]*spool.Depth),
		suspect: found.suspect || torn, broken: make(map[string]bool),
	}
	if err := r.run(); err != nil {
		return err
	}
	if left := found.chunks - r.live; left >= leftMin {
		s.left = left
	}
	if err := s.engine.measure(); err != nil {
		return err
	}
	if err := s.engine.fault(); err != nil {
		return err
	}
	s.refresh(func() {})
	s.gate()
	return nil
}

// leftMin is what the last life must have left for a look at it: the sum of what is
// alive is a little short, and less is worth no work.
const leftMin = 64 << 10

// schema refuses a newer format and marks a new folder with ours.
func (s *Store) schema() error {
	key := []byte{classSchema}
	at := s.engine.now()
	defer at.close()
	b, err := readValue(at, key, nil)
	if err == nil {
		var v byte
		if v, err = decodeSchema(b); err == nil && v > format {
			err = newerFolder(v)
		}
	}
	if err == nil || !errors.Is(err, spool.ErrCorrupt) {
		return err
	}
	if !empty(at) {
		// Index entries carry their format themselves.
		newer := list(at, classEntry, func(it item) error {
			if _, err := itemEntry(it); errors.Is(err, spool.ErrNewer) {
				return err
			}
			return nil
		})
		if newer != nil {
			return newer
		}
		s.tell(troubleDamage, fmt.Sprintf("the format record is damaged or gone and was written anew: %v", err))
	}
	return s.out.commit([]change{{key, schemaValue(format)}})
}

func newerFolder(v byte) error {
	return fmt.Errorf("%w: format %d, known are formats up to %d", spool.ErrNewer, v, format)
}

func empty(at moment) bool {
	empty := true
	at.each(nil, nil, func(item) bool {
		empty = false
		return false
	})
	return empty
}

// redo finishes a group that was too large for one transaction. Its list was
// written as a whole; applying it twice does no harm.
// A list with a damaged part is applied as far as it can be read, and torn
// tells that the index has to be compared with the chunks.
func (s *Store) redo() (torn bool, err error) {
	var todo []change
	parts := 0
	at := s.engine.now()
	defer at.close()
	err = list(at, classRedo, func(it item) error {
		b, err := valueOf(it)
		if err != nil {
			return fmt.Errorf("read redo list: %w", err)
		}
		parts = max(parts, redoPartOf(it.Key())+1)
		part, err := decodeRedo(b)
		if errors.Is(err, spool.ErrCorrupt) {
			torn = true
			s.bury(fmt.Sprintf("redo-%x", it.Key()[1:]), b)
			return nil
		}
		todo = append(todo, part...)
		return err
	})
	if err != nil || parts == 0 {
		return false, err
	}
	s.opts.Log.Info("spool finishes a group", "changes", len(todo))
	return torn, s.out.redo(todo, parts)
}

// recovery reads the index once and drops what must not live on.
type recovery struct {
	s       *Store
	at      moment
	depths  map[spool.QueueID]*spool.Depth
	order   []spool.QueueID
	purging map[spool.QueueID]span
	changes changes
	lost    int             // messages whose chunk is not there
	bad     int             // damaged index entries
	broken  map[string]bool // their keys, see rebuild.go
	suspect bool            // index entries may be missing
	live    int64           // bytes of chunks outside of the tables, at least
}

func (r *recovery) run() error {
	r.at = r.s.engine.now()
	defer func() { r.at.close() }() // it may be replaced
	for _, step := range []func() error{r.salvage, r.markers, r.chunks, r.entries, r.rebuild, r.unused} {
		if err := step(); err != nil {
			return err
		}
	}
	// Markers go last: a cut before this repeats what they stand for.
	for q := range r.purging {
		r.changes.del(purgeKey(q))
	}
	r.changes.del([]byte{classScratch})
	if err := r.flush(0); err != nil {
		return err
	}
	s := r.s
	if r.lost > 0 {
		s.tell(troubleLost, fmt.Sprintf("%d messages have an index entry but are not there", r.lost))
	}
	s.stats.Corrupt += uint64(r.lost + r.bad)
	for _, q := range r.order {
		d := r.depths[q]
		s.depths = append(s.depths, *d)
		s.stats.Records += int64(d.Count)
		s.heads[q] = s.index.queues[q].head
	}
	return nil
}

// flush writes the changes gathered when there are more than some. Each of
// them is right by itself.
func (r *recovery) flush(some int) error {
	if len(r.changes.list) <= some {
		return nil
	}
	list := r.changes.list
	for len(list) > 0 {
		n := min(len(list), 500)
		if err := r.s.out.write(list[:n]); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
		list = list[n:]
	}
	r.changes.reset()
	return nil
}

func (r *recovery) each(class byte, fn func(item) error) error {
	return list(r.at, class, func(it item) error {
		if err := fn(it); err != nil {
			return err
		}
		return r.flush(500)
	})
}

func (r *recovery) markers() error {
	r.purging = make(map[spool.QueueID]span)
	return r.each(classPurge, func(it item) error {
		v, err := valueOf(it)
		if err != nil {
			return fmt.Errorf("read purge marker: %w", err)
		}
		if k := it.Key(); len(k) == 5 && len(v) == 16 {
			r.purging[spool.QueueID(be.Uint32(k[1:]))] = span{spool.Pos(be.Uint64(v)), spool.Pos(be.Uint64(v[8:]))}
		}
		return nil
	})
}

// chunks notes which chunks are there.
func (r *recovery) chunks() error {
	ix := r.s.index
	return r.each(classChunk, func(it item) error {
		k := it.Key()
		if len(k) < 9 {
			return nil
		}
		id := be.Uint64(k[1:9])
		v := ix.refs.get(id)
		if len(k) == 9 {
			v |= refPresent
		} else {
			v |= refParts
		}
		ix.refs.set(id, v)
		ix.next = max(ix.next, id+1)
		return nil
	})
}

func (r *recovery) entries() error {
	return r.each(classEntry, func(it item) error {
		e, err := itemEntry(it)
		if errors.Is(err, spool.ErrCorrupt) {
			return r.brokenEntry(it)
		}
		if err != nil {
			return err
		}
		r.entry(e)
		return nil
	})
}

// entry decides what becomes of one index entry.
func (r *recovery) entry(e *entry) {
	ix := r.s.index
	key := entryKey(e.queue, e.first)
	p, purged := r.purging[e.queue]
	refs := ix.refs.get(e.chunk)
	switch {
	case purged && p.holds(e.first):
		r.changes.del(key)
		return
	case refs&refPresent == 0:
		r.lost += e.count()
		r.changes.del(key)
		return
	}
	if e.dropVolatile() {
		if len(e.runs) == 0 {
			r.changes.del(key)
			return
		}
		r.changes.set(key, e.encode())
	}
	ix.refs.set(e.chunk, refs+1)
	if refs&refCount == 0 && int64(e.weight) >= ix.inline {
		r.live += int64(e.weight) + recordBytesMin
	}
	qi := ix.queues[e.queue]
	if qi == nil {
		qi = &queueIndex{id: e.queue, head: e.first}
		ix.queues[e.queue] = qi
		r.depths[e.queue] = &spool.Depth{Queue: e.queue, First: e.runs[0].pos}
		r.order = append(r.order, e.queue)
	}
	qi.entries++
	if ix.isSmall(e) {
		ix.small++
	}
	qi.head = min(qi.head, e.first) // one that is made anew comes late
	d := r.depths[e.queue]
	d.Count += e.count()
	d.Bytes += e.bytes
	d.First, d.Last = min(d.First, e.runs[0].pos), max(d.Last, e.last())
}

// dropVolatile takes the volatile messages out and reports whether there were any.
func (e *entry) dropVolatile() bool {
	kept := e.runs[:0]
	for _, run := range e.runs {
		if !run.volatile {
			kept = append(kept, run)
		}
	}
	dropped := len(kept) < len(e.runs)
	e.runs, e.volatile = kept, 0
	return dropped
}

// unused deletes chunks that no entry refers to any more.
func (r *recovery) unused() error {
	ix := r.s.index
	look := seeker{at: r.at}
	for page, p := range ix.refs.pages {
		for i, v := range p.n {
			id := page*refPageSize + uint64(i)
			if v == 0 {
				continue
			}
			if v&refCount > 0 {
				ix.refs.set(id, v&^refPresent)
				continue
			}
			if v&refPresent != 0 {
				r.changes.del(chunkKey(id))
			}
			if v&refParts != 0 {
				for _, k := range look.parts(id) {
					r.changes.del(k)
				}
			}
			ix.refs.set(id, 0)
		}
		if err := r.flush(500); err != nil {
			return err
		}
	}
	return nil
}
