// Package bridge is what the doors of the sensor protocols and the remote
// connections have in common: how an MQTT topic is spelled as an AMQP routing
// key and back, and the properties of the message with it (properties.go), how
// long to wait before a lost link is dialled again, and what a shovel asks of
// the two ends that it joins (source.go, target.go).
//
// Topics and keys are two spellings of one address, a path of levels. MQTT
// joins the levels with a slash and AMQP with a dot, and either may use the
// other's characters inside a level. The exact mapping (mapping.go) keeps the
// levels and escapes the characters, so that a message which crosses from one
// protocol to the other and back has the address it started with. The mapping
// of RabbitMQ (dots.go) swaps characters and forgets which was which; it is for
// sites that migrate and whose programs count on it. Dots is the choice.
//
// The package owns no state and no goroutine. It checks no address: whether a
// topic may be published to, and what to do with a key that is too long for a
// 0-9-1 short string, is the business of the door.
package bridge
