// Package mqtt is the door for MQTT 3.1, 3.1.1 and 5: sensors and local
// programs connect here, and their sessions become objects of the broker core.
//
// What it promises. A PUBACK says that the message is on the flash wherever a
// durable queue took it, a SUBACK of a session that is kept says that the
// subscription is, and a CONNACK says so of the session. All of them wait in
// one FIFO for each connection (see acks) until the log is durable up to them;
// nothing overtakes. QoS 0 promises nothing. QoS 2 is exactly once also over
// power cuts, in both directions, for sessions that are kept (see exact.go).
//
// A session is a queue named mqtt.<client id>. One that ends with its
// connection has an exclusive queue, made at its first subscription; any other
// has a durable one. A subscription is a binding of that queue to the topic
// exchange, and its options ride on it as arguments, so a returning client's
// subscriptions are known after a restart without any store of our own.
//
//	topic  plant/1/temp   routing key  plant.1.temp   (see package bridge)
//	filter plant/+/#      binding key  plant.*.#
//
// The core sends each message once to a queue, whatever number of bindings
// lead there. Which subscriptions it matched, and so its QoS, its subscription
// identifiers and whether it is delivered at all (topics that start with a
// dollar sign, no local), is decided when it leaves; the answers for the last
// topics are kept.
//
// Goroutines: one accepts on each listener, one ends sessions and sends wills
// whose time has come, one tells of the $SYS tree, and each connection has up to
// two. Its reader owns what the protocol knows of the client, turns everything
// that one read of the socket brought into one Publish and one Settle, and ends
// the connection. Its writer has the deliveries and the retained messages, writes
// once for each round, and is there only while there is something to do; answers
// that may go out at once the reader writes itself (see speak.go). [Door.Run]
// starts them and awaits them all.
//
// Backpressure. A publisher has at most ReceiveMax unanswered messages; MQTT 5
// clients who send more are cut off, others are not read from until answers
// went out. While the spool has no room nobody's socket is read for a while;
// after that MQTT 5 publishers get Quota Exceeded, and the others wait. The
// keep alive is watched only while we read.
//
// What it does not do: enhanced authentication, which is refused.
package mqtt
