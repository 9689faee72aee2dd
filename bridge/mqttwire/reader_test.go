package mqttwire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// packets is a stream of n PUBLISHes of the given payload size.
func packets(t testing.TB, n, payload int) []byte {
	t.Helper()
	var stream []byte
	for i := range n {
		var err error
		stream, err = AppendPublish(stream, V311, &PublishOut{
			QoS: 1, Topic: "t", PacketID: uint16(i + 1), Payload: bytes.Repeat([]byte{byte(i)}, payload),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return stream
}

func TestReaderFindsPacketsHoweverTheyArrive(t *testing.T) {
	stream := packets(t, 50, 300)
	for name, src := range map[string]io.Reader{
		"at once":         bytes.NewReader(stream),
		"byte by byte":    iotest.OneByteReader(bytes.NewReader(stream)),
		"halves":          iotest.HalfReader(bytes.NewReader(stream)),
		"end with bytes":  iotest.DataErrReader(bytes.NewReader(stream)),
		"after a timeout": &stuttering{src: bytes.NewReader(stream)},
	} {
		r := NewReader(src, 1<<20)
		for i := range 50 {
			p, err := nextPatiently(r)
			var m Publish
			if err == nil {
				err = m.Decode(p.Flags, p.Body, V311)
			}
			if err != nil || int(m.PacketID) != i+1 || !bytes.Equal(m.Payload, bytes.Repeat([]byte{byte(i)}, 300)) {
				t.Fatalf("%s: packet %d is %+v, %v", name, i, m, err)
			}
		}
		if _, err := nextPatiently(r); err != io.EOF {
			t.Errorf("%s: after the last packet %v, want EOF", name, err)
		}
	}
}

// stuttering reads seven bytes, times out, reads seven bytes ...
type stuttering struct {
	src   io.Reader
	timed bool
}

func (s *stuttering) Read(b []byte) (int, error) {
	if s.timed = !s.timed; s.timed {
		return 0, os.ErrDeadlineExceeded
	}
	return s.src.Read(b[:min(7, len(b))])
}

func nextPatiently(r *Reader) (Packet, error) {
	for {
		p, err := r.Next()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return p, err
		}
	}
}

func TestBufferedPacketsKeepTheirViews(t *testing.T) {
	r := NewReader(bytes.NewReader(packets(t, 8, 20)), 1<<20)
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	batch := []Packet{first}
	for r.Buffered() {
		p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, p)
	}
	if len(batch) != 8 {
		t.Fatalf("a batch of %d packets, want all 8", len(batch))
	}
	for i, p := range batch {
		if p.Body[len(p.Body)-1] != byte(i) {
			t.Errorf("packet %d was overwritten", i)
		}
	}
}

func TestBufferedIsFalseForHalfAPacket(t *testing.T) {
	whole := packets(t, 1, 20)
	for cut := range len(whole) {
		r := NewReader(bytes.NewReader(append(packets(t, 1, 20), whole[:cut]...)), 1<<20)
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if r.Buffered() {
			t.Errorf("Buffered with %d of %d bytes", cut, len(whole))
		}
		_, err := r.Next()
		if want := io.ErrUnexpectedEOF; cut > 0 && err != want || cut == 0 && err != io.EOF {
			t.Errorf("Next with %d of %d bytes: %v", cut, len(whole), err)
		}
	}
}

func TestBufferedIsTrueForARefusal(t *testing.T) {
	r := NewReader(strings.NewReader("\xc0\x00\x00"), 100)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if !r.Buffered() {
		t.Error("Buffered is false in front of a wrong byte")
	}
	if _, err := r.Next(); err == nil {
		t.Error("no refusal of packet type 0")
	}
}

func TestAnnouncedBytesTakeNoMemory(t *testing.T) {
	announced := "\x30\xff\xff\x3f" // a PUBLISH of 1 MiB
	r := NewReader(io.MultiReader(strings.NewReader(announced), iotest.ErrReader(os.ErrDeadlineExceeded)), 1<<20+10)
	if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if len(r.buf) > bufferMin {
		t.Errorf("a buffer of %d bytes for %d that came", len(r.buf), len(announced))
	}
}

func TestLimitCountsTheWholePacket(t *testing.T) {
	stream := packets(t, 2, 1000)
	size := len(stream) / 2
	r := NewReader(bytes.NewReader(stream), size)
	if _, err := r.Next(); err != nil {
		t.Fatalf("a packet of exactly the limit: %v", err)
	}
	r.SetMax(size - 1)
	_, err := r.Next()
	if code, _ := codeOf(err); code != PacketTooLarge {
		t.Errorf("a packet of a byte more than the limit: %v, want %q", err, PacketTooLarge)
	}
}

func TestBufferFollowsTheTraffic(t *testing.T) {
	var pipe bytes.Buffer
	r := NewReader(&pipe, 1<<20)
	read := func(n int) {
		t.Helper()
		for range n {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}
	pipe.Write(packets(t, 1000, 100))
	read(1000)
	if len(r.buf) != bufferBusyMax {
		t.Errorf("busy: buffer of %d bytes, want %d", len(r.buf), bufferBusyMax)
	}
	pipe.Write(packets(t, 1, 500_000))
	read(1)
	if len(r.buf) < 500_000 || len(r.buf) > 500_100 {
		t.Errorf("large packet: buffer of %d bytes, want just enough", len(r.buf))
	}
	for range 3 * quietReadsMax {
		pipe.Write(AppendPingreq(nil))
		read(1)
	}
	if len(r.buf) != bufferMin {
		t.Errorf("quiet: buffer of %d bytes, want %d", len(r.buf), bufferMin)
	}
}

func TestReaderGivesUpOnASourceThatBringsNothing(t *testing.T) {
	r := NewReader(nothing{}, 100)
	if _, err := r.Next(); err != io.ErrNoProgress {
		t.Errorf("Next = %v, want ErrNoProgress", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }
