package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"leveret/spool"
)

// An index entry that is lost is made anew from its chunk, whose routes repeat
// what the index said when the chunk was written. What had left since comes
// back: a message may come twice, but none is lost. The newest chunks come
// first: what they hold may be a copy of what older ones held, see merge.go.

// routesOf reads the routes of a chunk as index entries.
func routesOf(id uint64, raw []byte) ([]*entry, error) {
	if len(raw) < chunkHeader+4 || raw[0] != chunkFormat {
		return nil, fmt.Errorf("%w: chunk %d has %d bytes", spool.ErrCorrupt, id, len(raw))
	}
	stored, table, routes := uint64(be.Uint32(raw[12:])), uint64(be.Uint32(raw[16:])), uint64(be.Uint32(raw[20:]))
	meta := chunkHeader + stored
	if uint64(len(raw)) != meta+table+routes+4 ||
		metaSum(id, raw[:chunkHeader], raw[meta:len(raw)-4]) != be.Uint32(raw[len(raw)-4:]) {
		return nil, fmt.Errorf("%w: chunk %d fails its checksum", spool.ErrCorrupt, id)
	}
	var list []*entry
	for u := (uvarints{b: raw[meta+table : len(raw)-4]}); len(u.b) > 0; {
		q := u.next()
		e := &entry{queue: spool.QueueID(q), first: spool.Pos(u.next()), chunk: id, weight: uint64(len(raw))}
		if err := e.readLive(&u); err != nil || q > math.MaxUint32 {
			return nil, fmt.Errorf("%w: chunk %d has wrong routes", spool.ErrCorrupt, id)
		}
		list = append(list, e)
	}
	return list, nil
}

// rebuild finds the chunks of entries that are damaged or, when whole tables
// are missing, of all entries that are not there.
func (r *recovery) rebuild() error {
	if !r.suspect && len(r.broken) == 0 {
		return nil
	}
	made, messages := 0, 0
	fresh := make(map[spool.QueueID][]span) // entries made here
	err := r.eachBack(classChunk, func(k []byte) error {
		if len(k) != 9 {
			return nil
		}
		id := be.Uint64(k[1:])
		raw, err := readParts(r.at, id)
		var routes []*entry
		if err == nil {
			routes, err = routesOf(id, raw)
		}
		if errors.Is(err, spool.ErrCorrupt) {
			r.s.bury(fmt.Sprintf("chunk-%d", id), raw)
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range routes {
			missing, err := r.missing(e)
			if err != nil {
				return err
			}
			if missing {
				e.leaveTo(fresh[e.queue])
				if missing, err = r.uncovered(e); err != nil {
					return err
				}
			}
			if missing {
				fresh[e.queue] = append(fresh[e.queue], span{e.first, e.top})
				made, messages = made+1, messages+e.count()
				r.changes.set(entryKey(e.queue, e.first), e.encode())
				r.entry(e)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	r.s.tell(troubleDamage, fmt.Sprintf("the index was repaired from the chunks: %d entries with %d messages, some of which may come twice", made, messages))
	return nil
}

// missing reports an entry that must be there and is not.
func (r *recovery) missing(e *entry) (bool, error) {
	key := entryKey(e.queue, e.first)
	if r.broken[string(key)] {
		return true, nil
	}
	if !r.suspect {
		return false, nil
	}
	there, err := has(r.at, key)
	if err != nil {
		return false, fmt.Errorf("look for index entry: %w", err)
	}
	return !there, nil
}

// eachBack calls fn with the keys of a class from the last to the first.
func (r *recovery) eachBack(class byte, fn func(key []byte) error) error {
	var keys []string
	err := list(r.at, class, func(it item) error {
		keys = append(keys, string(it.Key()))
		return nil
	})
	for i := len(keys) - 1; i >= 0 && err == nil; i-- {
		if err = fn([]byte(keys[i])); err == nil {
			err = r.flush(500)
		}
	}
	return err
}

// uncovered takes out of an entry that is to be made what the index has
// already, and reports whether anything is left.
func (r *recovery) uncovered(e *entry) (bool, error) {
	if len(e.runs) == 0 {
		return false, nil
	}
	look := seeker{at: r.at}
	defer look.close()
	var spans []span
	var failed error
	note := func(have *entry, err error) bool {
		if err != nil {
			if !errors.Is(err, spool.ErrCorrupt) {
				failed = err
			}
			return failed == nil
		}
		if have.first > e.top {
			return false
		}
		if have.chunk > e.chunk {
			spans = append(spans, span{have.first, have.top})
		}
		return true
	}
	before, err := look.floor(e.queue, e.first, 0)
	if before != nil || err != nil {
		note(before, err)
	}
	look.entries(e.queue, e.first, note)
	e.leaveTo(spans)
	return len(e.runs) > 0, failed
}

// leaveTo takes some stretches out of an entry. The sizes of what is left are a
// share of what they were.
func (e *entry) leaveTo(spans []span) {
	for _, p := range spans {
		gone := e.cut(p)
		bytes, volatile := shareSizes(e, gone)
		e.bytes, e.volatile = max(0, e.bytes-bytes), max(0, e.volatile-volatile)
		if len(e.runs) == 0 {
			return
		}
	}
	e.first, e.top = max(e.first, e.runs[0].pos), e.last()
}

// brokenEntry takes note of an entry that cannot be read.
func (r *recovery) brokenEntry(it item) error {
	key := bytes.Clone(it.Key())
	value, err := valueOf(it)
	if err != nil {
		return fmt.Errorf("read index entry: %w", err)
	}
	r.s.bury(fmt.Sprintf("index-%x", key[1:]), value)
	r.bad++
	if len(r.broken) < brokenMax {
		r.broken[string(key)] = true
	} else {
		r.suspect = true // too many to remember: all that are missing are made anew
	}
	r.changes.del(key)
	return nil
}

// brokenMax bounds the damaged entries that are remembered by name.
const brokenMax = 4096
