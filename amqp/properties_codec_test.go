package amqp

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

var full = PropertyList{
	Flags:           allFlags,
	ContentType:     "application/json",
	ContentEncoding: "gzip",
	Headers:         Table{{"site", "north"}, {"n", int32(7)}, {"site", "south"}},
	DeliveryMode:    2,
	Priority:        9,
	CorrelationID:   "c-1",
	ReplyTo:         "answers",
	Expiration:      "60000",
	MessageID:       "m-1",
	Timestamp:       1700000000,
	Type:            "reading",
	UserID:          "guest",
	AppID:           "app",
	ClusterID:       "old",
}

const fullBytes = "\xff\xfc" +
	"\x10application/json\x04gzip" +
	"\x00\x00\x00\x25\x04siteS\x00\x00\x00\x05north\x01nI\x00\x00\x00\x07\x04siteS\x00\x00\x00\x05south" +
	"\x02\x09\x03c-1\x07answers\x0560000\x03m-1\x00\x00\x00\x00\x65\x53\xf1\x00\x07reading\x05guest\x03app\x03old"

func TestFullPropertiesBothWays(t *testing.T) {
	p, err := ParseProperties([]byte(fullBytes))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.List(); !reflect.DeepEqual(got, full) {
		t.Errorf("List() = %+v\nwant %+v", got, full)
	}
	if got := full.Encode(); string(got) != fullBytes {
		t.Errorf("Encode() = %q\nwant %q", got, fullBytes)
	}
}

func TestEachPropertyAlone(t *testing.T) {
	for flag := uint16(HasContentType); flag >= HasClusterID; flag >>= 1 {
		one := PropertyList{Flags: flag}
		if flag == HasHeaders {
			one.Headers = Table{}
		}
		p := one.Encode()
		if q, err := ParseProperties(p); err != nil || !q.Has(flag) || q.Has(^flag) {
			t.Errorf("%s present and empty: %q, %v", propertyName(flag), q, err)
		}
		if got := p.List(); !reflect.DeepEqual(got, one) {
			t.Errorf("%s: List() = %+v, want %+v", propertyName(flag), got, one)
		}
	}
}

func TestAccessors(t *testing.T) {
	p := full.Encode()
	if stamp, ok := p.Timestamp(); stamp != 1700000000 || !ok {
		t.Errorf("Timestamp() = %d, %v", stamp, ok)
	}
	if v, ok := p.Header("site"); v != "north" || !ok {
		t.Errorf("Header(site) = %v, %v; want the first", v, ok)
	}
	if v, ok := p.Header("n"); v != int32(7) || !ok {
		t.Errorf("Header(n) = %v, %v; want 7", v, ok)
	}
	if v, ok := p.Header("m"); v != nil || ok {
		t.Errorf("Header(m) = %v, %v; want none", v, ok)
	}
	for _, none := range []Properties{nil, {}, {0, 0}} {
		if got := none.List(); !reflect.DeepEqual(got, PropertyList{}) {
			t.Errorf("List of %q = %+v, want nothing", none, got)
		}
		if _, ok := none.Timestamp(); ok {
			t.Errorf("Timestamp of %q is present", none)
		}
		if _, ok := none.Header("site"); ok {
			t.Errorf("Header of %q is present", none)
		}
	}
}

func TestEncodeSetsFlagsOfWhatIsThere(t *testing.T) {
	p := PropertyList{DeliveryMode: 2, MessageID: "m"}.Encode()
	if string(p) != "\x10\x80\x02\x01m" {
		t.Errorf("Encode() = %q", p)
	}
	if p := (PropertyList{}).Encode(); p != nil {
		t.Errorf("Encode() of nothing = %q, want nil", p)
	}
	if p := (PropertyList{Flags: 3}).Encode(); p != nil {
		t.Errorf("Encode() of unknown flags = %q, want nil", p)
	}
	p = PropertyList{AppID: strings.Repeat("x", 300)}.Encode()
	if _, err := ParseProperties(p); err != nil || len(p.AppID()) != 255 {
		t.Errorf("a long string became %d bytes, %v; want 255", len(p.AppID()), err)
	}
}

func TestParsePropertiesRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   string
		code Code
		text string
	}{
		{"half the flags", "\x80", FrameError, "flags goes past the end"},
		{"flags continued", "\x80\x01\x01a", SyntaxError, "unknown bits"},
		{"reserved flag", "\x00\x02", SyntaxError, "unknown bits"},
		{"no content-type", "\x80\x00", FrameError, "content-type goes past the end"},
		{"content-type too long", "\x80\x00\x02a", FrameError, "content-type goes past the end"},
		{"no delivery-mode", "\x10\x00", FrameError, "delivery-mode goes past the end"},
		{"timestamp too short", "\x00\x40\x00\x00\x00\x00\x00\x00\x00", FrameError, "timestamp goes past the end"},
		{"headers too long", "\x20\x00\x00\x00\x00\x05\x01aV", FrameError, "cannot decode table"},
		{"headers of unknown type", "\x20\x00\x00\x00\x00\x03\x01aZ", SyntaxError, "unknown field type"},
		{"left over", "\x10\x00\x02\x00", FrameError, "1 octets are left over"},
		{"left over without properties", "\x00\x00\x00", FrameError, "1 octets are left over"},
	}
	for _, tt := range tests {
		p, err := ParseProperties([]byte(tt.in))
		e, ok := errors.AsType[*Error](err)
		if p != nil || !ok || e.Code != tt.code || !strings.Contains(e.Text, tt.text) {
			t.Errorf("%s: ParseProperties(%q) = %v, want %v with %q", tt.name, tt.in, err, tt.code, tt.text)
		}
	}
	for n := 1; n < len(fullBytes); n++ {
		if _, err := ParseProperties([]byte(fullBytes[:n])); err == nil {
			t.Errorf("the first %d of %d bytes were taken", n, len(fullBytes))
		}
	}
}

func TestAccessorsDoNotAllocate(t *testing.T) {
	b := []byte(fullBytes)
	got := testing.AllocsPerRun(100, func() {
		p, err := ParseProperties(b)
		if err != nil || p.DeliveryMode() != 2 || p.Priority() != 9 || !p.Has(HasHeaders) {
			t.Fatal("not the list that was encoded")
		}
		if _, ok := p.Timestamp(); !ok {
			t.Fatal("timestamp is gone")
		}
		if _, ok := p.Header("absent"); ok {
			t.Fatal("header from nowhere")
		}
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func FuzzParseProperties(f *testing.F) {
	f.Add([]byte(fullBytes))
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("\x98\x00\x10application/json\x02\x00")) // pika
	f.Add([]byte("\x30\x00\x00\x00\x00\x08\x01aA\x00\x00\x00\x01V\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProperties(b)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error %T is no *Error", err)
			}
			return
		}
		list := p.List()
		q := list.Encode()
		if _, err := ParseProperties(q); err != nil {
			t.Fatalf("own list refused: %v", err)
		}
		if q != nil && len(q) != len(p) {
			t.Fatalf("%q became %q", p, q)
		}
		again := q.List()
		if !Equal(list.Headers, again.Headers) {
			t.Fatalf("headers %v became %v", list.Headers, again.Headers)
		}
		list.Headers, again.Headers = nil, nil
		if !reflect.DeepEqual(list, again) {
			t.Fatalf("%+v became %+v", list, again)
		}
		for _, h := range p.Headers() {
			want, _ := p.Headers().Get(h.Key)
			if got, ok := p.Header(h.Key); !ok || !Equal(got, want) {
				t.Fatalf("Header(%q) = %v, %v; want %v", h.Key, got, ok, want)
			}
		}
	})
}

func BenchmarkParseProperties(b *testing.B) {
	in := []byte(fullBytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseProperties(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeliveryMode(b *testing.B) {
	p := full.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if p.DeliveryMode() != 2 {
			b.Fatal("wrong")
		}
	}
}

func BenchmarkHeader(b *testing.B) {
	p := full.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Header("n"); !ok {
			b.Fatal("absent")
		}
	}
}

func BenchmarkList(b *testing.B) {
	p := full.Encode()
	b.ReportAllocs()
	for b.Loop() {
		p.List()
	}
}
