package wire091

import (
	"encoding/binary"
	"unicode/utf8"

	"leveret/amqp"
)

// Reader takes arguments off a method's bytes. It keeps the first error and
// answers zero values after it, so that a decoder reads like the
// specification and asks once, at its end.
type Reader struct {
	// Intern makes the strings of short string fields; it must copy. Names
	// come again with every message, and an interner that knows them saves
	// their allocation. nil: each string is a new one.
	Intern func([]byte) string

	args []byte // all of them, for error texts
	rest []byte // not yet taken; nil after an error
	err  error
}

// Reset starts on new arguments.
func (r *Reader) Reset(args []byte) { r.args, r.rest, r.err = args, args, nil }

// Err is the first error so far.
func (r *Reader) Err() error { return r.err }

// Done is the first error, or that arguments are left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.rest) > 0 {
		r.failDecode("arguments are left over")
	}
	return r.err
}

// U8 takes an octet. As with the others, name is the field's, for the error.
func (r *Reader) U8(name string) uint8 {
	if b := r.take(1, name); b != nil {
		return b[0]
	}
	return 0
}

// Bits takes the octet that adjoining bits share, the first in bit 0.
func (r *Reader) Bits(names string) uint8 { return r.U8(names) }

func (r *Reader) U16(name string) uint16 {
	if b := r.take(2, name); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *Reader) U32(name string) uint32 {
	if b := r.take(4, name); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *Reader) U64(name string) uint64 {
	if b := r.take(8, name); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// ShortStr takes a short string, which must be UTF-8.
func (r *Reader) ShortStr(name string) string {
	b := r.take(int(r.U8(name)), name)
	switch {
	case !utf8.Valid(b):
		r.fail(amqp.Errorf(amqp.FrameError, "Malformed UTF-8 in shortstr"))
		return ""
	case r.Intern != nil && len(b) > 0:
		return r.Intern(b)
	}
	return string(b)
}

// LongStr takes a long string: any bytes.
func (r *Reader) LongStr(name string) string {
	n := r.U32(name)
	if uint64(n) > uint64(len(r.rest)) {
		r.failShort(name)
		return ""
	}
	return string(r.take(int(n), name))
}

// Table takes a field table.
func (r *Reader) Table(name string) amqp.Table {
	if r.err != nil {
		return nil
	}
	t, n, err := amqp.ParseTable(r.rest)
	if err != nil {
		r.fail(err)
		return nil
	}
	r.take(n, name)
	return t
}

// take is the next n bytes, nil when they are not there.
func (r *Reader) take(n int, name string) []byte {
	if n > len(r.rest) {
		r.failShort(name)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *Reader) failShort(name string) { r.failDecode(name + " goes past the end") }

func (r *Reader) failDecode(why string) {
	if r.err == nil {
		r.fail(amqp.Errorf(amqp.FrameError, "cannot decode %s: %s", amqp.FormatBytes(snippet(r.args)), why))
	}
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.rest = nil
	}
}
