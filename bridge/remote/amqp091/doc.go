// Package amqp091 is AMQP 0-9-1 as the protocol of a remote broker: a target
// for shovels, made of one connection with one channel in confirm mode.
//
// It owns the dialling, the TLS, what is believed of the far side and the
// conversion of messages; the protocol itself is the library's. What the
// library leaves open is closed here:
//
//   - The library keeps what a peer says about messages that were never sent,
//     and waits for content of any length. So every byte from the far side goes
//     through an inspector first, which knows what may come (inspector.go).
//   - It can report a refused message as confirmed. The inspector remembers.
//   - A Publish blocks while the far side does not read, holding the locks that
//     the library needs to notice that the link is dead. So the socket is ours:
//     closing it frees everything, and the deadline for silence, two heartbeats,
//     is set by us at each read.
//   - Its notifications must be taken or they are dropped after a while. One
//     goroutine takes them all and never waits (listen in link.go).
//
// An unroutable message is returned and then confirmed, in this order. The two
// notifications come by channels without buffer to one goroutine, which
// therefore sees them in the order of the wire. A return carries no number; it
// is the oldest message under way with its message-id and key.
//
// Goroutines: for each link the listener here and the library's reader and
// heartbeater. They end with the link, and Close waits for the listener.
package amqp091
