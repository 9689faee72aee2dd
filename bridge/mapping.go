package bridge

import "strings"

// The mapping is about the characters that one of the two spellings cannot use
// as they are. Each occurrence has a depth: 0 is the character itself, 1 its
// escape (%2E for a dot), 2 the escape of a text that looks like that escape
// (%252E), and so on. From one spelling to the other the depth falls by one if
// the old spelling escapes the character, and rises by one if the new one
// does. That is exact both ways, and a percent sign matters only in front of
// such a code: 20%, %41 and %2e are the same on both sides.
//
//	MQTT level   AMQP word   why
//	a.b          a%2Eb       a dot would end the word
//	a%2Eb        a%252Eb     a%2Eb is taken
//	x%2Fy        x/y         a slash would end the level
//	a%2Bb        a+b         topics have no + and # (and no U+0000)
//	*            %2A         alone in a word it is a wildcard of patterns
//	a*b          a*b         here it is not
//
// The empty key has no topic of its own, as topics are never empty: it is the
// topic %, the key % is the topic %25, and so on.
//
// One kind of key does not come back as it went: a word that is just * or #
// means a wildcard in a pattern, so no pattern asks for such a key alone. MQTT
// sees these words as the levels * and %23, which are the words %2A and %23.

// KeyFromTopic spells a topic as a routing key. The way back is exact:
// TopicFromKey(KeyFromTopic(t)) == t for every topic that MQTT allows.
func KeyFromTopic(topic string) string {
	return amqpFromMQTT(topic, false)
}

// TopicFromKey spells a routing key as a topic, never an empty one nor one
// with a wildcard. KeyFromTopic(TopicFromKey(k)) == k for every key without a
// word that is just * or #. A key that is not UTF-8 gives such a topic.
func TopicFromKey(key string) string {
	return mqttFromAMQP(key, false)
}

// PatternFromFilter spells a topic filter as a binding pattern: + becomes *,
// # stays. The pattern matches the keys of the topics that the filter matches,
// except that AMQP has no rule for topics that start with a dollar sign.
func PatternFromFilter(filter string) string {
	return amqpFromMQTT(filter, true)
}

// FilterFromPattern is the exact reverse of PatternFromFilter. AMQP allows #
// anywhere in a pattern; with it in the middle the result is no valid filter.
func FilterFromPattern(pattern string) string {
	return mqttFromAMQP(pattern, true)
}

func amqpFromMQTT(s string, wild bool) string {
	switch {
	case !strings.ContainsAny(s, ".%*#+"):
		return strings.ReplaceAll(s, "/", ".")
	case s == "%":
		return ""
	case isPercents(s):
		return strings.TrimSuffix(s, "25")
	}
	return respell(s, &mqttSpelling, &amqpSpelling, wild)
}

func mqttFromAMQP(s string, wild bool) string {
	switch {
	case s == "":
		return "%"
	case !strings.ContainsAny(s, "/%*#+\x00"):
		return strings.ReplaceAll(s, ".", "/")
	case isPercents(s):
		return s + "25"
	}
	return respell(s, &amqpSpelling, &mqttSpelling, wild)
}

// isPercents reports % followed by any number of 25: the escapes of the empty
// key at their depths.
func isPercents(s string) bool {
	return s != "" && s[0] == '%' && skip25(s[1:]) == ""
}

func skip25(s string) string {
	for strings.HasPrefix(s, "25") {
		s = s[2:]
	}
	return s
}

// spelling is how one protocol writes an address.
type spelling struct {
	separator byte
	one       string // the wildcard for one level; "#" stands for many in both
	always    string // characters escaped wherever they stand
	alone     string // characters escaped if they are the whole level
}

var (
	mqttSpelling = spelling{separator: '/', one: "+", always: "/+#\x00"}
	amqpSpelling = spelling{separator: '.', one: "*", always: ".", alone: "*#"}
)

func (sp *spelling) escapes(c byte, whole bool) bool {
	return strings.IndexByte(sp.always, c) >= 0 || whole && strings.IndexByte(sp.alone, c) >= 0
}

func respell(s string, from, to *spelling, wild bool) string {
	out := make([]byte, 0, len(s)+8)
	for {
		end := strings.IndexByte(s, from.separator)
		level := s
		if end >= 0 {
			level = s[:end]
		}
		switch {
		case wild && level == "#":
			out = append(out, '#')
		case wild && level == from.one:
			out = append(out, to.one...)
		default:
			out = respellLevel(out, level, from, to)
		}
		if end < 0 {
			return string(out)
		}
		out = append(out, to.separator)
		s = s[end+1:]
	}
}

func respellLevel(out []byte, level string, from, to *spelling) []byte {
	for i := 0; i < len(level); {
		c, depth, width := special(level[i:])
		if width == 0 {
			out = append(out, level[i])
			i++
			continue
		}
		whole := width == len(level)
		if depth > 0 && from.escapes(c, whole) {
			depth--
		}
		if to.escapes(c, whole) {
			depth++
		}
		out = appendSpecial(out, c, depth)
		i += width
	}
	return out
}

// special reads one of the characters of the mapping at the start of s, at any
// depth. Width 0 means that s starts with something else.
func special(s string) (c byte, depth, width int) {
	if s[0] != '%' {
		if _, ok := codeOf(s[0]); ok {
			return s[0], 0, 1
		}
		return 0, 0, 0
	}
	rest := skip25(s[1:])
	if len(rest) < 2 {
		return 0, 0, 0
	}
	c, ok := charOf(rest[:2])
	if !ok {
		return 0, 0, 0
	}
	width = len(s) - len(rest) + 2
	return c, (width - 1) / 2, width
}

func appendSpecial(out []byte, c byte, depth int) []byte {
	if depth == 0 {
		return append(out, c)
	}
	out = append(out, '%')
	for range depth - 1 {
		out = append(out, "25"...)
	}
	code, _ := codeOf(c)
	return append(out, code...)
}

// Codes are upper case only, so that each has one form.
func codeOf(c byte) (code string, ok bool) {
	switch c {
	case '.':
		return "2E", true
	case '/':
		return "2F", true
	case '*':
		return "2A", true
	case '+':
		return "2B", true
	case '#':
		return "23", true
	case 0:
		return "00", true
	}
	return "", false
}

func charOf(code string) (c byte, ok bool) {
	switch code {
	case "2E":
		return '.', true
	case "2F":
		return '/', true
	case "2A":
		return '*', true
	case "2B":
		return '+', true
	case "23":
		return '#', true
	case "00":
		return 0, true
	}
	return 0, false
}
