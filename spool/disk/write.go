package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"leveret/spool"
)

// change sets a key, or deletes it when value is nil.
type change struct{ key, value []byte }

// changes is everything one group does to the database, in order.
type changes struct {
	list  []change
	bytes int64
}

func (c *changes) reset() {
	clear(c.list)
	c.list, c.bytes = c.list[:0], 0
}

func (c *changes) set(key, value []byte) { c.add(change{key, value}) }
func (c *changes) del(key []byte)        { c.add(change{key, nil}) }

func (c *changes) add(ch change) {
	c.list = append(c.list, ch)
	c.bytes += int64(len(ch.key) + len(ch.value))
}

const (
	redoSet    = 1
	redoDelete = 2
	// redoPart is where a part of a redo list is closed.
	redoPart = 256 << 10
	// changeOverhead is more than Badger adds to a key and value when it
	// measures a transaction.
	changeOverhead = 40
)

// writer puts changes into the engine, each call in one commit or, for more
// than fits, with the effect of one.
type writer struct {
	engine
	max limits
}

func newWriter(e engine) writer { return writer{e, e.limits()} }

func (w writer) cost(c change) int64 {
	n := int64(len(c.value))
	if n >= w.max.pointed {
		n = 0
	}
	return int64(len(c.key)) + n + changeOverhead
}

func (w writer) fits(list []change) bool {
	return int64(len(list)) <= w.max.changes && w.logged(list) <= w.max.bytes
}

// logged is about how much some changes take in the write-ahead log.
func (w writer) logged(list []change) (size int64) {
	for _, c := range list {
		size += w.cost(c)
	}
	return size
}

// write returns nil only when everything is on the disk.
func (w writer) write(list []change) error {
	if w.fits(list) {
		return w.commit(list)
	}
	// Chunks are new keys that nobody refers to yet, and count as pointers;
	// all else goes through the redo list, in order.
	var first, rest []change
	for _, c := range list {
		if c.key[0] == classChunk && c.value != nil && int64(len(c.value)) >= w.max.pointed {
			first = append(first, c)
		} else {
			rest = append(rest, c)
		}
	}
	parts := encodeRedo(rest)
	for i, p := range parts {
		first = append(first, change{redoKey(i), p})
	}
	if err := w.commit(first); err != nil {
		return fmt.Errorf("write %d chunks and %d redo parts: %w", len(first)-len(parts), len(parts), err)
	}
	return w.redo(rest, len(parts))
}

// redo applies a list that is on the disk already, and takes it off.
func (w writer) redo(list []change, parts int) error {
	for i := range parts {
		list = append(list, change{redoKey(i), nil})
	}
	for len(list) > 0 {
		n, size := 0, int64(0)
		for n < len(list) && int64(n) < w.max.changes {
			if size += w.cost(list[n]); size > w.max.bytes && n > 0 {
				break
			}
			n++
		}
		// The parts must go all at once, or the next Open would see half a list.
		if left := len(list) - n; left > 0 && left < parts {
			n = len(list) - parts
		}
		if err := w.commit(list[:n]); err != nil {
			return fmt.Errorf("apply redo list: %w", err)
		}
		list = list[n:]
	}
	return nil
}

func encodeRedo(list []change) (parts [][]byte) {
	b := []byte{format}
	for _, c := range list {
		if c.value == nil {
			b = append(b, redoDelete)
		} else {
			b = append(b, redoSet)
		}
		b = binary.AppendUvarint(b, uint64(len(c.key)))
		b = append(b, c.key...)
		if c.value != nil {
			b = binary.AppendUvarint(b, uint64(len(c.value)))
			b = append(b, c.value...)
		}
		if len(b) >= redoPart {
			parts = append(parts, be.AppendUint32(b, crc32.Checksum(b, castagnoli)))
			b = []byte{format}
		}
	}
	return append(parts, be.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// decodeRedo reads one part. Keys and values are parts of b.
func decodeRedo(b []byte) (list []change, err error) {
	if len(b) > 0 && b[0] > format {
		return nil, newer("redo list", b[0])
	}
	if len(b) < 5 || b[0] != format || be.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return nil, fmt.Errorf("%w: redo list", spool.ErrCorrupt)
	}
	u := uvarints{b: b[1 : len(b)-4]}
	for len(u.b) > 0 {
		op := u.b[0]
		u.b = u.b[1:]
		c := change{key: u.bytes()}
		if op == redoSet {
			c.value = u.bytes()
		}
		if u.bad || len(c.key) == 0 || (op != redoSet && op != redoDelete) {
			return nil, fmt.Errorf("%w: redo list: %w", spool.ErrCorrupt, errors.New("wrong operation"))
		}
		list = append(list, c)
	}
	return list, nil
}

// bytes reads a length and as many bytes; never nil unless bad.
func (u *uvarints) bytes() []byte {
	n := u.next()
	if u.bad || n > uint64(len(u.b)) {
		u.bad = true
		return nil
	}
	v := u.b[:n:n]
	u.b = u.b[n:]
	return v
}
