// Package shovel moves messages from a source to a target, in order and at
// least once, over a link that comes and goes.
//
// A shovel has no store of its own. It holds messages of its source unsettled
// while they are under way and settles each when the far side has confirmed
// it; what is not confirmed goes back to its old place in the source. So a
// power cut, a lost link and a stopped shovel are the same case, and nothing
// in memory grows with the backlog.
//
//	Paused <-> Down --backoff--> Dialing --> Draining --> Live
//	            ^                   |            |          |
//	            +-------------------+------------+----------+
//
// Down waits, with jitter, between a second and a minute; meanwhile nothing is
// held of the source and nothing runs but a timer. Draining is a link that
// still works off what waited when it came up, Live one that has caught up.
//
// What it promises:
//
//   - A message is settled only on a confirm. A refusal, or the answer that the
//     far side has no route for it, is none: the message and all after it go
//     back, the state shows the reason, and the shovel tries again later. One
//     that the far side has refused RefusalTries times in a row is put aside,
//     so that it cannot hold up the others for ever (refusal.go): into the
//     queue's dead letter exchange with the reason, or it stays where that
//     would lose it. A far side without room has refused nothing.
//   - Messages are sent in the order of the source. What is sent again after a
//     lost link is sent from the oldest unconfirmed message on.
//   - At most a window of messages is sent twice for each lost link, and each
//     of those carries the header x-leveret-redelivered. The first message of
//     every link goes alone, so that a far side which takes nothing is sent one
//     message at each attempt and not a window full.
//   - The state comes from confirms. A link on which messages are under way and
//     none is confirmed for StallAfter is taken for dead, however alive its
//     socket looks. Only a far side that says it holds publishers back may take
//     its time; that is shown too (Status.Held).
//
// Two goroutines work for a running shovel: Run's caller keeps the state, reads
// the answers and settles; a sender takes from the source and sends. A target
// has its own for its protocol.
//
// The package knows no protocol and no socket. One kind of source is here, the
// [LocalQueue], and one kind of target, the [LocalExchange]; the others are in
// bridge/remote. A remote source is settled when its messages are durable here.
package shovel
