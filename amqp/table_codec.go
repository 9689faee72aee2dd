package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Foreign bytes are read in two passes: a checker walks them and proves every
// length, depth and type octet without building anything; the decoder then
// trusts the bytes. The second pass is also all that a Properties needs later,
// because its bytes were checked when it was made.

// ParseTable reads the field table that b starts with, its u32 length
// included, and says how many bytes it took. Nothing of b is kept.
func ParseTable(b []byte) (t Table, n int, err error) {
	n, err = checkTable(b)
	if err != nil {
		return nil, 0, err
	}
	return decodeTable(b[4:n]), n, nil
}

// AppendTo appends the encoded table with its u32 length. Keys longer than a
// short string holds are cut.
func (t Table) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, f := range t {
		dst = AppendShortString(dst, f.Key)
		dst = appendValue(dst, f.Value)
	}
	return closeBlock(dst, start)
}

// AppendShortString appends s as a short string. What exceeds 255 bytes is cut
// off, at the border of a character when s is UTF-8: a wrong length octet
// would damage everything behind it.
func AppendShortString(dst []byte, s string) []byte {
	s = cutShortString(s)
	return append(append(dst, byte(len(s))), s...)
}

func cutShortString(s string) string {
	if len(s) <= math.MaxUint8 {
		return s
	}
	for n := math.MaxUint8; n > math.MaxUint8-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n]
		}
	}
	return s[:math.MaxUint8] // no UTF-8: any border is as good
}

// checker walks encoded tables. It allocates only its error.
type checker struct {
	fields int // fields and array elements that may still come, over all depths
}

func checkTable(b []byte) (n int, err error) {
	c := checker{fields: TableFieldsMax}
	return c.table(b, 1)
}

// table checks a table and says how long it is.
func (c *checker) table(b []byte, depth int) (int, error) {
	body, err := c.nest(b, depth)
	if err != nil {
		return 0, err
	}
	for rest := body; len(rest) > 0; {
		key := 1 + int(rest[0])
		if len(rest) < key {
			return 0, errShort("table key")
		}
		n, err := c.value(rest[key:], depth)
		if err != nil {
			return 0, err
		}
		rest = rest[key+n:]
	}
	return 4 + len(body), nil
}

func (c *checker) array(b []byte, depth int) (int, error) {
	body, err := c.nest(b, depth)
	if err != nil {
		return 0, err
	}
	for rest := body; len(rest) > 0; {
		n, err := c.value(rest, depth)
		if err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return 4 + len(body), nil
}

// nest opens a table or array at a depth.
func (c *checker) nest(b []byte, depth int) ([]byte, error) {
	if depth > TableDepthMax {
		return nil, Errorf(SyntaxError, "table is nested deeper than %d", TableDepthMax)
	}
	return block(b)
}

// value checks a type octet and the value behind it.
func (c *checker) value(b []byte, depth int) (n int, err error) {
	if len(b) == 0 {
		return 0, errShort("table value")
	}
	if c.fields--; c.fields < 0 {
		return 0, Errorf(SyntaxError, "table has more than %d fields", TableFieldsMax)
	}
	kind, b := b[0], b[1:]
	switch kind {
	case 'S', 'x':
		var body []byte
		body, err = block(b)
		n = 4 + len(body)
	case 'A':
		n, err = c.array(b, depth+1)
	case 'F':
		n, err = c.table(b, depth+1)
	default:
		n = fixedSize(kind)
		if n < 0 {
			return 0, Errorf(SyntaxError, "unknown field type %s in table", FormatBytes([]byte{kind}))
		}
		if len(b) < n {
			return 0, errShort("table value")
		}
	}
	if err != nil {
		return 0, err
	}
	return 1 + n, nil
}

// block gives the bytes that a u32 length announces.
func block(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errShort("length")
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, errShort("length")
	}
	return b[4 : 4+n], nil
}

func errShort(what string) error {
	return Errorf(FrameError, "cannot decode table: %s goes past the end", what)
}

// fixedSize is how many bytes a value of a kind has, -1 when its own length
// says so or the kind is unknown.
func fixedSize(kind byte) int {
	switch kind {
	case 'V':
		return 0
	case 't', 'b', 'B':
		return 1
	case 's', 'u':
		return 2
	case 'I', 'i', 'f':
		return 4
	case 'D':
		return 5
	case 'l', 'L', 'd', 'T':
		return 8
	}
	return -1
}

// From here on the bytes have been checked.

// skipValue is the length of the type octet and value that b starts with.
func skipValue(b []byte) int {
	if n := fixedSize(b[0]); n >= 0 {
		return 1 + n
	}
	return 5 + int(binary.BigEndian.Uint32(b[1:]))
}

// cutField splits a field off a table's body; value has its type octet.
func cutField(b []byte) (key, value, rest []byte) {
	n := 1 + int(b[0])
	key, b = b[1:n], b[n:]
	n = skipValue(b)
	return key, b[:n], b[n:]
}

func decodeTable(body []byte) Table {
	count := 0
	for rest := body; len(rest) > 0; count++ {
		_, _, rest = cutField(rest)
	}
	t := make(Table, 0, count)
	for rest := body; len(rest) > 0; {
		var key, value []byte
		key, value, rest = cutField(rest)
		t = append(t, Field{string(key), decodeValue(value)})
	}
	return t
}

func decodeArray(body []byte) Array {
	count := 0
	for rest := body; len(rest) > 0; count++ {
		rest = rest[skipValue(rest):]
	}
	a := make(Array, 0, count)
	for rest := body; len(rest) > 0; {
		n := skipValue(rest)
		a = append(a, decodeValue(rest[:n]))
		rest = rest[n:]
	}
	return a
}

// decodeValue reads exactly one type octet and value.
func decodeValue(b []byte) any {
	kind, b := b[0], b[1:]
	switch kind {
	case 't':
		return b[0] != 0
	case 'b':
		return int8(b[0])
	case 'B':
		return b[0]
	case 's':
		return int16(binary.BigEndian.Uint16(b))
	case 'u':
		return binary.BigEndian.Uint16(b)
	case 'I':
		return int32(binary.BigEndian.Uint32(b))
	case 'i':
		return binary.BigEndian.Uint32(b)
	case 'l', 'L': // the specification's L is unsigned, its users' is not
		return int64(binary.BigEndian.Uint64(b))
	case 'f':
		return math.Float32frombits(binary.BigEndian.Uint32(b))
	case 'd':
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	case 'D':
		return Decimal{Scale: b[0], Value: binary.BigEndian.Uint32(b[1:])}
	case 'S':
		return string(b[4:])
	case 'x':
		return append([]byte{}, b[4:]...)
	case 'A':
		return decodeArray(b[4:])
	case 'T':
		return Timestamp(binary.BigEndian.Uint64(b))
	case 'F':
		return decodeTable(b[4:])
	case 'V':
		return nil
	}
	panic(fmt.Sprintf("BUG: unchecked field type %q", kind))
}

func appendValue(dst []byte, v any) []byte {
	be := binary.BigEndian
	switch v := v.(type) {
	case nil:
		return append(dst, 'V')
	case bool:
		if v {
			return append(dst, 't', 1)
		}
		return append(dst, 't', 0)
	case int8:
		return append(dst, 'b', byte(v))
	case uint8:
		return append(dst, 'B', v)
	case int16:
		return be.AppendUint16(append(dst, 's'), uint16(v))
	case uint16:
		return be.AppendUint16(append(dst, 'u'), v)
	case int32:
		return be.AppendUint32(append(dst, 'I'), uint32(v))
	case uint32:
		return be.AppendUint32(append(dst, 'i'), v)
	case int64:
		return be.AppendUint64(append(dst, 'l'), uint64(v))
	case float32:
		return be.AppendUint32(append(dst, 'f'), math.Float32bits(v))
	case float64:
		return be.AppendUint64(append(dst, 'd'), math.Float64bits(v))
	case Decimal:
		return be.AppendUint32(append(dst, 'D', v.Scale), v.Value)
	case string:
		return append(be.AppendUint32(append(dst, 'S'), uint32(len(v))), v...)
	case []byte:
		return append(be.AppendUint32(append(dst, 'x'), uint32(len(v))), v...)
	case Array:
		return v.appendTo(append(dst, 'A'))
	case Timestamp:
		return be.AppendUint64(append(dst, 'T'), uint64(v))
	case Table:
		return v.AppendTo(append(dst, 'F'))
	}
	panic(fmt.Sprintf("BUG: %T is no field value", v))
}

func (a Array) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, v := range a {
		dst = appendValue(dst, v)
	}
	return closeBlock(dst, start)
}

// closeBlock writes the length of what was appended behind the four bytes at
// start into them.
func closeBlock(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
