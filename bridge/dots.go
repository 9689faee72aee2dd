package bridge

import "strings"

// Dots says how topics and routing keys are spelled as each other, which is a
// matter of the dots in topics. The zero one is exact.
type Dots uint8

const (
	DotsExact  Dots = iota // escaped, as in mapping.go
	DotsRabbit             // taken for levels, as in RabbitMQ
)

// Key spells a topic as a routing key.
func (d Dots) Key(topic string) string {
	if d == DotsRabbit {
		return rabbitKey(topic)
	}
	return KeyFromTopic(topic)
}

// Topic spells a routing key as a topic. With DotsRabbit it may be one that MQTT
// does not allow.
func (d Dots) Topic(key string) string {
	if d == DotsRabbit {
		return rabbitTopic(key)
	}
	return TopicFromKey(key)
}

// Pattern spells a topic filter as a binding pattern.
func (d Dots) Pattern(filter string) string {
	if d == DotsRabbit {
		return rabbitKey(filter)
	}
	return PatternFromFilter(filter)
}

// Filter is the way back of Pattern.
func (d Dots) Filter(pattern string) string {
	if d == DotsRabbit {
		return rabbitTopic(pattern)
	}
	return FilterFromPattern(pattern)
}

// Seen is a topic or filter as it comes back, the same with DotsExact: what the
// topics of messages are to be compared with.
func (d Dots) Seen(address string) string {
	if d == DotsRabbit && strings.ContainsAny(address, ".*") {
		return rabbitTopic(rabbitKey(address))
	}
	return address
}

// rabbitKey spells a topic or filter as RabbitMQ's MQTT plugin does: slash to
// dot, plus to asterisk, wherever they stand. Dots of the topic are taken for
// levels on the way back, so this is for sites that migrate.
//
// Sparkplug's first level holds a dot ("spBv1.0"); as in RabbitMQ's setting
// for it, that dot is written as three underscores and comes back.
func rabbitKey(topic string) string {
	for _, v := range sparkplugs {
		if rest, ok := strings.CutPrefix(topic, v.topic); ok && (rest == "" || rest[0] == '/') {
			return v.key + swap(rest, '/', '.', '+', '*')
		}
	}
	return swap(topic, '/', '.', '+', '*')
}

// rabbitTopic is the way back of rabbitKey: dot to slash, asterisk to plus. An
// asterisk or # in a key gives a topic that MQTT does not allow; the door must
// check it.
func rabbitTopic(key string) string {
	for _, v := range sparkplugs {
		if rest, ok := strings.CutPrefix(key, v.key); ok && (rest == "" || rest[0] == '.') {
			return v.topic + swap(rest, '.', '/', '*', '+')
		}
	}
	return swap(key, '.', '/', '*', '+')
}

var sparkplugs = [...]struct{ topic, key string }{
	{"spAv1.0", "spAv1___0"},
	{"spBv1.0", "spBv1___0"},
}

// swap works on bytes, so that a key that is not UTF-8 is not changed further.
func swap(s string, level, levelTo, one, oneTo byte) string {
	out := []byte(s)
	for i, c := range out {
		switch c {
		case level:
			out[i] = levelTo
		case one:
			out[i] = oneTo
		}
	}
	return string(out)
}
