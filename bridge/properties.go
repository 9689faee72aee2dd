package bridge

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"leveret/amqp"
	"leveret/bridge/mqttwire"
)

// Headers that carry what MQTT has and AMQP has no property for. Clients
// cannot set those that start with x-mqtt-, or another that is reserved, by a
// user property of that name: such a one travels in headerUserProperties alone.
const (
	HeaderRetain = "x-mqtt-retain" // bool; only while the flag is set
	HeaderQoS    = "x-mqtt-qos"    // int; only 2, the others are delivery modes
	// HeaderPublisher is the client id; only where no-local or the operator asks
	// for it.
	HeaderPublisher = "x-mqtt-client"
	// HeaderTopic is the whole topic of a message whose routing key is longer
	// than AMQP 0-9-1 can show.
	HeaderTopic = "x-mqtt-topic"

	headerPayloadFormat  = "x-mqtt-payload-format"  // int
	headerUserProperties = "x-mqtt-user-properties" // array of names and values, when the headers cannot hold them all
	headerContentType    = "x-content-type"         // one that is no short ASCII string
	headerCorrelationID  = "x-correlation-id"       // one that is no short UTF-8 string
	headerReplyTo        = "x-reply-to-topic"       // the response topic, as a routing key

	headerPrefix = "x-mqtt-"

	// Further routing keys (an extension of RabbitMQ's). They are arrays, which no
	// user property can be; as a text they would have the message refused.
	headerCC  = "CC"
	headerBCC = "BCC"
)

const shortMax = math.MaxUint8 // bytes of a short string and of a header's name

// KeyMax is the longest routing key that an AMQP 0-9-1 client can be shown whole.
const KeyMax = shortMax

// Told is what a message must say beside what its publisher said, and how; ""
// is nothing.
type Told struct {
	Publisher string // HeaderPublisher
	Topic     string // HeaderTopic
	Path      bool   // the publisher is believed where the message has been, see HeaderPath
	Dots      Dots
}

// PropertiesFromMQTT spells the properties of an MQTT message for AMQP.
//
//	content type          content-type, or headerContentType
//	correlation data      correlation-id, or headerCorrelationID
//	response topic        headerReplyTo
//	message expiry        expiration
//	payload format        headerPayloadFormat
//	user properties       headers, and headerUserProperties if they are not exact
//	QoS 0, 1, 2           delivery-mode 1, 2, 2 with HeaderQoS
func PropertiesFromMQTT(from mqttwire.Properties, qos byte, retain bool, told Told) amqp.Properties {
	to := amqp.PropertyList{DeliveryMode: 1 + min(qos, 1)}
	if qos == 2 {
		to.Headers = append(to.Headers, amqp.Field{Key: HeaderQoS, Value: int32(qos)})
	}
	if retain {
		to.Headers = append(to.Headers, amqp.Field{Key: HeaderRetain, Value: true})
	}
	if told.Publisher != "" {
		to.Headers = append(to.Headers, amqp.Field{Key: HeaderPublisher, Value: told.Publisher})
	}
	if told.Topic != "" {
		to.Headers = append(to.Headers, amqp.Field{Key: HeaderTopic, Value: told.Topic})
	}
	for entry := range from.Each {
		header := func(key string, value any) {
			to.Headers = append(to.Headers, amqp.Field{Key: key, Value: value})
		}
		switch entry.ID {
		case mqttwire.ContentType:
			if len(entry.Value) <= shortMax && isASCII(entry.Value) {
				to.ContentType = string(entry.Value)
				to.Flags |= amqp.HasContentType
			} else {
				header(headerContentType, string(entry.Value))
			}
		case mqttwire.CorrelationData:
			if len(entry.Value) <= shortMax && utf8.Valid(entry.Value) {
				to.CorrelationID = string(entry.Value)
				to.Flags |= amqp.HasCorrelationID
			} else {
				header(headerCorrelationID, string(entry.Value))
			}
		case mqttwire.ResponseTopic:
			header(headerReplyTo, told.Dots.Key(string(entry.Value)))
		case mqttwire.MessageExpiry:
			to.Expiration = strconv.FormatUint(uint64(entry.Number)*1000, 10)
		case mqttwire.PayloadFormat:
			header(headerPayloadFormat, int32(entry.Number))
		}
	}
	to.Headers = appendUserProperties(to.Headers, from, told.Path)
	return to.Encode()
}

// appendUserProperties makes headers of user properties, in their order. Of a
// repeated name the first one becomes a header. When that loses something, all
// of them go along once more as they were, but for the path: it changes on the
// way, and a copy would hide where the message has been since.
func appendUserProperties(headers amqp.Table, from mqttwire.Properties, path bool) amqp.Table {
	var taken map[string]bool
	exact := true
	for name, value := range from.UserProperties {
		key := string(name)
		if key == HeaderPath && (!path || taken[key]) {
			continue
		}
		if len(key) > shortMax || reserved(key) || taken[key] {
			exact = false
			continue
		}
		if taken == nil {
			taken = make(map[string]bool)
		}
		taken[key] = true
		headers = append(headers, amqp.Field{Key: key, Value: string(value)})
	}
	if exact {
		return headers
	}
	var all amqp.Array
	for name, value := range from.UserProperties {
		if string(name) != HeaderPath {
			all = append(all, string(name), string(value))
		}
	}
	return append(headers, amqp.Field{Key: headerUserProperties, Value: all})
}

// reserved names are headers with a meaning, or user properties that stand for
// an AMQP property.
func reserved(name string) bool {
	switch name {
	case headerContentType, headerCorrelationID, headerReplyTo, headerCC, headerBCC, UserMessageID, UserTimestamp, UserAppID, UserType:
		return true
	}
	return len(name) >= len(headerPrefix) && name[:len(headerPrefix)] == headerPrefix
}

func isASCII(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
