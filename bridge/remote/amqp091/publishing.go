package amqp091

import (
	"leveret/amqp"
	"leveret/bridge"
)

// Headers in which a message keeps what the far side would not take elsewhere.
const (
	// HeaderKey is the whole routing key of a message whose key is longer than
	// a short string; the key is sent cut, for else the message would stop the
	// queue for ever.
	HeaderKey = "x-routing-key"
	// HeaderUser is the user-id of a message that was published by another
	// user than our login: brokers close the channel for a foreign user-id.
	HeaderUser = "x-leveret-user-id"
)

// publishing says with which properties and by which key a message goes.
func (t *Target) publishing(m *bridge.Message) (props amqp.PropertyList, key string) {
	props = m.Props
	if key = t.key; key == "" {
		key = m.Key
	}
	if cut := shortString(key); cut != key {
		props.Headers = props.Headers.With(HeaderKey, key)
		key = cut
	}
	if user := props.UserID; user != "" && (user != t.remote.user || t.external()) {
		props.Headers = props.Headers.With(HeaderUser, user)
		props.UserID, props.Flags = "", props.Flags&^amqp.HasUserID
	}
	if t.noted && t.o.Node != "" {
		props.Headers = props.Headers.With(bridge.HeaderPath, string(bridge.PathOf(m).With(t.o.Node)))
	}
	props.MessageID = shortString(props.MessageID)
	return props, key
}

// shortString cuts what exceeds a short string, between characters.
func shortString(s string) string {
	if len(s) <= shortMax {
		return s
	}
	return string(amqp.AppendShortString(nil, s)[1:])
}
