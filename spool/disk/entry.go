package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sort"

	"leveret/spool"
)

// entry is an index entry: the live positions of one queue in one chunk. The
// writer owns it; readers decode their own.
type entry struct {
	queue    spool.QueueID
	first    spool.Pos // in the key; may have left already
	chunk    uint64
	weight   uint64 // stored bytes of the chunk
	bytes    int64  // payload of the live persistent records
	volatile int64  // payload of the live volatile ones
	runs     []run  // rising, never empty while the entry is stored

	top        spool.Pos // no other entry begins in first..top
	dirty      bool      // changed in the group being built
	prev, next *entry    // in the cache, see index.go
}

// run is a row of messages that have neighbouring positions and slots.
type run struct {
	pos      spool.Pos
	slot, n  uint32
	volatile bool
}

func (r run) end() spool.Pos { return r.pos + spool.Pos(r.n) }

func (e *entry) count() (n int) {
	for _, r := range e.runs {
		n += int(r.n)
	}
	return n
}

// last is the highest live position.
func (e *entry) last() spool.Pos {
	return e.runs[len(e.runs)-1].end() - 1
}

// add appends one message behind the others.
func (e *entry) add(pos spool.Pos, slot uint32, volatile bool, payload uint32) {
	e.top = pos
	if volatile {
		e.volatile += int64(payload)
	} else {
		e.bytes += int64(payload)
	}
	if k := len(e.runs); k > 0 {
		r := &e.runs[k-1]
		if r.end() == pos && r.slot+r.n == slot && r.volatile == volatile {
			r.n++
			return
		}
	}
	e.runs = append(e.runs, run{pos, slot, 1, volatile})
}

// find is the index of the run that holds pos.
func (e *entry) find(pos spool.Pos) (int, bool) {
	if len(e.runs) > 0 && pos < e.runs[0].end() { // the usual case: in order
		return 0, pos >= e.runs[0].pos
	}
	i := sort.Search(len(e.runs), func(i int) bool { return e.runs[i].end() > pos })
	return i, i < len(e.runs) && e.runs[i].pos <= pos
}

// remove takes pos out and reports whether it was there.
func (e *entry) remove(pos spool.Pos, payload int64) bool {
	i, ok := e.find(pos)
	if !ok {
		return false
	}
	r := e.runs[i]
	if r.volatile {
		e.volatile = max(0, e.volatile-payload)
	} else {
		e.bytes = max(0, e.bytes-payload)
	}
	k := uint32(pos - r.pos)
	switch {
	case r.n == 1:
		e.runs = slices.Delete(e.runs, i, i+1)
	case k == 0:
		e.runs[i] = run{r.pos + 1, r.slot + 1, r.n - 1, r.volatile}
	case k == r.n-1:
		e.runs[i].n--
	default:
		e.runs[i].n = k
		rest := run{pos + 1, r.slot + k + 1, r.n - k - 1, r.volatile}
		e.runs = slices.Insert(e.runs, i+1, rest)
	}
	return true
}

// cut takes out what lies in p and returns it, so that the caller can find out
// its size.
func (e *entry) cut(p span) (gone []run) {
	kept := make([]run, 0, len(e.runs)+1)
	for _, r := range e.runs {
		lo, hi := max(r.pos, p.from), min(r.end()-1, p.to)
		if lo > hi {
			kept = append(kept, r)
			continue
		}
		gone = append(gone, r.part(lo, hi))
		if r.pos < lo {
			kept = append(kept, r.part(r.pos, lo-1))
		}
		if hi < r.end()-1 {
			kept = append(kept, r.part(hi+1, r.end()-1))
		}
	}
	e.runs = kept
	return gone
}

func (r run) part(from, to spool.Pos) run {
	return run{from, r.slot + uint32(from-r.pos), uint32(to-from) + 1, r.volatile}
}

// encode returns the entry's value.
func (e *entry) encode() []byte {
	b := make([]byte, 0, 24+6*len(e.runs))
	b = append(b, format)
	b = binary.AppendUvarint(b, e.chunk)
	b = binary.AppendUvarint(b, e.weight)
	b = e.appendLive(b)
	return be.AppendUint32(b, e.sum(b))
}

func (e *entry) sum(b []byte) uint32 {
	var key [13]byte
	k := append(key[:0], classEntry)
	k = be.AppendUint32(k, uint32(e.queue))
	k = be.AppendUint64(k, uint64(e.first))
	return crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, b)
}

// appendLive appends bytes and runs.
func (e *entry) appendLive(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(e.bytes))
	b = binary.AppendUvarint(b, uint64(e.volatile))
	b = binary.AppendUvarint(b, uint64(len(e.runs)))
	pos, slot := e.first, uint32(0)
	for _, r := range e.runs {
		b = binary.AppendUvarint(b, uint64(r.pos-pos))
		b = binary.AppendUvarint(b, uint64(r.slot-slot))
		n := uint64(r.n) << 1
		if r.volatile {
			n |= 1
		}
		b = binary.AppendUvarint(b, n)
		pos, slot = r.end(), r.slot+r.n
	}
	return b
}

// appendRoute appends the entry as a chunk's route.
func (e *entry) appendRoute(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(e.queue))
	b = binary.AppendUvarint(b, uint64(e.first))
	return e.appendLive(b)
}

// decodeEntry reads an index entry. Nothing of value is kept.
func decodeEntry(key, value []byte) (*entry, error) {
	q, first, ok := splitEntryKey(key)
	if !ok {
		return nil, fmt.Errorf("%w: index key %x", spool.ErrCorrupt, key)
	}
	e := &entry{queue: q, first: first}
	if len(value) > 0 && value[0] > format {
		return nil, newer(fmt.Sprintf("index entry of queue %d at %d", q, first), value[0])
	}
	if len(value) < 5 || value[0] != format || be.Uint32(value[len(value)-4:]) != e.sum(value[:len(value)-4]) {
		return nil, fmt.Errorf("%w: index entry of queue %d at %d", spool.ErrCorrupt, q, first)
	}
	if err := e.decode(value[1 : len(value)-4]); err != nil {
		return nil, fmt.Errorf("%w: index entry of queue %d at %d: %w", spool.ErrCorrupt, q, first, err)
	}
	return e, nil
}

func (e *entry) decode(b []byte) error {
	u := uvarints{b: b}
	e.chunk = u.next()
	e.weight = u.next()
	if err := e.readLive(&u); err != nil {
		return err
	}
	if len(u.b) != 0 {
		return errors.New("bytes are left over")
	}
	return nil
}

// readLive reads what appendLive wrote.
func (e *entry) readLive(u *uvarints) error {
	e.bytes = int64(u.next() & math.MaxInt64)
	e.volatile = int64(u.next() & math.MaxInt64)
	n := u.next()
	if u.bad || n == 0 || n > uint64(len(u.b))/3 { // a run takes 3 bytes at least
		return errors.New("wrong number of runs")
	}
	e.runs = make([]run, n)
	pos, slot := uint64(e.first), uint64(0)
	for i := range e.runs {
		dp, ds, c := u.next(), u.next(), u.next()
		count := c >> 1
		if u.bad || count == 0 || count > chunkRecordsMax || ds > chunkRecordsMax ||
			slot+ds+count > chunkRecordsMax || pos+dp < pos || pos+dp+count < pos+dp {
			return fmt.Errorf("run %d is out of range", i)
		}
		pos, slot = pos+dp, slot+ds
		e.runs[i] = run{spool.Pos(pos), uint32(slot), uint32(count), c&1 == 1}
		pos, slot = pos+count, slot+count
	}
	e.top = e.last()
	return nil
}

// uvarints reads numbers and answers 0 after the first bad one.
type uvarints struct {
	b   []byte
	bad bool
}

func (u *uvarints) next() uint64 {
	v, k := binary.Uvarint(u.b)
	if k <= 0 || u.bad {
		u.bad = true
		return 0
	}
	u.b = u.b[k:]
	return v
}
