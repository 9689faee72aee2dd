package amqp

import (
	"math"
	"testing"
)

func TestEqual(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		a, b any
		want bool
	}{
		{int8(5), int64(5), true},
		{uint32(5), int16(5), true},
		{uint32(0xffffffff), int32(-1), false},
		{int32(1), true, false},
		{int32(1), float64(1), false},
		{int64(1), Timestamp(1), false},
		{int32(1), "1", false},
		{float32(1.5), float64(1.5), true},
		{float64(1.5), float32(2.5), false},
		{nan, nan, true},
		{nan, 1.0, false},
		{"ab", []byte("ab"), true},
		{[]byte("ab"), "ab", true},
		{[]byte("ab"), []byte("ac"), false},
		{"ab", nil, false},
		{nil, nil, true},
		{nil, false, false},
		{true, true, true},
		{true, false, false},
		{Decimal{1, 2}, Decimal{1, 2}, true},
		{Decimal{1, 2}, Decimal{2, 2}, false},
		{Timestamp(9), Timestamp(9), true},
		{Array{int8(1), "a"}, Array{int32(1), []byte("a")}, true},
		{Array{int8(1)}, Array{int8(1), nil}, false},
		{Array{int8(1)}, Array{int8(2)}, false},
		{Array{}, Table{}, false},
		{Table{{"a", int8(1)}}, Table{{"a", int64(1)}}, true},
		{Table{{"a", int8(1)}}, Table{{"b", int8(1)}}, false},
		{Table{{"a", nil}}, Table{}, false},
	}
	for _, tt := range tests {
		if got := Equal(tt.a, tt.b); got != tt.want {
			t.Errorf("Equal(%#v, %#v) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if got := Equal(tt.b, tt.a); got != tt.want {
			t.Errorf("Equal(%#v, %#v) = %v, want %v", tt.b, tt.a, got, tt.want)
		}
	}
	if !Equal(every, every) {
		t.Error("a table of every type is not equal to itself")
	}
}

func TestTypeNameAndFormatValue(t *testing.T) {
	tests := []struct {
		v          any
		name, text string
	}{
		{nil, "void", "undefined"},
		{true, "bool", "true"},
		{int8(-1), "byte", "-1"},
		{uint8(200), "unsignedbyte", "200"},
		{int16(-1), "short", "-1"},
		{uint16(60000), "unsignedshort", "60000"},
		{int32(1000), "signedint", "1000"},
		{uint32(math.MaxUint32), "unsignedint", "4294967295"},
		{int64(math.MinInt64), "long", "-9223372036854775808"},
		{float32(0.1), "float", "0.1"},
		{float64(3), "double", "3.0"},
		{Decimal{2, 314}, "decimal", "{2,314}"},
		{"drop-head", "longstr", "drop-head"},
		{[]byte("ab"), "binary", "ab"},
		{Array{"a\"", int32(1)}, "array", `[{longstr,<<"a\"">>},{signedint,1}]`},
		{Timestamp(math.MaxUint64), "timestamp", "18446744073709551615"},
		{Table{{"k", []byte{1, 255}}, {"", nil}}, "table", `[{<<"k">>,binary,<<1,255>>},{<<>>,void,undefined}]`},
	}
	for _, tt := range tests {
		if got := TypeName(tt.v); got != tt.name {
			t.Errorf("TypeName(%#v) = %q, want %q", tt.v, got, tt.name)
		}
		if got := FormatValue(tt.v); got != tt.text {
			t.Errorf("FormatValue(%#v) = %q, want %q", tt.v, got, tt.text)
		}
	}
}

func TestIntIsForIntegersOnly(t *testing.T) {
	for _, f := range every {
		v, ok := Int(f.Value)
		switch f.Value.(type) {
		case int8, int16, int32, int64:
			if !ok || v != -2 {
				t.Errorf("Int(%#v) = %d, %v; want -2", f.Value, v, ok)
			}
		case uint8, uint16, uint32:
			if !ok || v < 0xfe {
				t.Errorf("Int(%#v) = %d, %v; want it positive", f.Value, v, ok)
			}
		default:
			if ok {
				t.Errorf("Int(%#v) = %d, want none", f.Value, v)
			}
		}
	}
}
