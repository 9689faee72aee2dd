package wire091

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"leveret/amqp"
)

// body is a body frame of n octets, all of them c.
func body(n int, c byte) []byte {
	return AppendBody(nil, 1, bytes.Repeat([]byte{c}, n), 0)
}

func TestNextGivesEachFrame(t *testing.T) {
	stream := "\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x29\xce" +
		"\x02\xff\xff\x00\x00\x00\x00\xce" +
		"\x08\x00\x00\x00\x00\x00\x00\xce" +
		"\x03\x00\x02\x00\x00\x00\x02\xce\xce\xce"
	want := []Frame{
		{FrameMethod, 1, []byte("\x00\x14\x00\x29")},
		{FrameHeader, 65535, nil},
		{FrameHeartbeat, 0, nil},
		{FrameBody, 2, []byte{0xce, 0xce}},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"at once":         func(r io.Reader) io.Reader { return r },
		"octet by octet":  iotest.OneByteReader,
		"error with data": iotest.DataErrReader,
	}
	for name, reader := range readers {
		f := NewFrameReader(reader(strings.NewReader(stream)), 0)
		for _, w := range want {
			got, err := f.Next()
			if err != nil || got.Type != w.Type || got.Channel != w.Channel || !bytes.Equal(got.Payload, w.Payload) {
				t.Fatalf("%s: Next() = %v, %v; want %v", name, got, err, w)
			}
		}
		if _, err := f.Next(); err != io.EOF {
			t.Errorf("%s: Next() at the end = %v, want io.EOF", name, err)
		}
	}
}

func TestNextRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		want     string
	}{
		{"one octet too large", "\x03\x00\x01\x00\x00\x20\x01", "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8193,8184}"},
		{"4 GiB", "\x01\x00\x00\xff\xff\xff\xff", "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4294967295,8184}"},
		{"wrong end", "\x01\x00\x00\x00\x00\x00\x01x\xcd", `FRAME_ERROR - type 1, all octets = <<"x">>: {invalid_frame_end_marker,205}`},
		{"unknown type", "\x07\x00\x00\x00\x00\x00\x01x\xce", `FRAME_ERROR - type 7, all octets = <<"x">>: unknown_frame`},
		{"unknown type, long", "\x00\x00\x00\x00\x00\x00\x11\x01" + "0123456789abcdef\xce",
			"FRAME_ERROR - type 0, first 16 octets = <<1,48,49,50,51,52,53,54,55,56,57,97,98,99,100,101>>: unknown_frame"},
		{"heartbeat on a channel", "\x08\x00\x01\x00\x00\x00\x00\xce", "UNEXPECTED_FRAME - type 8, all octets = <<>>"},
		{"heartbeat with payload", "\x08\x00\x00\x00\x00\x00\x01x\xce", `FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame`},
		{"end in the header", "\x01\x00\x00", io.ErrUnexpectedEOF.Error()},
		{"end in the payload", "\x01\x00\x00\x00\x00\x00\x02x", io.ErrUnexpectedEOF.Error()},
		{"end before the end octet", "\x01\x00\x00\x00\x00\x00\x01x", io.ErrUnexpectedEOF.Error()},
	}
	for _, tt := range tests {
		f := NewFrameReader(strings.NewReader(string(body(3, 'a'))+tt.in), FrameSizeMin)
		if _, err := f.Next(); err != nil {
			t.Errorf("%s: the good frame before: %v", tt.name, err)
		}
		for range 2 { // the error stays
			if _, err := f.Next(); err == nil || err.Error() != tt.want {
				t.Errorf("%s: Next() = %v, want %v", tt.name, err, tt.want)
			}
		}
	}
}

func TestPayloadOfFrameMaxIsTaken(t *testing.T) {
	stream := append(body(FrameSizeMin, 'a'), body(FrameSizeMin+1, 'b')...)
	f := NewFrameReader(bytes.NewReader(stream), FrameSizeMin)
	if got, err := f.Next(); err != nil || len(got.Payload) != FrameSizeMin {
		t.Fatalf("Next() = %d octets, %v", len(got.Payload), err)
	}
	f.SetMax(2 * FrameSizeMin)
	if got, err := f.Next(); err != nil || len(got.Payload) != FrameSizeMin+1 {
		t.Fatalf("Next() after SetMax = %d octets, %v", len(got.Payload), err)
	}
}

func TestBufferedFramesStayValid(t *testing.T) {
	var stream []byte
	const frames = 5000
	for i := range frames {
		stream = append(stream, body(1+i%300, byte(i))...)
	}
	f := NewFrameReader(bytes.NewReader(stream), 0)
	seen, batches := 0, 0
	for seen < frames {
		var batch []Frame
		for first := true; first || f.Buffered(); first = false {
			frame, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, frame)
		}
		batches++
		for _, frame := range batch {
			want := bytes.Repeat([]byte{byte(seen)}, 1+seen%300)
			if !bytes.Equal(frame.Payload, want) {
				t.Fatalf("frame %d of a batch of %d was overwritten", seen, len(batch))
			}
			seen++
		}
	}
	if batches > frames/50 {
		t.Errorf("%d batches for %d frames", batches, frames)
	}
}

func TestBufferedMeansACompleteFrame(t *testing.T) {
	whole := body(10, 'a')
	for n := range len(whole) + 1 {
		stream := append(bytes.Clone(whole), whole[:n]...)
		f := NewFrameReader(bytes.NewReader(stream), 0)
		if f.Buffered() {
			t.Fatal("Buffered() before the first read")
		}
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
		if got := f.Buffered(); got != (n == len(whole)) {
			t.Errorf("Buffered() with %d of %d octets = %v", n, len(whole), got)
		}
	}
}

// trickle gives at most n octets at a time.
type trickle struct {
	r io.Reader
	n int
}

func (t *trickle) Read(b []byte) (int, error) { return t.r.Read(b[:min(len(b), t.n)]) }

func TestBufferGrowsAndShrinks(t *testing.T) {
	src := &trickle{bytes.NewReader(bytes.Repeat(body(1000, 'a'), 500)), 1 << 20}
	f := NewFrameReader(src, 131072)
	if len(f.buf) != bufferMin {
		t.Errorf("the buffer starts with %d octets, want %d", len(f.buf), bufferMin)
	}
	for range 500 {
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.buf) != bufferMax {
		t.Errorf("the buffer of a busy connection has %d octets, want %d", len(f.buf), bufferMax)
	}

	src.r, src.n = &endless{stream: AppendHeartbeat(nil)}, FrameOverhead
	for range 2 * leanReadsMax {
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.buf) != bufferMin {
		t.Errorf("the buffer of a silent connection has %d octets, want %d", len(f.buf), bufferMin)
	}
}

// A stranger's frame-max bounds what it can have us hold, however much it sends.
func TestBufferStaysWithinFrameMax(t *testing.T) {
	const frameMax = 16 << 10
	const frames = 50_000
	f := NewFrameReader(bytes.NewReader(bytes.Repeat(AppendHeartbeat(nil), frames)), frameMax)
	for range frames {
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
		if len(f.buf) > frameMax {
			t.Fatalf("the buffer has grown to %d octets, want at most %d", len(f.buf), frameMax)
		}
	}
}

func TestAnnouncedSizeAllocatesNothing(t *testing.T) {
	f := NewFrameReader(strings.NewReader("\x03\x00\x01\x00\x10\x00\x00only this"), 16<<20)
	if _, err := f.Next(); err != io.ErrUnexpectedEOF {
		t.Fatalf("Next() = %v", err)
	}
	if len(f.buf) != bufferMin {
		t.Errorf("the buffer grew to %d octets for 16 received", len(f.buf))
	}
}

func TestLargeFrameThatTricklesIn(t *testing.T) {
	const size = 131072 - FrameOverhead
	stream := append(body(size, 'a'), body(size, 'b')...)
	f := NewFrameReader(&trickle{bytes.NewReader(stream), 1460}, 131072)
	for _, c := range "ab" {
		frame, err := f.Next()
		if err != nil || len(frame.Payload) != size || bytes.Count(frame.Payload, []byte{byte(c)}) != size {
			t.Fatalf("Next() = %d octets, %v", len(frame.Payload), err)
		}
		if len(f.buf) > 131072+FrameOverhead {
			t.Errorf("the buffer has %d octets", len(f.buf))
		}
	}
}

// deadline gives half a frame, a timeout, and then the other half.
type deadline struct{ parts [][]byte }

func (d *deadline) Read(b []byte) (int, error) {
	part := d.parts[0]
	d.parts = d.parts[1:]
	if part == nil {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(b, part), nil
}

func TestNextGoesOnAfterADeadline(t *testing.T) {
	whole := body(10, 'a')
	f := NewFrameReader(&deadline{[][]byte{whole[:9], nil, whole[9:]}}, 0)
	if _, err := f.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Next() = %v, want the deadline", err)
	}
	if frame, err := f.Next(); err != nil || string(frame.Payload) != "aaaaaaaaaa" {
		t.Fatalf("Next() = %q, %v", frame.Payload, err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestNextGivesUpOnAStuckReader(t *testing.T) {
	if _, err := NewFrameReader(stuck{}, 0).Next(); err != io.ErrNoProgress {
		t.Errorf("Next() = %v, want %v", err, io.ErrNoProgress)
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce"), 3)
	f.Add(AppendHeartbeat(body(9000, 'a')), 1460)
	f.Add([]byte("\x03\x00\x00\x00\x00\x20\x01"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		fr := NewFrameReader(&trickle{bytes.NewReader(stream), max(step, 1)}, FrameSizeMin)
		var again []byte
		for {
			frame, err := fr.Next()
			if err != nil {
				_, refused := errors.AsType[*amqp.Error](err)
				if !refused && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				if err == io.EOF && !bytes.Equal(again, stream) {
					t.Fatalf("%q became %q", stream, again)
				}
				return
			}
			again = AppendFrameHeader(again, frame.Type, frame.Channel, len(frame.Payload))
			again = append(append(again, frame.Payload...), FrameEnd)
			if !bytes.HasPrefix(stream, again) {
				t.Fatalf("%q became %q", stream, again)
			}
		}
	})
}
