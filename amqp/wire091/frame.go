package wire091

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"leveret/amqp"
)

// Frame types.
const (
	FrameMethod    = 1
	FrameHeader    = 2
	FrameBody      = 3
	FrameHeartbeat = 8
)

const (
	// FrameEnd is the last octet of every frame.
	FrameEnd = 0xCE
	// FrameOverhead is what a frame has besides its payload.
	FrameOverhead = 8
	// FrameSizeMin is the smallest frame-max that may be negotiated.
	FrameSizeMin = 8192

	// frameSizeLimit bounds what SetMax takes, so that sums fit into 32 bits.
	frameSizeLimit = 1 << 30

	frameHeaderSize = 7
)

// Bounds of a FrameReader's buffer. It starts small because most connections
// of a gateway are idle, doubles while reads fill it, and is small again after
// leanReadsMax reads in a row that needed less: heartbeats do that to a
// connection that has fallen silent.
const (
	bufferMin    = 2 << 10
	bufferMax    = 64 << 10 // more only for one larger frame
	leanReadsMax = 16
)

// Frame is one frame. Payload lies in the reader's buffer.
type Frame struct {
	Type    uint8
	Channel uint16
	Payload []byte
}

// Lender is a stream that waits for bytes before it takes memory for them: an
// idle FrameReader then holds no buffer. ReadLent gives n octets in a buffer of
// size or more, or an error and no buffer; GiveBack takes any buffer back.
type Lender interface {
	ReadLent(size int) (buf []byte, n int, err error)
	GiveBack(buf []byte)
}

// FrameReader cuts a stream into frames. It is used by one goroutine.
//
// Frames stay valid until Next has to read from the stream, and while
// [FrameReader.Buffered] says true it has not: the frames up to there can be
// handled as one batch.
type FrameReader struct {
	src        io.Reader
	lender     Lender // src, if it is one
	max        int    // frame-max
	buf        []byte // start:end is read and not yet given out; nil while a lender waits
	size       int    // of buf, also while there is none
	start, end int
	filled     bool // the last read left no room in buf
	lean       int  // reads in a row that bufferMin would have been enough for
}

// NewFrameReader reads frames of up to frameMax octets in all; a smaller value
// than FrameSizeMin, which no peer may negotiate, stands for FrameSizeMin.
func NewFrameReader(r io.Reader, frameMax int) *FrameReader {
	f := &FrameReader{src: r, size: bufferMin}
	if f.lender, _ = r.(Lender); f.lender == nil {
		f.buf = make([]byte, bufferMin)
	}
	f.SetMax(frameMax)
	return f
}

// SetMax changes frame-max, from the next frame on.
func (f *FrameReader) SetMax(frameMax int) {
	f.max = min(max(frameMax, FrameSizeMin), frameSizeLimit)
}

// Buffered reports whether another complete frame has been read already.
func (f *FrameReader) Buffered() bool {
	b := f.buf[f.start:f.end]
	return len(b) >= frameHeaderSize && uint64(len(b)) >= uint64(payloadSize(b))+FrameOverhead
}

// Next is the next frame. The stream's end is io.EOF between frames and
// io.ErrUnexpectedEOF within one. A frame that is too large, wrongly ended or
// of no known type is an *amqp.Error, given again at each further call. After
// any other error of the stream, such as a deadline, Next may be called again
// and loses nothing.
func (f *FrameReader) Next() (Frame, error) {
	if err := f.need(frameHeaderSize); err != nil {
		return Frame{}, err
	}
	head := f.buf[f.start:]
	size := payloadSize(head)
	// Peers differ in whether frame-max counts the eight octets around the
	// payload; a payload of frame-max is let pass as RabbitMQ does.
	if uint64(size) > uint64(f.max) {
		return Frame{}, amqp.Errorf(amqp.FrameError, "type %d, all octets = <<>>: {frame_too_large,%d,%d}",
			head[0], size, f.max-FrameOverhead)
	}
	whole := int(size) + FrameOverhead
	if err := f.need(whole); err != nil {
		return Frame{}, err
	}
	b := f.buf[f.start : f.start+whole]
	frame := Frame{
		Type:    b[0],
		Channel: binary.BigEndian.Uint16(b[1:]),
		Payload: b[frameHeaderSize : whole-1 : whole-1],
	}
	if err := frame.check(b[whole-1]); err != nil {
		return Frame{}, err
	}
	f.start += whole
	return frame, nil
}

func payloadSize(head []byte) uint32 { return binary.BigEndian.Uint32(head[3:]) }

const unknownFrame = "unknown_frame"

func (f *Frame) check(end byte) error {
	if end != FrameEnd {
		return errFrame(f.Type, f.Payload, fmt.Sprintf("{invalid_frame_end_marker,%d}", end))
	}
	switch f.Type {
	case FrameMethod, FrameHeader, FrameBody:
		return nil
	case FrameHeartbeat:
		if len(f.Payload) > 0 {
			return errFrame(f.Type, f.Payload, unknownFrame)
		}
		if f.Channel != 0 {
			return amqp.Errorf(amqp.UnexpectedFrame, "type %d, all octets = <<>>", f.Type)
		}
		return nil
	}
	return errFrame(f.Type, f.Payload, unknownFrame)
}

// errFrame is the error for a frame that cannot be understood.
func errFrame(kind uint8, payload []byte, why string) error {
	which := "all"
	if len(payload) > snippetMax {
		which = "first 16"
	}
	return amqp.Errorf(amqp.FrameError, "type %d, %s octets = %s: %s", kind, which, amqp.FormatBytes(snippet(payload)), why)
}

// snippetMax is how many octets of a peer's mistake its error text shows.
const snippetMax = 16

func snippet(b []byte) []byte { return b[:min(len(b), snippetMax)] }

// need reads until n octets from start on are in the buffer.
func (f *FrameReader) need(n int) error {
	if f.end-f.start >= n {
		return nil
	}
	if f.lender != nil && f.start == f.end {
		if err := f.borrow(n); err != nil {
			return err
		}
	} else {
		f.settle()
	}
	for stalled := 0; f.end < n; {
		if f.end == len(f.buf) {
			// Growing only as the octets come in, a peer cannot make us
			// allocate by announcing much and sending little.
			f.resize(min(2*len(f.buf), f.bufferLimit(n)))
		}
		got, err := f.src.Read(f.buf[f.end:])
		f.end += got
		f.note(n, got)
		if f.end >= n {
			return nil // an error will come again
		}
		if err != nil {
			if errors.Is(err, io.EOF) && f.end > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		if got > 0 {
			stalled = 0
		} else if stalled++; stalled == 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// bufferLimit is the largest size of the buffer while a frame of n octets is
// read. Powers of two let frames of similar size share it.
func (f *FrameReader) bufferLimit(n int) int {
	return max(bufferMax, min(1<<bits.Len(uint(n-1)), f.max+FrameOverhead))
}

// note learns from a read of got octets, made because n were needed. A large
// frame that trickles in needs its large buffer all the same.
func (f *FrameReader) note(n, got int) {
	f.filled = f.end == len(f.buf)
	if n <= bufferMin && got < bufferMin && len(f.buf) > bufferMin {
		f.lean++
	} else {
		f.lean = 0
	}
}

// borrow makes the first of the reads that bring n octets when nothing is left,
// into a buffer of the lender's.
func (f *FrameReader) borrow(n int) error {
	size := f.fit(0)
	if f.buf != nil {
		f.lender.GiveBack(f.buf)
	}
	f.buf, f.start, f.end = nil, 0, 0
	buf, got, err := f.lender.ReadLent(size)
	if err != nil {
		return err
	}
	if size != f.size {
		f.filled, f.lean = false, 0
	}
	f.buf, f.size, f.end = buf, len(buf), got
	f.note(n, got)
	return nil
}

// settle makes ready for a read: what is left moves to the front of a buffer
// that fits.
func (f *FrameReader) settle() {
	left := f.end - f.start
	if size := f.fit(left); size != len(f.buf) {
		f.resize(size)
	} else if f.start > 0 {
		copy(f.buf, f.buf[f.start:f.end])
		f.start, f.end = 0, left
	}
}

// fit is the size of buffer that the last reads suggest. It does not outgrow
// frame-max, which is small as long as the peer is a stranger.
func (f *FrameReader) fit(left int) int {
	switch {
	case f.filled && f.size < min(bufferMax, f.max):
		return 2 * f.size
	case f.lean >= leanReadsMax && left < bufferMin:
		return bufferMin
	}
	return f.size
}

func (f *FrameReader) resize(size int) {
	buf := make([]byte, size)
	f.end = copy(buf, f.buf[f.start:f.end])
	f.start, f.buf, f.size = 0, buf, size
	f.filled, f.lean = false, 0
}
