// Package amqp is the product's vocabulary: messages, their properties, field
// tables, and refusals with their reply codes. Every protocol and the core
// speak it; it knows no socket, no disk and no broker.
//
// Properties stay encoded. A message travels from a socket to the flash and on
// to other sockets without being taken apart: Properties is the encoded list
// and is only decoded by those who must look inside. Its layout is given at
// [Properties]; it is ours and versioned with the stored message, and it is
// chosen so that 0-9-1 content headers can be copied through untouched.
package amqp

import "time"

// Message is one message. It is immutable from the moment it is handed to the
// broker: queues, sockets and the spool share its memory.
type Message struct {
	Exchange string     // where it was published
	Key      string     // routing key; any length (a 0-9-1 door shows at most 255 bytes)
	Props    Properties // encoded; see Properties
	Body     []byte
	Stamp    Stamp // when it came in
}

// Persistent reports delivery-mode 2.
func (m *Message) Persistent() bool { return m.Props.DeliveryMode() == 2 }

// Boot numbers the starts of a spool; 0 is "not known".
type Boot uint32

// Instant is a point of a boot's monotonic clock: the time since that boot's
// base. Boards without a clock know nothing better at first.
type Instant time.Duration

// Stamp is a moment that stays true when the wall clock is corrected later:
// the boot's record maps it to wall time.
type Stamp struct {
	Boot Boot
	At   Instant
}
