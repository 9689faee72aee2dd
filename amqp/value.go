package amqp

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// TypeName is RabbitMQ's name of a field value's type, as its reply texts use
// it. The names differ from the Go types: a signedint is an int32, a long an
// int64.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "void"
	case bool:
		return "bool"
	case int8:
		return "byte"
	case uint8:
		return "unsignedbyte"
	case int16:
		return "short"
	case uint16:
		return "unsignedshort"
	case int32:
		return "signedint"
	case uint32:
		return "unsignedint"
	case int64:
		return "long"
	case float32:
		return "float"
	case float64:
		return "double"
	case Decimal:
		return "decimal"
	case string:
		return "longstr"
	case []byte:
		return "binary"
	case Array:
		return "array"
	case Timestamp:
		return "timestamp"
	case Table:
		return "table"
	}
	return fmt.Sprintf("%T", v)
}

// Int is the value of an integer field of any width; timestamps are none.
func Int(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

// Equal compares two field values as headers exchanges and redeclarations do:
// by class of type and value. Integers of all widths are one class, both
// floats another, strings and byte arrays a third; every other type is equal
// only to itself. Tables and arrays are equal element by element, in order.
func Equal(a, b any) bool {
	if x, ok := Int(a); ok {
		y, ok := Int(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case string:
		return equalString(a, b)
	case []byte:
		return equalBytes(a, b)
	case float32:
		return equalFloat(float64(a), b)
	case float64:
		return equalFloat(a, b)
	case Array:
		b, ok := b.(Array)
		return ok && equalArray(a, b)
	case Table:
		b, ok := b.(Table)
		return ok && equalTable(a, b)
	case nil, bool, Decimal, Timestamp:
		switch b.(type) {
		case nil, bool, Decimal, Timestamp:
			return a == b
		}
	}
	return false
}

func equalString(a string, b any) bool {
	switch b := b.(type) {
	case string:
		return a == b
	case []byte:
		return a == string(b)
	}
	return false
}

func equalBytes(a []byte, b any) bool {
	switch b := b.(type) {
	case string:
		return string(a) == b
	case []byte:
		return bytes.Equal(a, b)
	}
	return false
}

// equalFloat lets a NaN equal itself: a binding must be found again by the
// arguments it was made with.
func equalFloat(a float64, b any) bool {
	var f float64
	switch b := b.(type) {
	case float32:
		f = float64(b)
	case float64:
		f = b
	default:
		return false
	}
	return a == f || math.IsNaN(a) && math.IsNaN(f)
}

func equalArray(a, b Array) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalTable(a, b Table) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// FormatValue prints a field value alone, without quotes and type, as reply
// texts show it: 1000, drop-head, [{longstr,<<"a">>}]. A text about arguments
// is made from it as "the value '" + FormatValue(v) + "' of type '" +
// TypeName(v) + "'".
func FormatValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return string(appendTerm(nil, v))
}

// FormatBytes prints bytes the way RabbitMQ's texts do: <<"abc">> when they
// are printable ASCII, else <<1,2,255>>.
func FormatBytes(b []byte) string { return string(appendBinary(nil, b)) }

// appendTerm prints a value in Erlang's notation, which the operators of the
// field know from RabbitMQ.
func appendTerm(dst []byte, v any) []byte {
	if i, ok := Int(v); ok {
		return strconv.AppendInt(dst, i, 10)
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "undefined"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case float64:
		return appendFloat(dst, v, 64)
	case Decimal:
		return fmt.Appendf(dst, "{%d,%d}", v.Scale, v.Value)
	case Timestamp:
		return strconv.AppendUint(dst, uint64(v), 10)
	case string:
		return appendBinary(dst, []byte(v))
	case []byte:
		return appendBinary(dst, v)
	case Array:
		return appendArrayTerm(dst, v)
	case Table:
		return appendTableTerm(dst, v)
	}
	return fmt.Append(dst, v)
}

func appendArrayTerm(dst []byte, a Array) []byte {
	dst = append(dst, '[')
	for i, v := range a {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, '{'), TypeName(v)...)
		dst = append(appendTerm(append(dst, ','), v), '}')
	}
	return append(dst, ']')
}

func appendTableTerm(dst []byte, t Table) []byte {
	dst = append(dst, '[')
	for i, f := range t {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendBinary(append(dst, '{'), []byte(f.Key))
		dst = append(append(dst, ','), TypeName(f.Value)...)
		dst = append(appendTerm(append(dst, ','), f.Value), '}')
	}
	return append(dst, ']')
}

// appendFloat prints at least one digit behind the point.
func appendFloat(dst []byte, f float64, bits int) []byte {
	s := strconv.FormatFloat(f, 'g', -1, bits)
	dst = append(dst, s...)
	if !strings.ContainsAny(s, ".eIN") {
		dst = append(dst, ".0"...)
	}
	return dst
}

func appendBinary(dst, b []byte) []byte {
	dst = append(dst, "<<"...)
	if printable(b) {
		dst = strconv.AppendQuote(dst, string(b))
		return append(dst, ">>"...)
	}
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(c), 10)
	}
	return append(dst, ">>"...)
}

// printable is false for no bytes at all: they print as <<>>.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) > 0
}
