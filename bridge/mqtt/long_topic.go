package mqtt

import "leveret/bridge"

// A topic may be longer than an AMQP 0-9-1 client can be shown as a routing key.
// MQTT clients notice nothing of it: the core's keys have any length. AMQP
// clients get the key cut, and the topic in bridge.HeaderTopic; such messages are
// counted, and the operator is told once for each client.

// longWarnedMax bounds the clients that are remembered for it; of further ones
// nothing is told.
const longWarnedMax = 1000

// longTopic is what a message to the topic must say of it; "" is nothing.
func (d *Door) longTopic(topic, key, client string) string {
	if len(key) <= bridge.KeyMax {
		return ""
	}
	d.mu.Lock()
	_, known := d.longWarned[client]
	warn := !known && len(d.longWarned) < longWarnedMax
	if warn {
		d.longWarned[client] = struct{}{}
	}
	d.mu.Unlock()
	if warn {
		d.Log.Warn("mqtt client publishes to topics longer than AMQP 0-9-1 can show; its clients see them cut",
			"client", client, "bytes", len(key), "header", bridge.HeaderTopic)
	}
	return topic
}
