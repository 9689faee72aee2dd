// Package wire091 is AMQP 0-9-1 as bytes: frames, methods and content
// headers, read and written. It knows no connection, no channel state and no
// broker, and has no goroutine; a server and a test client speak through it.
//
// A frame is
//
//	type u8 | channel u16 | size u32 | payload[size] | 0xCE
//
// with type 1 for a method, 2 for a content header, 3 for a piece of a body
// and 8 for a heartbeat. A method's payload is its class and method id and its
// arguments. The methods and their arguments stand in methods.txt, from which
// the gen program writes methods_gen.go.
//
// Reading is made for batches: [FrameReader] gives frames that lie in its
// buffer, all of those read at once stay valid together, and a [Reader] takes
// a method's arguments apart into a struct that may be used again. With an
// interner for names this allocates nothing per message. Writing appends to
// the caller's bytes, whole frames at a time.
//
// Everything a peer can send is answered with a value or an *amqp.Error, whose
// code and text are those RabbitMQ gives. No length is believed before the
// bytes for it were seen or the limit for it was checked.
package wire091

//go:generate go run ./gen
