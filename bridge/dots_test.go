package bridge

import "testing"

func TestRabbitSwapsCharacters(t *testing.T) {
	for _, a := range []struct{ topic, key, back string }{
		{"plant/1/temp", "plant.1.temp", "plant/1/temp"},
		{"plant/+/#", "plant.*.#", "plant/+/#"},
		{"a.b/c", "a.b.c", "a/b/c"}, // lossy, as known
		{"spBv1.0/g/DDATA", "spBv1___0.g.DDATA", "spBv1.0/g/DDATA"},
		{"spAv1.0", "spAv1___0", "spAv1.0"},
		{"spBv1.0x/g", "spBv1.0x.g", "spBv1/0x/g"},
		{"a\xff/b", "a\xff.b", "a\xff/b"},
		{"", "", ""},
	} {
		key := DotsRabbit.Key(a.topic)
		if key != a.key || DotsRabbit.Topic(key) != a.back || DotsRabbit.Seen(a.topic) != a.back {
			t.Errorf("DotsRabbit.Key(%q) = %q and back %q, want %q and %q", a.topic, key, DotsRabbit.Topic(key), a.key, a.back)
		}
	}
}
