package amqp091

import (
	"time"

	lib "github.com/rabbitmq/amqp091-go"

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
	// HeaderCluster is the cluster-id, which the library does not send.
	HeaderCluster = "x-leveret-cluster-id"
)

// publishing converts a message and says by which key it goes. What the
// library cannot carry is the order of headers, all but the first of equal
// ones, and properties that are present and empty.
func (t *Target) publishing(m *bridge.Message) (p lib.Publishing, key string) {
	l := &m.Props
	headers, user := l.Headers, l.UserID
	if key = t.key; key == "" {
		key = m.Key
	}
	if cut := shortString(key); cut != key {
		headers = headers.With(HeaderKey, key)
		key = cut
	}
	if user != "" && (user != t.remote.Username || t.external()) {
		headers = headers.With(HeaderUser, user)
		user = ""
	}
	if t.o.Node != "" {
		headers = headers.With(bridge.HeaderPath, string(pathOf(m).With(t.o.Node)))
	}
	if l.ClusterID != "" {
		headers = headers.With(HeaderCluster, l.ClusterID)
	}
	p = lib.Publishing{
		Headers: libTable(headers), ContentType: l.ContentType, ContentEncoding: l.ContentEncoding,
		DeliveryMode: l.DeliveryMode, Priority: l.Priority, CorrelationId: l.CorrelationID,
		ReplyTo: l.ReplyTo, Expiration: l.Expiration, MessageId: shortString(l.MessageID), Type: l.Type,
		UserId: user, AppId: l.AppID, Body: m.Body,
	}
	if l.Flags&amqp.HasTimestamp != 0 || l.Timestamp != 0 {
		p.Timestamp = libTime(l.Timestamp)
	}
	return p, key
}

// shortString cuts what exceeds a short string, between characters.
func shortString(s string) string {
	if len(s) <= shortMax {
		return s
	}
	return string(amqp.AppendShortString(nil, s)[1:])
}

// libTable converts a field table. Every type octet has its Go type there too.
func libTable(t amqp.Table) lib.Table {
	if t == nil {
		return nil
	}
	c := make(lib.Table, len(t))
	for _, f := range t {
		if _, again := c[f.Key]; !again { // the first of equal keys counts
			c[f.Key] = libValue(f.Value)
		}
	}
	return c
}

func libValue(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		return libTable(v)
	case amqp.Array:
		c := make([]any, len(v))
		for i := range v {
			c[i] = libValue(v[i])
		}
		return c
	case amqp.Timestamp:
		return libTime(v)
	case amqp.Decimal:
		return lib.Decimal{Scale: v.Scale, Value: int32(v.Value)} // the same 32 bits on the wire
	}
	return v
}

// libTime goes through the library as it came: it is sent by its Unix seconds.
func libTime(t amqp.Timestamp) time.Time { return time.Unix(int64(t), 0) }
