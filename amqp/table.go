package amqp

// Table is a field table. Order and duplicates are kept as sent; the first of
// equal keys counts (see Get).
type Table []Field

// Field is one entry of a table. Value is one of:
//
//	nil 'V'  bool 't'  int8 'b'  uint8 'B'  int16 's'  uint16 'u'
//	int32 'I'  uint32 'i'  int64 'l'  float32 'f'  float64 'd'
//	Decimal 'D'  string 'S'  []byte 'x'  Array 'A'  Timestamp 'T'  Table 'F'
//
// The Go type stands for the type octet, so that a table is handed on as it
// came ('L' is read as int64 and written as 'l').
type Field struct {
	Key   string
	Value any
}

// Array is a field array; elements are field values.
type Array []any

// Timestamp is seconds since 1970.
type Timestamp uint64

// Decimal is Value divided by 10 to the power of Scale.
type Decimal struct {
	Scale uint8
	Value uint32
}

// Bounds of what a table may hold; more is refused as a syntax error.
const (
	TableDepthMax  = 16
	TableFieldsMax = 4096
)

// Get is the value of the first field of that key.
func (t Table) Get(key string) (any, bool) {
	for i := range t {
		if t[i].Key == key {
			return t[i].Value, true
		}
	}
	return nil, false
}

// With is a copy of t in which key has the value v: in its old place, or at
// the end. Values are shared with t.
func (t Table) With(key string, v any) Table {
	c := make(Table, len(t), len(t)+1)
	copy(c, t)
	for i := range c {
		if c[i].Key == key {
			c[i].Value = v
			return c
		}
	}
	return append(c, Field{key, v})
}

// Without is a copy of t that has no field of that key. Values are shared
// with t.
func (t Table) Without(key string) Table {
	c := make(Table, 0, len(t))
	for _, f := range t {
		if f.Key != key {
			c = append(c, f)
		}
	}
	return c
}
