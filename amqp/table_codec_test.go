package amqp

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// every is a table with each type of field; everyBytes is its encoding.
var every = Table{
	{"nil", nil},
	{"yes", true},
	{"no", false},
	{"i8", int8(-2)},
	{"u8", uint8(0xfe)},
	{"i16", int16(-2)},
	{"u16", uint16(0xfffe)},
	{"i32", int32(-2)},
	{"u32", uint32(0xfffffffe)},
	{"i64", int64(-2)},
	{"f", float32(1.5)},
	{"d", float64(-1.5)},
	{"D", Decimal{Scale: 2, Value: 314}},
	{"S", "text"},
	{"x", []byte{0, 0xff}},
	{"A", Array{"a", int32(1), nil}},
	{"T", Timestamp(1700000000)},
	{"F", Table{{"in", "side"}}},
}

const everyBytes = "\x00\x00\x00\xa6" +
	"\x03nilV" +
	"\x03yest\x01" +
	"\x02not\x00" +
	"\x02i8b\xfe" +
	"\x02u8B\xfe" +
	"\x03i16s\xff\xfe" +
	"\x03u16u\xff\xfe" +
	"\x03i32I\xff\xff\xff\xfe" +
	"\x03u32i\xff\xff\xff\xfe" +
	"\x03i64l\xff\xff\xff\xff\xff\xff\xff\xfe" +
	"\x01ff\x3f\xc0\x00\x00" +
	"\x01dd\xbf\xf8\x00\x00\x00\x00\x00\x00" +
	"\x01DD\x02\x00\x00\x01\x3a" +
	"\x01SS\x00\x00\x00\x04text" +
	"\x01xx\x00\x00\x00\x02\x00\xff" +
	"\x01AA\x00\x00\x00\x0cS\x00\x00\x00\x01aI\x00\x00\x00\x01V" +
	"\x01TT\x00\x00\x00\x00\x65\x53\xf1\x00" +
	"\x01FF\x00\x00\x00\x0c\x02inS\x00\x00\x00\x04side"

func TestTableOfEveryTypeBothWays(t *testing.T) {
	got, n, err := ParseTable([]byte(everyBytes + "rest"))
	if err != nil || n != len(everyBytes) {
		t.Fatalf("ParseTable = %d bytes, %v; want %d, nil", n, err, len(everyBytes))
	}
	if !reflect.DeepEqual(got, every) {
		t.Errorf("ParseTable = %v\nwant %v", got, every)
	}
	if b := every.AppendTo(nil); string(b) != everyBytes {
		t.Errorf("AppendTo = %q\nwant %q", b, everyBytes)
	}
}

func TestTableLReadAsSigned(t *testing.T) {
	got, _, err := ParseTable([]byte("\x00\x00\x00\x0b\x01aL\xff\xff\xff\xff\xff\xff\xff\xff"))
	if v, _ := got.Get("a"); err != nil || v != int64(-1) {
		t.Fatalf("L = %v, %v; want int64 -1", v, err)
	}
	if b := got.AppendTo(nil); b[6] != 'l' {
		t.Errorf("written as %q, want l", b[6])
	}
}

// deep is a table within tables, depth of them in all.
func deep(depth int) []byte {
	t := Table{}
	for range depth - 1 {
		t = Table{{"", t}}
	}
	return t.AppendTo(nil)
}

func TestParseTableRefuses(t *testing.T) {
	wide := make(Array, TableFieldsMax) // one more with the field it is in
	tests := []struct {
		name string
		in   string
		code Code
		text string
	}{
		{"nothing", "", FrameError, "length goes past the end"},
		{"half a length", "\x00\x00\x00", FrameError, "length goes past the end"},
		{"length too long", "\x00\x00\x00\x05\x01aV", FrameError, "length goes past the end"},
		{"length of 4 GiB", "\xff\xff\xff\xff\x01aV", FrameError, "length goes past the end"},
		{"key too long", "\x00\x00\x00\x03\x05aV", FrameError, "table key goes past the end"},
		{"key without value", "\x00\x00\x00\x02\x01a", FrameError, "table value goes past the end"},
		{"value too long", "\x00\x00\x00\x05\x01aI\x00\x00", FrameError, "table value goes past the end"},
		{"string too long", "\x00\x00\x00\x08\x01aS\x00\x00\x00\x02b", FrameError, "length goes past the end"},
		{"array too long", "\x00\x00\x00\x08\x01aA\x00\x00\x00\x02V", FrameError, "length goes past the end"},
		{"element cut short", "\x00\x00\x00\x08\x01aA\x00\x00\x00\x01t", FrameError, "table value goes past the end"},
		{"unknown type", "\x00\x00\x00\x03\x01aZ", SyntaxError, `unknown field type <<"Z">> in table`},
		{"unknown type in array", "\x00\x00\x00\x08\x01aA\x00\x00\x00\x01\x00", SyntaxError, "unknown field type <<0>> in table"},
		{"too deep", string(deep(TableDepthMax + 1)), SyntaxError, "nested deeper than 16"},
		{"too many", string(Table{{"a", wide}}.AppendTo(nil)), SyntaxError, "more than 4096 fields"},
	}
	for _, tt := range tests {
		_, _, err := ParseTable([]byte(tt.in))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != tt.code || !strings.Contains(e.Text, tt.text) {
			t.Errorf("%s: ParseTable(%.40q) = %v, want %v with %q", tt.name, tt.in, err, tt.code, tt.text)
		}
	}
}

func TestParseTableAtItsBounds(t *testing.T) {
	if _, _, err := ParseTable(deep(TableDepthMax)); err != nil {
		t.Errorf("depth %d: %v", TableDepthMax, err)
	}
	wide := Table{{"a", make(Array, TableFieldsMax-1)}}
	if _, _, err := ParseTable(wide.AppendTo(nil)); err != nil {
		t.Errorf("%d fields: %v", TableFieldsMax, err)
	}
}

func TestParsedTableKeepsNothing(t *testing.T) {
	b := []byte(everyBytes)
	got, _, err := ParseTable(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !reflect.DeepEqual(got, every) {
		t.Errorf("table changed with the bytes it was read from: %v", got)
	}
}

func TestTableGetWithWithout(t *testing.T) {
	in := Table{{"a", int32(1)}, {"b", "x"}, {"a", int32(2)}}
	if v, ok := in.Get("a"); v != int32(1) || !ok {
		t.Errorf("Get(a) = %v, %v; want the first", v, ok)
	}
	if v, ok := in.Get("c"); v != nil || ok {
		t.Errorf("Get(c) = %v, %v; want nothing", v, ok)
	}
	tests := []struct {
		name string
		got  Table
		want Table
	}{
		{"With(b)", in.With("b", "y"), Table{{"a", int32(1)}, {"b", "y"}, {"a", int32(2)}}},
		{"With(c)", in.With("c", nil), Table{{"a", int32(1)}, {"b", "x"}, {"a", int32(2)}, {"c", nil}}},
		{"Without(a)", in.Without("a"), Table{{"b", "x"}}},
		{"Without(c)", in.Without("c"), in},
		{"nil.With(a)", Table(nil).With("a", true), Table{{"a", true}}},
	}
	for _, tt := range tests {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s = %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if v, _ := in.Get("b"); v != "x" || len(in) != 3 {
		t.Errorf("the table itself was changed: %v", in)
	}
}

func TestShortStringIsCutAtACharacter(t *testing.T) {
	long := strings.Repeat("a", 300)
	tests := []struct{ in, want string }{
		{"", ""},
		{long[:255], long[:255]},
		{long, long[:255]},
		{long[:254] + "é", long[:254]},
		{long[:253] + "é", long[:253] + "é"},
		{long[:252] + "😀", long[:252]},
		{strings.Repeat("\x80", 300), strings.Repeat("\x80", 255)},
	}
	for _, tt := range tests {
		got := AppendShortString(nil, tt.in)
		if int(got[0]) != len(got)-1 || string(got[1:]) != tt.want {
			t.Errorf("AppendShortString(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add([]byte(everyBytes))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x0d\x01aF\x00\x00\x00\x06\x01bA\x00\x00\x00\x00"))
	f.Add(deep(TableDepthMax + 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, n, err := ParseTable(b)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error %T is no *Error", err)
			}
			return
		}
		once := first.AppendTo(nil)
		if len(once) != n {
			t.Fatalf("%d bytes written, %d read", len(once), n)
		}
		second, _, err := ParseTable(once)
		if err != nil {
			t.Fatalf("own table refused: %v", err)
		}
		if twice := second.AppendTo(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q", once, twice)
		}
		if !Equal(first, second) {
			t.Fatalf("%v != %v", first, second)
		}
		FormatValue(first)
	})
}
