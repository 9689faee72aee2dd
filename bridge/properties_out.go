package bridge

import (
	"strconv"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/bridge/mqttwire"
)

// User properties that AMQP properties without a counterpart become.
const (
	UserMessageID = "message-id"
	UserTimestamp = "timestamp"
	UserAppID     = "app-id"
	UserType      = "type"
)

// AppendMQTTProperties spells the properties of a message for an MQTT 5 client: the
// way back of PropertiesFromMQTT, and for AMQP's own messages what MQTT can say.
// Values that MQTT cannot carry are left out.
func AppendMQTTProperties(w *mqttwire.PropertyWriter, p amqp.Properties, dots Dots) {
	if !p.Has(^uint16(amqp.HasDeliveryMode | amqp.HasPriority)) {
		return
	}
	o := propertiesOut{w: w, dots: dots}
	if p.Has(amqp.HasContentType) {
		o.contentType(p.ContentType())
	}
	if p.Has(amqp.HasCorrelationID) {
		o.w.Binary(mqttwire.CorrelationData, []byte(p.CorrelationID()))
		o.correlated = true
	}
	if p.Has(amqp.HasHeaders) {
		o.headers(p.Headers())
	}
	if p.Has(amqp.HasMessageID) {
		o.user(UserMessageID, p.MessageID())
	}
	if t, ok := p.Timestamp(); ok {
		o.user(UserTimestamp, rfc3339(t))
	}
	if p.Has(amqp.HasType) {
		o.user(UserType, p.Type())
	}
	if p.Has(amqp.HasAppID) {
		o.user(UserAppID, p.AppID())
	}
}

// propertiesOut adds properties, each at most once, and only with values that a
// client accepts: foreign headers may hold anything.
type propertiesOut struct {
	w    *mqttwire.PropertyWriter
	dots Dots
	// What is there already.
	typed, correlated, replies, formatted bool
}

func (o *propertiesOut) contentType(value string) {
	if mqttwire.ValidText(value) {
		o.w.Text(mqttwire.ContentType, value)
		o.typed = true
	}
}

func (o *propertiesOut) user(name, value string) {
	if mqttwire.ValidText(name) && mqttwire.ValidText(value) {
		o.w.User(name, value)
	}
}

// headers takes the headers with a meaning, and makes user properties of the
// others, or of the list that an MQTT client's message has along. The path is
// never one of the list.
func (o *propertiesOut) headers(t amqp.Table) {
	all, exact := t.Get(headerUserProperties)
	for _, f := range t {
		if o.known(f) || exact && f.Key != HeaderPath || reserved(f.Key) {
			continue
		}
		if text, ok := textOf(f.Value); ok {
			o.user(f.Key, text)
		}
	}
	list, _ := all.(amqp.Array)
	for i := 0; i+1 < len(list); i += 2 {
		name, isText := list[i].(string)
		value, isText2 := list[i+1].(string)
		if isText && isText2 && name != HeaderPath {
			o.user(name, value)
		}
	}
}

// known handles a header with a meaning. One of an unexpected type has none.
func (o *propertiesOut) known(f amqp.Field) bool {
	text, isText := f.Value.(string)
	switch {
	case f.Key == headerContentType && isText && !o.typed:
		o.contentType(text)
	case f.Key == headerCorrelationID && isText && !o.correlated && len(text) < 1<<16:
		o.w.Binary(mqttwire.CorrelationData, []byte(text))
		o.correlated = true
	case f.Key == headerReplyTo && isText && !o.replies:
		o.replyTo(o.dots.Topic(text))
	case f.Key == headerPayloadFormat && !o.formatted:
		if n, ok := amqp.Int(f.Value); ok && (n == 0 || n == 1) {
			o.w.Number(mqttwire.PayloadFormat, uint32(n))
			o.formatted = true
		}
	default:
		return false
	}
	return true
}

func (o *propertiesOut) replyTo(topic string) {
	if mqttwire.ValidTopic(topic) {
		o.w.Text(mqttwire.ResponseTopic, topic)
		o.replies = true
	}
}

// textOf is a header's value as a user property shows it. Tables and arrays have
// no such form.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case amqp.Decimal:
		return decimal(v), true
	case amqp.Timestamp:
		return rfc3339(v), true
	}
	if n, ok := amqp.Int(v); ok {
		return strconv.FormatInt(n, 10), true
	}
	return "", false
}

func decimal(d amqp.Decimal) string {
	digits := strconv.FormatUint(uint64(d.Value), 10)
	scale := int(d.Scale)
	if scale == 0 {
		return digits
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	return digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// rfc3339 is "" for a time that has no such form.
func rfc3339(t amqp.Timestamp) string {
	const year9999 = 253402300799
	if t > year9999 {
		return ""
	}
	return time.Unix(int64(t), 0).UTC().Format(time.RFC3339)
}
