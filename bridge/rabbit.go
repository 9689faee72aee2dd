package bridge

import "strings"

// RabbitKey spells a topic or filter as RabbitMQ's MQTT plugin does: slash to
// dot, plus to asterisk, wherever they stand. Dots of the topic are taken for
// levels on the way back, so this is for sites that migrate.
//
// Sparkplug's first level holds a dot ("spBv1.0"); as in RabbitMQ's setting
// for it, that dot is written as three underscores and comes back.
func RabbitKey(topic string) string {
	for _, v := range sparkplugs {
		if rest, ok := strings.CutPrefix(topic, v.topic); ok && (rest == "" || rest[0] == '/') {
			return v.key + swap(rest, '/', '.', '+', '*')
		}
	}
	return swap(topic, '/', '.', '+', '*')
}

// RabbitTopic is the way back of RabbitKey: dot to slash, asterisk to plus. An
// asterisk or # in a key gives a topic that MQTT does not allow; the door must
// check it.
func RabbitTopic(key string) string {
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
