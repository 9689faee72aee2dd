// Package mqtt is MQTT 5 as the protocol of a remote broker: a source and a
// target for shovels, made of one connection each.
//
// A source subscribes with a session that the far side keeps, so that messages
// wait there while we are away, and acknowledges a message when the shovel says
// that it is settled: when it is durable on our side. A target publishes with
// QoS 1, as many at a time as the far side's Receive Maximum allows.
//
// The protocol's library is paho's; what it leaves open is closed here:
//
//   - It takes memory for whatever length a peer announces, believes strings
//     that are no UTF-8, and can be made to panic in goroutines of its own. So
//     every packet is cut, bounded and checked by our own codec first, and is
//     shown to the library when it is complete and may come (wire.go).
//   - It keeps copies of what is under way, and acknowledges by a timer. Its
//     session is ours therefore (session.go): acknowledgements leave as soon as
//     they may, in the order of the messages (4.6), and nothing is kept, for
//     the shovel's source has it.
//   - Its pinger takes a slow link for a dead one. Ours shows that we live, and
//     the wire ends when the far side has not for one and a half keep alives.
//
// Loops. Every message that comes or goes carries the nodes that it has been at
// in the header and user property x-leveret-path, and brokers of our kind tell
// each other their node in CONNECT and CONNACK. What has been here is
// acknowledged and not taken again, what came from a broker is not sent back to
// it, and no message makes more than sixteen hops (bridge.Path). A far side that
// names no node hands the header on all the same, and it is believed: what we have
// sent there comes back to a source that takes from there, and nothing else tells.
// Who forges it has only a message of its own not taken. What we publish over a
// source's own connection, its will, does not come back either: subscriptions are
// no-local.
//
// Goroutines: those of the library's client for each connection, one that waits
// for SUBACK, and one that waits for a target's end. Closing waits for them.
package mqtt
