package wire091

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"leveret/amqp"
)

const headerBytes = "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x90\x00\x0atext/plain\x02"

func TestContentHeaderBothWays(t *testing.T) {
	h, err := ParseContentHeader([]byte(headerBytes))
	if err != nil || h.Class != ClassBasic || h.BodySize != 256 || h.Props.DeliveryMode() != 2 || h.Props.ContentType() != "text/plain" {
		t.Fatalf("ParseContentHeader = %+v, %v", h, err)
	}
	want := "\x02\x00\x07\x00\x00\x00\x1a" + headerBytes + "\xce"
	if got := AppendContentHeader(nil, 7, h.BodySize, h.Props); string(got) != want {
		t.Errorf("AppendContentHeader = %q, want %q", got, want)
	}
	want = "\x02\x00\x07\x00\x00\x00\x0e\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xce"
	if got := AppendContentHeader(nil, 7, 0, nil); string(got) != want {
		t.Errorf("AppendContentHeader without properties = %q, want %q", got, want)
	}
}

func TestParseContentHeaderRefuses(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"nothing", "", "FRAME_ERROR - type 2, all octets = <<>>: unknown_frame"},
		{"no flags", headerBytes[:12], "FRAME_ERROR - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,1,0>>: unknown_frame"},
		{"other class", "\x00\x32" + headerBytes[2:], "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"},
		{"unknown flag", headerBytes[:12] + "\x00\x01", "SYNTAX_ERROR - property flags 0x0001 have unknown bits"},
		{"cut short", headerBytes[:20], "FRAME_ERROR - cannot decode properties: content-type goes past the end"},
		{"left over", headerBytes + "x", "FRAME_ERROR - cannot decode properties: 1 octets are left over"},
	}
	for _, tt := range tests {
		if _, err := ParseContentHeader([]byte(tt.in)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: ParseContentHeader(%q) = %v, want %v", tt.name, tt.in, err, tt.want)
		}
	}
}

func TestAppendBodySplits(t *testing.T) {
	tests := []struct {
		size, frameMax int
		want           []int
	}{
		{0, 8192, nil},
		{1, 8192, []int{1}},
		{8184, 8192, []int{8184}},
		{8185, 8192, []int{8184, 1}},
		{16368, 8192, []int{8184, 8184}},
		{200000, 0, []int{200000}},
	}
	for _, tt := range tests {
		whole := bytes.Repeat([]byte("abc"), tt.size)[:tt.size]
		f := NewFrameReader(bytes.NewReader(AppendBody(nil, 3, whole, tt.frameMax)), 1<<20)
		var sizes []int
		var got []byte
		for {
			frame, err := f.Next()
			if err != nil {
				break
			}
			if frame.Type != FrameBody || frame.Channel != 3 {
				t.Errorf("frame %d on channel %d", frame.Type, frame.Channel)
			}
			sizes = append(sizes, len(frame.Payload))
			got = append(got, frame.Payload...)
		}
		if !bytes.Equal(got, whole) || len(sizes) != len(tt.want) {
			t.Errorf("AppendBody(%d, frame-max %d) gave frames of %v, want %v", tt.size, tt.frameMax, sizes, tt.want)
			continue
		}
		for i, n := range tt.want {
			if sizes[i] != n {
				t.Errorf("AppendBody(%d, frame-max %d) gave frames of %v, want %v", tt.size, tt.frameMax, sizes, tt.want)
			}
		}
	}
}

func TestAppendDeliverIsBasicDeliver(t *testing.T) {
	long := strings.Repeat("k", 254) + "é"
	for _, m := range []BasicDeliver{
		{ConsumerTag: "ctag", DeliveryTag: 1 << 40, Redelivered: true, Exchange: "x", RoutingKey: "a.b"},
		{DeliveryTag: 1},
		{ConsumerTag: "t", RoutingKey: long},
	} {
		got := AppendDeliver(nil, 9, m.ConsumerTag, m.DeliveryTag, m.Redelivered, m.Exchange, m.RoutingKey)
		if want := AppendMethod(nil, 9, &m); !bytes.Equal(got, want) {
			t.Errorf("AppendDeliver(%+v) = %q, want %q", m, got, want)
		}
		f, err := NewFrameReader(bytes.NewReader(got), 0).Next()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseMethod(f.Payload, nil)
		if err != nil || len(back.(*BasicDeliver).RoutingKey) != min(len(m.RoutingKey), 254) {
			t.Errorf("a long key did not survive: %+v, %v", back, err)
		}
	}
}

func TestProtocolHeaders(t *testing.T) {
	tests := []struct {
		in      string
		want    Protocol
		refusal string
	}{
		{"AMQP\x00\x00\x09\x01", Protocol091, "AMQP\x00\x00\x09\x01"},
		{"AMQP\x01\x01\x00\x09", Protocol09, "AMQP\x03\x01\x00\x00"},
		{"AMQP\x00\x00\x09\x02", OtherAMQP, "AMQP\x00\x00\x09\x01"},
		{"AMQP\x00\x01\x00\x00", OtherAMQP, "AMQP\x03\x01\x00\x00"},
		{"AMQP\x03\x01\x00\x00", OtherAMQP, "AMQP\x03\x01\x00\x00"},
		{"GET / HT", NotAMQP, "AMQP\x03\x01\x00\x00"},
	}
	for _, tt := range tests {
		h := [ProtocolHeaderSize]byte([]byte(tt.in))
		if got := ParseProtocolHeader(h); got != tt.want {
			t.Errorf("ParseProtocolHeader(%q) = %v, want %v", tt.in, got, tt.want)
		}
		if got := RefusalHeader(h); string(got[:]) != tt.refusal {
			t.Errorf("RefusalHeader(%q) = %q, want %q", tt.in, got, tt.refusal)
		}
	}
}

func FuzzParseContentHeader(f *testing.F) {
	f.Add([]byte(headerBytes))
	f.Add([]byte("\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x04\x01at\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseContentHeader(b)
		if err != nil {
			if _, ok := errors.AsType[*amqp.Error](err); !ok {
				t.Fatalf("error %T is no *amqp.Error", err)
			}
			return
		}
		out := AppendContentHeader(nil, 1, h.BodySize, h.Props)
		again, err := ParseContentHeader(out[frameHeaderSize : len(out)-1])
		if err != nil || again.BodySize != h.BodySize || !bytes.Equal(again.Props, h.Props) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
