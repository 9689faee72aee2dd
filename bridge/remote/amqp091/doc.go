// Package amqp091 is AMQP 0-9-1 as the protocol of a remote broker: a target
// and a source for shovels, made of one connection with one channel each.
//
// A target publishes in confirm mode. It owns the dialling, the TLS, what is
// believed of the far side and the conversion of messages; the protocol itself
// is the library's. What the library leaves open is closed here:
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
// A source consumes a queue and acknowledges a message when the shovel says that
// it is settled: when it is durable on our side. It speaks with our own codec
// (wire091). The library would take headers for a map, which loses their order
// and what is there twice, leave the cluster-id out, and keep what is delivered
// in a list of its own that has no bound. It holds to this:
//
//   - The oldest messages are acknowledged at once, as far as all are settled,
//     later ones singly (acks.go). What is not acknowledged when the link is lost
//     the far side puts back to its place and delivers again, marked.
//   - The consumer is the only one of its queue. Else a broker that takes a dead
//     link of ours for a living one would give the messages that it holds for it
//     again after newer ones.
//   - The prefetch is the shovel's window. A far side that delivers more is not
//     believed, and it is read no faster than 8 MiB are settled (reader.go).
//   - What can never be taken, because it is too large or makes no sense, is given
//     back for the dead letter exchange where the operator says that there is one.
//     Else it stays and stands in the way: nobody but him can know that it may go.
//   - A message without an id gets one that it keeps when it comes again, where
//     that is beyond doubt (memory.go).
//
// A message says in the header x-leveret-path where it has been; one that has
// been here is acknowledged and not taken again.
//
// Goroutines: for each link of a target the listener here and the library's
// reader and heartbeater, for that of a source its listener and its heart. They
// end with the link, and Close waits for ours.
package amqp091
