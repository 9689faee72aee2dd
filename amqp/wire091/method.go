package wire091

import (
	"encoding/binary"
	"fmt"

	"leveret/amqp"
)

// MethodID is the class id in the upper and the method id in the lower 16 bits.
type MethodID uint32

// Class is the class id.
func (id MethodID) Class() uint16 { return uint16(id >> 16) }

// Method is the id within the class.
func (id MethodID) Method() uint16 { return uint16(id) }

// String is the method's name, as in basic.publish, or its numbers.
func (id MethodID) String() string {
	if name := id.name(); name != "" {
		return name
	}
	return fmt.Sprintf("%d.%d", id.Class(), id.Method())
}

// Method is one method with its arguments: a pointer to one of the structs
// that are generated from methods.txt.
type Method interface {
	ID() MethodID
	// Name is class and method, as in basic.publish.
	Name() string
	// Decode reads the arguments, which must fill the reader to its end. Every
	// field is set, so a struct may be used again.
	Decode(*Reader) error
	// AppendTo appends the arguments, without the ids.
	AppendTo(dst []byte) []byte
}

// ParseMethodID splits a method frame's payload into id and arguments. Whether
// there is such a method is left to who decodes it.
func ParseMethodID(payload []byte) (id MethodID, args []byte, err error) {
	if len(payload) < 4 {
		return 0, nil, errFrame(FrameMethod, payload, unknownFrame)
	}
	return MethodID(binary.BigEndian.Uint32(payload)), payload[4:], nil
}

// ParseMethod reads a method frame's payload into a new struct. Nothing of
// payload is kept; intern may be nil, see [Reader].
func ParseMethod(payload []byte, intern func([]byte) string) (Method, error) {
	id, args, err := ParseMethodID(payload)
	if err != nil {
		return nil, err
	}
	m := NewMethod(id)
	if m == nil {
		return nil, amqp.Errorf(amqp.CommandInvalid, "unimplemented method")
	}
	r := Reader{Intern: intern}
	r.Reset(args)
	if err := m.Decode(&r); err != nil {
		return nil, err
	}
	return m, nil
}
