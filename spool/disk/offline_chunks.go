package disk

import (
	"errors"
	"fmt"
	"slices"

	"leveret/spool"
)

// Stored is a message as it was found in the files.
type Stored struct {
	To   []spool.Dest
	Size int // payload bytes
	Data []byte
}

// Chunks calls fn with the live messages of each chunk behind after, so that
// those of each queue come in their order. 0, and a chunk that is not there,
// stand for the beginning. What is damaged is noted and left out; data is valid
// during the call.
func (o *Offline) Chunks(after uint64, fn func(id uint64, list []Stored) error) error {
	entries, err := o.entries()
	if err != nil {
		return err
	}
	byChunk := make(map[uint64][]*entry)
	for _, e := range entries {
		byChunk[e.chunk] = append(byChunk[e.chunk], e)
	}
	ids := o.chunkIDs()
	ids = orderOf(slices.DeleteFunc(entries, func(e *entry) bool {
		_, there := slices.BinarySearch(ids, e.chunk)
		return !there
	})).sort(ids)
	ids = ids[slices.Index(ids, after)+1:]
	for _, id := range ids {
		raw, err := o.whole(id)
		if err != nil {
			return err
		}
		list, err := o.messages(id, raw, byChunk[id])
		if err != nil {
			o.damaged("chunk %d: %v", id, err)
			continue
		}
		if len(list) == 0 {
			continue
		}
		if err := fn(id, list); err != nil {
			return err
		}
	}
	return nil
}

// chunkIDs lists the chunks, rising.
func (o *Offline) chunkIDs() (ids []uint64) {
	for _, k := range o.sorted(classChunk) {
		if len(k) == 9 { // else a further part
			ids = append(ids, be.Uint64([]byte(k[1:])))
		}
	}
	return ids
}

// entries reads the index, in the order of its keys.
func (o *Offline) entries() (list []*entry, err error) {
	for _, k := range o.sorted(classEntry) {
		v, err := o.value(k)
		if err != nil {
			return nil, err
		}
		e, err := decodeEntry([]byte(k), v)
		if err != nil {
			o.damaged("%v", err)
			continue
		}
		list = append(list, e)
	}
	return list, nil
}

// whole joins the parts of a chunk.
func (o *Offline) whole(id uint64) ([]byte, error) {
	raw, err := o.value(string(chunkKey(id)))
	if err != nil || len(raw) < chunkHeader {
		return raw, err
	}
	raw = slices.Clone(raw)
	size := chunkHeader + 4 + uint64(be.Uint32(raw[12:])) + uint64(be.Uint32(raw[16:])) + uint64(be.Uint32(raw[20:]))
	for part := 1; uint64(len(raw)) < size && part < 1<<16; part++ {
		more, err := o.value(string(partKey(id, part)))
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			break
		}
		raw = append(raw, more...)
	}
	return raw, nil
}

// messages lists what lives in a chunk, by the index, or, where keys may be
// missing, also by what the chunk says of itself.
func (o *Offline) messages(id uint64, raw []byte, entries []*entry) ([]Stored, error) {
	c, err := decodeChunk(id, raw, o.zip)
	if err != nil {
		return nil, err
	}
	if o.suspect {
		routes, err := routesOf(id, raw)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if p, known := o.keys[string(entryKey(r.queue, r.first))]; known && p.deleted {
				continue
			}
			if !slices.ContainsFunc(entries, func(e *entry) bool { return e.queue == r.queue && e.first == r.first }) {
				entries = append(entries, r)
			}
		}
	}
	to := make([][]spool.Dest, len(c.slots))
	for _, e := range entries {
		e.dropVolatile()
		for _, r := range e.runs {
			for i := range r.n {
				if int(r.slot+i) < len(to) {
					to[r.slot+i] = append(to[r.slot+i], spool.Dest{Queue: e.queue, Pos: r.pos + spool.Pos(i)})
				}
			}
		}
	}
	var list []Stored
	for slot, dests := range to {
		if len(dests) == 0 {
			continue
		}
		data, err := c.record(uint32(slot))
		if errors.Is(err, spool.ErrCorrupt) {
			o.damaged("%v", err)
			continue
		}
		list = append(list, Stored{To: dests, Size: int(c.slots[slot].payload), Data: data})
	}
	return list, nil
}

// Summary is what Verify counts.
type Summary struct {
	Definitions, Chunks, Messages, Queues int
	Bytes                                 int64 // payload, a fan-out once
}

func (s Summary) String() string {
	return fmt.Sprintf("%d definitions, %d messages (%d bytes) for %d queues in %d chunks", s.Definitions, s.Messages, s.Bytes, s.Queues, s.Chunks)
}

// Verify reads everything.
func (o *Offline) Verify() (sum Summary, err error) {
	queues := make(map[spool.QueueID]bool)
	err = o.Definitions(func(string, []byte) error { sum.Definitions++; return nil })
	if err != nil {
		return sum, err
	}
	err = o.Chunks(0, func(_ uint64, list []Stored) error {
		sum.Chunks++
		for _, m := range list {
			sum.Messages++
			sum.Bytes += int64(m.Size)
			for _, d := range m.To {
				queues[d.Queue] = true
			}
		}
		return nil
	})
	sum.Queues = len(queues)
	return sum, err
}
