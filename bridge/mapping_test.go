package bridge

import (
	"strings"
	"testing"
)

// Each row is exact in both directions.
var addresses = []struct{ topic, key string }{
	{"plant/1/temp", "plant.1.temp"},
	{"temp", "temp"},
	{"$SYS/broker/uptime", "$SYS.broker.uptime"},
	{"a b/ü", "a b.ü"},

	{"a.b/c", "a%2Eb.c"},
	{"...", "%2E%2E%2E"},
	{"spBv1.0/group/DDATA", "spBv1%2E0.group.DDATA"},
	{"x%2Fy/z", "x/y.z"},
	{"a%2Bb%23", "a+b#"},
	{"%2B", "+"},
	{"a%00b", "a\x00b"},

	{"/", "."},
	{"//", ".."},
	{"a//b", "a..b"},
	{"/a/", ".a."},

	{"*", "%2A"},
	{"a/*/b", "a.%2A.b"},
	{"a*b", "a*b"},
	{"**", "**"},
	{"%2A", "%252A"},
	{"%2Ax", "%2Ax"},
	{"%252A", "%25252A"},
	{"%23", "%23"},
	{"%2523", "%2523"},
	{"%23x", "#x"},
	{"%2523x", "%23x"},

	{"a%2Eb", "a%252Eb"},
	{"a%252Eb", "a%25252Eb"},
	{"x%252Fy", "x%2Fy"},
	{"x%25252Fy", "x%252Fy"},
	{"a%2eb", "a%2eb"},
	{"50%/done", "50%.done"},
	{"%41", "%41"},
	{"%%2E", "%%252E"},
	{"%%2F", "%/"},
	{"%2", "%2"},
	{"%25.", "%25%2E"},
	{"%252", "%252"},

	{"%", ""},
	{"%25", "%"},
	{"%2525", "%25"},
	{"%255", "%255"},
	{"%/a", "%.a"},
	{"%25/a", "%25.a"},
}

func TestTopicsAndKeysMapBothWays(t *testing.T) {
	for _, a := range addresses {
		if got := KeyFromTopic(a.topic); got != a.key {
			t.Errorf("KeyFromTopic(%q) = %q, want %q", a.topic, got, a.key)
		}
		if got := TopicFromKey(a.key); got != a.topic {
			t.Errorf("TopicFromKey(%q) = %q, want %q", a.key, got, a.topic)
		}
	}
}

func TestFiltersAndPatternsMapBothWays(t *testing.T) {
	for _, f := range []struct{ filter, pattern string }{
		{"#", "#"},
		{"+", "*"},
		{"a/+/b/#", "a.*.b.#"},
		{"+/+", "*.*"},
		{"/+", ".*"},
		{"a.b/+", "a%2Eb.*"},
		{"a/*/+", "a.%2A.*"},
		{"a/%2A", "a.%252A"},
		{"a/#/b", "a.#.b"}, // AMQP only; the door refuses the filter
		{"%2Bx/#", "+x.#"},
		{"%", ""},
	} {
		if got := PatternFromFilter(f.filter); got != f.pattern {
			t.Errorf("PatternFromFilter(%q) = %q, want %q", f.filter, got, f.pattern)
		}
		if got := FilterFromPattern(f.pattern); got != f.filter {
			t.Errorf("FilterFromPattern(%q) = %q, want %q", f.pattern, got, f.filter)
		}
	}
}

// A filter without wildcards must find exactly the key of that topic.
func TestPatternOfATopicIsItsKey(t *testing.T) {
	for _, a := range addresses {
		if got := PatternFromFilter(a.topic); got != a.key {
			t.Errorf("PatternFromFilter(%q) = %q, want the key %q", a.topic, got, a.key)
		}
	}
}

func TestWordsThatAreWildcardsComeBackEscaped(t *testing.T) {
	for _, k := range []struct{ key, topic, back string }{
		{"*", "*", "%2A"},
		{"a.*.b", "a/*/b", "a.%2A.b"},
		{"#", "%23", "%23"},
		{"a.#", "a/%23", "a.%23"},
	} {
		topic := TopicFromKey(k.key)
		if topic != k.topic || KeyFromTopic(topic) != k.back {
			t.Errorf("key %q is topic %q and then key %q, want %q and %q", k.key, topic, KeyFromTopic(topic), k.topic, k.back)
		}
	}
}

func TestPlainAddressesAllocateOnlyTheResult(t *testing.T) {
	var sink string
	for name, f := range map[string]func(){
		"KeyFromTopic":      func() { sink = KeyFromTopic("plant/1/temp") },
		"TopicFromKey":      func() { sink = TopicFromKey("plant.1.temp") },
		"PatternFromFilter": func() { sink = PatternFromFilter("plant/1/temp") },
	} {
		if n := testing.AllocsPerRun(100, f); n > 1 {
			t.Errorf("%s allocates %v times, want once", name, n)
		}
	}
	_ = sink
}

func FuzzTopicRoundTrip(f *testing.F) {
	for _, a := range addresses {
		f.Add(a.topic)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		if topic == "" || strings.ContainsAny(topic, "+#\x00") {
			return // MQTT allows no such topic
		}
		key := KeyFromTopic(topic)
		if back := TopicFromKey(key); back != topic {
			t.Errorf("topic %q is key %q and then topic %q", topic, key, back)
		}
		for word := range strings.SplitSeq(key, ".") {
			if word == "*" || word == "#" {
				t.Errorf("KeyFromTopic(%q) = %q, which has a wildcard", topic, key)
			}
		}
	})
}

func FuzzKeyRoundTrip(f *testing.F) {
	for _, a := range addresses {
		f.Add(a.key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		topic := TopicFromKey(key)
		if topic == "" || strings.ContainsAny(topic, "+#\x00") {
			t.Errorf("TopicFromKey(%q) = %q, which MQTT does not allow", key, topic)
		}
		if pattern := PatternFromFilter(FilterFromPattern(key)); pattern != key {
			t.Errorf("pattern %q comes back as %q", key, pattern)
		}
		for word := range strings.SplitSeq(key, ".") {
			if word == "*" || word == "#" {
				return
			}
		}
		if back := KeyFromTopic(topic); back != key {
			t.Errorf("key %q is topic %q and then key %q", key, topic, back)
		}
	})
}

func BenchmarkKeyFromTopic(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			KeyFromTopic("plant/1/line/7/temp")
		}
	})
	b.Run("escaped", func(b *testing.B) {
		for b.Loop() {
			KeyFromTopic("plant/1/line/7.5/temp")
		}
	})
}
