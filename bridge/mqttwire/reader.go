package mqttwire

import "io"

const (
	// ConnectSizeMax is a good limit for a Reader before CONNECT: a stranger
	// gets no more memory than this.
	ConnectSizeMax = 16 << 10

	bufferMin      = 1 << 10  // of an idle connection
	bufferBusyMax  = 16 << 10 // of a busy one; only a larger packet takes more
	quietReadsMax  = 8        // reads that left most of the buffer empty before it shrinks
	fruitlessReads = 100      // reads of nothing in a row before we give up
)

// Lender is a source that waits for bytes before it takes memory for them: an
// idle Reader then holds no buffer. ReadLent gives n bytes in a buffer of size
// or more, or an error and no buffer; GiveBack takes any buffer back.
type Lender interface {
	ReadLent(size int) (buf []byte, n int, err error)
	GiveBack(buf []byte)
}

// Reader cuts a byte stream into packets.
type Reader struct {
	src        io.Reader
	lender     Lender // src, if it is one
	sizeMax    int
	version    Version // 0 before CONNECT
	buf        []byte  // nil before the first read, and while a lender waits
	size       int     // of buf, also while there is none
	start, end int     // what has come and was not yet given out
	quiet      int     // reads in a row that brought less than an eighth
	filled     bool    // the last read left no room
	failed     error   // came along with bytes; told by the next read
}

// NewReader reads packets of at most sizeMax bytes, fixed header included.
func NewReader(src io.Reader, sizeMax int) *Reader {
	r := &Reader{src: src, sizeMax: sizeMax}
	r.lender, _ = src.(Lender)
	return r
}

// SetMax changes the limit, from the next packet on.
func (r *Reader) SetMax(sizeMax int) { r.sizeMax = sizeMax }

// SetVersion tells which version's fixed headers to expect. It is called when
// CONNECT is decoded; until then flags are checked strictly.
func (r *Reader) SetVersion(v Version) { r.version = v }

// Next gives out the next packet. Its body, and all views made of it, stay
// valid until a Next that finds no complete packet in the buffer (see
// [Reader.Buffered]).
//
// The error is an *Error for bytes that are no packet or too large a one,
// io.EOF for an end between packets, io.ErrUnexpectedEOF for one inside a
// packet, or what the source failed with. After a timeout of the source Next
// may be called again and goes on where it was.
func (r *Reader) Next() (Packet, error) {
	for {
		h, err := r.head()
		if err != nil {
			return Packet{}, err
		}
		if h.complete(r.end - r.start) {
			body := r.buf[r.start+h.length : r.start+h.size : r.start+h.size]
			r.start += h.size
			return Packet{Type: h.kind, Flags: h.flags, Body: body}, nil
		}
		if err := r.fill(h.size); err != nil {
			return Packet{}, err
		}
	}
}

// Buffered reports whether Next will answer from the buffer, with a packet or
// with a refusal. A caller that handles packets until it is false has handled
// one batch.
func (r *Reader) Buffered() bool {
	h, err := r.head()
	return err != nil || h.complete(r.end-r.start)
}

// head is a fixed header.
type head struct {
	kind   Type
	flags  byte
	length int // of the header itself
	size   int // of header and body; 0 while the length is not all there
}

func (h head) complete(buffered int) bool { return h.size > 0 && buffered >= h.size }

// head reads the fixed header at the start of the buffer as far as it has
// come. A peer is refused at the first wrong byte, not at the end of what it
// announces.
func (r *Reader) head() (head, error) {
	b := r.buf[r.start:r.end]
	if len(b) == 0 {
		return head{}, nil
	}
	h := head{kind: Type(b[0] >> 4), flags: b[0] & 0xf}
	if err := checkFlags(h.kind, h.flags, r.version); err != nil {
		return h, err
	}
	remaining, n := varint(b[1:])
	switch {
	case n == 0:
		return h, nil
	case n < 0:
		return h, errorf(MalformedPacket, "%s: remaining length has more than 4 bytes", h.kind)
	case r.version == V5 && n > varintLen(remaining): // [MQTT-1.5.5-1]; 3.1.1 has no such rule
		return h, errorf(MalformedPacket, "%s: remaining length %d in %d bytes", h.kind, remaining, n)
	}
	h.length = 1 + n
	h.size = h.length + remaining
	if h.size > r.sizeMax {
		return h, errorf(PacketTooLarge, "%s of %d bytes, at most %d are taken", h.kind, h.size, r.sizeMax)
	}
	return h, nil
}

// fill reads once from the source; need is the size of the packet that is
// waited for, 0 if it is not known yet.
func (r *Reader) fill(need int) error {
	if err := r.failed; err != nil {
		r.failed = nil
		return r.cutShort(err)
	}
	if r.lender != nil && r.start == r.end {
		return r.borrow()
	}
	r.makeRoom(need)
	for range fruitlessReads {
		n, err := r.src.Read(r.buf[r.end:])
		if n > 0 {
			r.note(n)
			r.failed = err
			return nil
		}
		if err != nil {
			return r.cutShort(err)
		}
	}
	return io.ErrNoProgress
}

// borrow reads into a buffer of the lender's, when nothing is left in the last.
func (r *Reader) borrow() error {
	size := r.fit(0, 0)
	if r.buf != nil {
		r.lender.GiveBack(r.buf)
	}
	r.buf, r.start, r.end = nil, 0, 0
	buf, n, err := r.lender.ReadLent(size)
	if err != nil {
		return err
	}
	if size != r.size {
		r.filled, r.quiet = false, 0
	}
	r.buf, r.size = buf, size
	r.note(n)
	return nil
}

// note learns from a read of n bytes.
func (r *Reader) note(n int) {
	r.filled = r.end+n == len(r.buf)
	if n < len(r.buf)/8 {
		r.quiet++
	} else {
		r.quiet = 0
	}
	r.end += n
}

func (r *Reader) cutShort(err error) error {
	if err == io.EOF && r.end > r.start {
		return io.ErrUnexpectedEOF
	}
	return err
}

// makeRoom moves the beginning of a packet to the front of a buffer that fits.
func (r *Reader) makeRoom(need int) {
	pending := r.end - r.start
	size := r.fit(need, pending)
	if size == len(r.buf) {
		copy(r.buf, r.buf[r.start:r.end])
	} else {
		fresh := make([]byte, size)
		copy(fresh, r.buf[r.start:r.end])
		r.buf, r.size = fresh, size
		r.filled = false
		r.quiet = 0
	}
	r.start, r.end = 0, pending
}

// fit fits the buffer's size to the traffic: it doubles while reads fill it, so
// that one read brings many packets, and goes back to the least when the peer
// has grown quiet or a large packet is over. Beyond bufferBusyMax it grows only
// with bytes that came.
func (r *Reader) fit(need, pending int) int {
	size := r.size
	switch {
	case size == 0:
		return bufferMin
	case pending == size:
		return min(2*size, max(need, bufferBusyMax))
	case size > bufferBusyMax && need <= bufferBusyMax:
		return bufferBusyMax
	case r.filled && size < bufferBusyMax:
		return 2 * size
	case pending == 0 && r.quiet >= quietReadsMax:
		return bufferMin
	}
	return size
}
