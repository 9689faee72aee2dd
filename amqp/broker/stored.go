package broker

import (
	"encoding/binary"
	"fmt"

	"leveret/amqp"
	"leveret/spool"
)

// stored is a message as the spool sees it. Its form, version 1, is ours and
// not any protocol's:
//
//	u8       version, 1
//	uvarint  boot
//	uvarint  instant, nanoseconds
//	uvarint  length, then the exchange
//	uvarint  length, then the routing key
//	uvarint  length, then the property list (see amqp.Properties)
//	         the rest is the body
type stored amqp.Message

const storedVersion = 1

// AppendTo appends the stored form.
func (s *stored) AppendTo(b []byte) []byte {
	b = append(b, storedVersion)
	b = binary.AppendUvarint(b, uint64(s.Stamp.Boot))
	b = binary.AppendUvarint(b, uint64(s.Stamp.At))
	b = appendText(b, s.Exchange)
	b = appendText(b, s.Key)
	b = append(binary.AppendUvarint(b, uint64(len(s.Props))), s.Props...)
	return append(b, s.Body...)
}

// Size is about the length of the stored form.
func (s *stored) Size() int {
	return 24 + len(s.Exchange) + len(s.Key) + len(s.Props) + len(s.Body)
}

// thaw makes a message of what the spool gave back. Its bytes stay where the
// spool put them.
func thaw(it *spool.Item, seen *names) (*amqp.Message, error) {
	if it.Err != nil {
		return nil, it.Err
	}
	if it.Live != nil {
		return (*amqp.Message)(it.Live.(*stored)), nil
	}
	return decodeStored(it.Data, seen)
}

func decodeStored(data []byte, seen *names) (*amqp.Message, error) {
	d := decoder{b: data}
	if v := d.u8(); v != storedVersion && d.err == nil {
		return nil, fmt.Errorf("stored message: version %d is not known", v)
	}
	m := &amqp.Message{}
	m.Stamp.Boot = amqp.Boot(d.uvarint())
	m.Stamp.At = amqp.Instant(d.uvarint())
	m.Exchange = seen.exchange(d.raw())
	m.Key = seen.key(d.raw())
	props := d.raw()
	if d.err != nil {
		return nil, fmt.Errorf("stored message: %w", d.err)
	}
	var err error
	if m.Props, err = amqp.ParseProperties(props); err != nil {
		return nil, fmt.Errorf("stored message: properties: %w", err)
	}
	m.Body = d.b
	return m, nil
}

// names keeps the strings of the message before: neighbours mostly share them.
type names struct{ lastExchange, lastKey string }

func (n *names) exchange(b []byte) string {
	if n.lastExchange != string(b) {
		n.lastExchange = string(b)
	}
	return n.lastExchange
}

func (n *names) key(b []byte) string {
	if n.lastKey != string(b) {
		n.lastKey = string(b)
	}
	return n.lastKey
}
