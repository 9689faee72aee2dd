// Package amqp091 is AMQP 0-9-1 as the protocol of a remote broker: a target
// and a source for shovels, made of one connection with one channel each.
//
// Both speak with our own codec (wire091), over a socket of their own: closing
// it frees everything, and the deadline for silence, two heartbeats, is set at
// each read. What comes is believed as far as it can be checked: a frame out of
// place, a number that was never given or is said twice, more than was asked for
// and sizes that nothing can have end the link with a reason. Memory is taken for
// what has come, not for what is announced.
//
// A target publishes in confirm mode, mandatory. An unroutable message is
// returned and then confirmed, in this order; the return carries no number, and
// is about the oldest message under way with its message-id and key (pending.go).
// While the far side holds publishers back nothing is written: a full socket
// hides heartbeats.
//
// A source consumes a queue and acknowledges a message when the shovel says that
// it is settled: when it is durable on our side. It holds to this:
//
//   - The oldest messages are acknowledged at once, as far as all are settled,
//     later ones singly (acks.go). What is not acknowledged when the link is lost
//     the far side puts back to its place and delivers again, marked.
//   - The consumer is the only one of its queue. Else a broker that takes a dead
//     link of ours for a living one would give the messages that it holds for it
//     again after newer ones.
//   - The prefetch is the shovel's window, and the far side is read no faster than
//     8 MiB are settled (reader.go).
//   - What can never be taken, because it is too large or makes no sense, is given
//     back for the dead letter exchange where the operator says that there is one.
//     Else it stays and stands in the way: nobody but him can know that it may go.
//   - A message without an id gets one that it keeps when it comes again, where
//     that is beyond doubt (memory.go).
//
// Messages pass as they are, with the order of their headers. What would mean
// something else on the other side moves to headers (publishing.go, received.go).
// The header x-leveret-path says where a message has been; one that has been here
// is acknowledged and not taken again.
//
// Goroutines, for each link: a listener, which reads the socket, and a pulse,
// which sends heartbeats. They end with the link, and Close waits for them.
package amqp091
