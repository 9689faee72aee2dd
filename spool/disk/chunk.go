package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"leveret/spool"
)

const (
	chunkFormat = 1
	codecNone   = 0
	codecZstd   = 1

	chunkHeader = 24

	// chunkBytes is where a chunk is closed and the next one begun. One record
	// larger than that makes a larger chunk.
	chunkBytes = 256 << 10
	// chunkRecordsMax bounds the table of a chunk and the runs of an entry.
	chunkRecordsMax = 4096
	// partBytes is the most one Badger value holds.
	partBytes = 4 << 20
	// recordBytesMax bounds one record; a chunk's lengths are u32.
	recordBytesMax = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordSum is a record's checksum. Chunk and slot are part of it, so that a
// record found in a wrong place is not taken for the right one.
func recordSum(chunk uint64, slot uint32, data []byte) uint32 {
	seed := uint32(chunk) ^ uint32(chunk>>32)*0x9e3779b1 ^ slot*0x85ebca6b
	return crc32.Update(seed, castagnoli, data)
}

// chunkWriter builds one chunk. Its buffers are used again after the commit.
type chunkWriter struct {
	id     uint64
	buf    []byte // header and body
	table  []byte
	routes []byte
	n      uint32
}

func (w *chunkWriter) begin(id uint64) {
	w.id, w.n = id, 0
	w.buf = append(w.buf[:0], make([]byte, chunkHeader)...)
	w.table, w.routes = w.table[:0], w.routes[:0]
}

// add encodes r into the chunk and returns its slot.
func (w *chunkWriter) add(r spool.Record, payload uint32) uint32 {
	start := len(w.buf)
	w.buf = r.AppendTo(w.buf)
	data := w.buf[start:]
	w.table = binary.BigEndian.AppendUint32(w.table, recordSum(w.id, w.n, data))
	w.table = binary.AppendUvarint(w.table, uint64(len(data)))
	w.table = binary.AppendUvarint(w.table, uint64(payload))
	w.n++
	return w.n - 1
}

func (w *chunkWriter) full() bool {
	return len(w.buf) >= chunkHeader+chunkBytes || w.n >= chunkRecordsMax
}

// finish returns the chunk's value. It stays valid until begin.
func (w *chunkWriter) finish(z *zipper) []byte {
	body := w.buf[chunkHeader:]
	raw, codec := len(body), byte(codecNone)
	if packed, ok := z.pack(body); ok {
		w.buf = append(w.buf[:chunkHeader], packed...)
		codec = codecZstd
	}
	h := w.buf
	h[0], h[1] = chunkFormat, codec
	binary.BigEndian.PutUint16(h[2:], 0)
	binary.BigEndian.PutUint32(h[4:], w.n)
	binary.BigEndian.PutUint32(h[8:], uint32(raw))
	binary.BigEndian.PutUint32(h[12:], uint32(len(w.buf)-chunkHeader))
	binary.BigEndian.PutUint32(h[16:], uint32(len(w.table)))
	binary.BigEndian.PutUint32(h[20:], uint32(len(w.routes)))
	meta := len(w.buf)
	w.buf = append(append(w.buf, w.table...), w.routes...)
	sum := metaSum(w.id, w.buf[:chunkHeader], w.buf[meta:])
	w.buf = binary.BigEndian.AppendUint32(w.buf, sum)
	return w.buf
}

func metaSum(id uint64, header, rest []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(id)^uint32(id>>32), castagnoli, header), castagnoli, rest)
}

// chunk is a stored chunk, unpacked. It is immutable; readers share it unless it
// is private.
type chunk struct {
	id      uint64
	body    []byte
	slots   []slot
	private bool // of one reader, who may give its memory away
}

type slot struct {
	off, n  uint32
	sum     uint32
	payload uint32
}

// decodeChunk checks everything but the records themselves and does not keep
// raw unless the body is stored as it is.
func decodeChunk(id uint64, raw []byte, z *zipper) (*chunk, error) {
	if len(raw) < chunkHeader+4 {
		return nil, fmt.Errorf("%w: chunk %d has %d bytes", spool.ErrCorrupt, id, len(raw))
	}
	if raw[0] > chunkFormat {
		return nil, newer(fmt.Sprintf("chunk %d", id), raw[0])
	}
	count := binary.BigEndian.Uint32(raw[4:])
	size := binary.BigEndian.Uint32(raw[8:])
	stored := binary.BigEndian.Uint32(raw[12:])
	table := binary.BigEndian.Uint32(raw[16:])
	routes := binary.BigEndian.Uint32(raw[20:])
	whole := chunkHeader + uint64(stored) + uint64(table) + uint64(routes) + 4
	if raw[0] != chunkFormat || uint64(len(raw)) != whole || count > chunkRecordsMax {
		return nil, fmt.Errorf("%w: chunk %d has a wrong header", spool.ErrCorrupt, id)
	}
	meta := raw[chunkHeader+stored : len(raw)-4]
	if metaSum(id, raw[:chunkHeader], meta) != binary.BigEndian.Uint32(raw[len(raw)-4:]) {
		return nil, fmt.Errorf("%w: chunk %d fails its checksum", spool.ErrCorrupt, id)
	}
	c := &chunk{id: id}
	var err error
	if c.slots, err = decodeTable(meta[:table], int(count), size); err != nil {
		return nil, fmt.Errorf("%w: chunk %d: %w", spool.ErrCorrupt, id, err)
	}
	body := raw[chunkHeader : chunkHeader+stored]
	switch raw[1] {
	case codecNone:
		if stored != size {
			return nil, fmt.Errorf("%w: chunk %d has %d bytes of %d", spool.ErrCorrupt, id, stored, size)
		}
		c.body = body
	case codecZstd:
		if c.body, err = z.unpack(body, size); err != nil {
			return nil, fmt.Errorf("%w: chunk %d: %w", spool.ErrCorrupt, id, err)
		}
	default:
		return nil, fmt.Errorf("%w: chunk %d uses codec %d", spool.ErrCorrupt, id, raw[1])
	}
	return c, nil
}

func decodeTable(b []byte, count int, size uint32) ([]slot, error) {
	if count > len(b)/6 { // a slot takes 6 bytes at least
		return nil, fmt.Errorf("table of %d bytes for %d records", len(b), count)
	}
	slots := make([]slot, count)
	var off uint64
	for i := range slots {
		if len(b) < 4 {
			return nil, fmt.Errorf("table ends at record %d", i)
		}
		sum := binary.BigEndian.Uint32(b)
		n, k := binary.Uvarint(b[4:])
		if k <= 0 || n > uint64(size) || off+n > uint64(size) {
			return nil, fmt.Errorf("record %d has a wrong length", i)
		}
		b = b[4+k:]
		payload, k := binary.Uvarint(b)
		if k <= 0 || payload > math.MaxUint32 {
			return nil, fmt.Errorf("record %d has a wrong size", i)
		}
		b = b[k:]
		slots[i] = slot{off: uint32(off), n: uint32(n), sum: sum, payload: uint32(payload)}
		off += n
	}
	if len(b) != 0 || off != uint64(size) {
		return nil, fmt.Errorf("table and body disagree")
	}
	return slots, nil
}

// record gives the bytes of one record; with ErrCorrupt they are for the
// quarantine only.
func (c *chunk) record(i uint32) ([]byte, error) {
	if int(i) >= len(c.slots) {
		return nil, fmt.Errorf("%w: chunk %d has no slot %d", spool.ErrCorrupt, c.id, i)
	}
	s := c.slots[i]
	data := c.body[s.off : s.off+s.n : s.off+s.n]
	if recordSum(c.id, i, data) != s.sum {
		return data, fmt.Errorf("%w: slot %d of chunk %d fails its checksum", spool.ErrCorrupt, i, c.id)
	}
	return data, nil
}

// memory is what the chunk holds in memory.
func (c *chunk) memory() int64 { return int64(len(c.body) + 16*len(c.slots)) }
