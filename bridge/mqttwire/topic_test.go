package mqttwire

import (
	"strings"
	"testing"
)

func TestValidTopic(t *testing.T) {
	for topic, want := range map[string]bool{
		"a":                              true,
		"/":                              true,
		"a//b":                           true,
		"$SYS/x":                         true,
		"a b/ü":                          true,
		"\uffff":                         true,
		strings.Repeat("a", stringMax):   true,
		strings.Repeat("a", stringMax+1): false,
		"":                               false,
		"+":                              false,
		"a/#":                            false,
		"a\x00":                          false,
		"\xff":                           false,
		"\xc0\x80":                       false,
	} {
		if got := ValidTopic(topic); got != want {
			t.Errorf("ValidTopic(%.20q) = %v, want %v", topic, got, want)
		}
	}
}

func TestValidFilter(t *testing.T) {
	for filter, want := range map[string]bool{
		"#": true, "+": true, "a": true, "/": true, "a/#": true, "+/+": true, "/+": true, "+/": true, "a/+/#": true, "//#": true,
		"$share": true, "$sharex/g": true, "$share/g/a": true, "$share/g//": true, "$share/g/#": true, "$SYS/#": true,
		"": false, "a#": false, "#a": false, "#/": false, "a/#/b": false, "+a": false, "a+": false, "a/b+/c": false, "++": false, "##": false,
		"$share/": false, "$share//a": false, "$share/g": false, "$share/g/": false, "$share/+/a": false, "$share/g#/a": false, "$share/g/a#": false,
		"a\x00": false, "\xff/#": false,
		strings.Repeat("a/", stringMax/2) + "#":  true,
		strings.Repeat("a/", stringMax/2) + "a#": false,
	} {
		if got := ValidFilter(filter); got != want {
			t.Errorf("ValidFilter(%.30q) = %v, want %v", filter, got, want)
		}
	}
}

func TestSplitShare(t *testing.T) {
	for _, c := range []struct {
		shared, group, filter string
		ok                    bool
	}{
		{"$share/g/a/b", "g", "a/b", true},
		{"$share/g/#", "g", "#", true},
		{"$share/g//", "g", "/", true},
		{"$share/g", "", "", false},
		{"$share//a", "", "", false},
		{"$share/g/", "", "", false},
		{"a/b", "", "", false},
	} {
		group, filter, ok := SplitShare(c.shared)
		if group != c.group || filter != c.filter || ok != c.ok {
			t.Errorf("SplitShare(%q) = %q, %q, %v, want %q, %q, %v", c.shared, group, filter, ok, c.group, c.filter, c.ok)
		}
	}
}

func TestMatchFilter(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/B", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a", "/a", false},
		{"/a", "/a", true},
		{"a/", "a", false},
		{"a/", "a/", true},
		{"+", "a", true},
		{"+", "", true},
		{"+", "/a", false},
		{"+/+", "/a", true},
		{"/+", "/a", true},
		{"+/a", "/a", true},
		{"a/+", "a", false},
		{"a/+", "a/", true},
		{"a/+", "a/b", true},
		{"a/+", "a/b/c", false},
		{"a/+/c", "a//c", true},
		{"a/+/c", "a/b/c", true},
		{"+/b/+", "a/b/c", true},
		{"#", "a", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/#", "b", false},
		{"+/#", "a", true},
		{"+/#", "a/b", true},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"#", "$SYS", false},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"+", "$SYS", false},
		{"$SYS/#", "$SYS", true},
		{"$SYS/#", "$SYS/x", true},
		{"$SYS/+", "$SYS/x", true},
		{"a/#", "a/$b", true},
		{"a/+", "a/$b", true},
	} {
		if got := MatchFilter(c.filter, c.topic); got != c.want {
			t.Errorf("MatchFilter(%q, %q) = %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
}

// FuzzMatchFilter compares with the rule written down as plainly as possible.
func FuzzMatchFilter(f *testing.F) {
	f.Add("a/+/#", "a/b")
	f.Add("+/+", "/a")
	f.Add("#", "$SYS/x")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if !validPlainFilter(filter) || !ValidTopic(topic) {
			return
		}
		want := matchLevels(strings.Split(filter, "/"), strings.Split(topic, "/"))
		if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
			want = false
		}
		if got := MatchFilter(filter, topic); got != want {
			t.Errorf("MatchFilter(%q, %q) = %v, want %v", filter, topic, got, want)
		}
	})
}

func matchLevels(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return true
	case len(topic) == 0:
		return false
	}
	return (filter[0] == "+" || filter[0] == topic[0]) && matchLevels(filter[1:], topic[1:])
}

// short are all texts of up to three of the words, with slashes between them.
func short(words ...string) (all []string) {
	level := []string{""}
	for range 3 {
		var next []string
		for _, before := range level {
			for _, w := range words {
				if before == "" {
					next = append(next, w)
				} else {
					next = append(next, before+"/"+w)
				}
			}
		}
		all, level = append(all, next...), next
	}
	return all
}

// What FiltersMeet and FilterCovers say of two filters is what MatchFilter says
// of all short topics.
func TestFiltersMeetAndCover(t *testing.T) {
	topics := short("a", "b", "$x", "other")
	var filters []string
	for _, f := range short("a", "b", "$x", "+", "#") {
		if ValidFilter(f) {
			filters = append(filters, f)
		}
	}
	for _, f := range filters {
		for _, g := range filters {
			meet, covers := false, true
			for _, topic := range topics {
				inF, inG := MatchFilter(f, topic), MatchFilter(g, topic)
				meet = meet || inF && inG
				covers = covers && (inF || !inG)
			}
			if got := FiltersMeet(f, g); got != meet {
				t.Errorf("FiltersMeet(%q, %q) = %v", f, g, got)
			}
			// It may not know that a/+/+ covers a/b/+ of three levels at most,
			// but what it says must be true.
			if got := FilterCovers(f, g); got && !covers {
				t.Errorf("FilterCovers(%q, %q) = true, but some topic is in the second alone", f, g)
			}
			if f == g && !FilterCovers(f, g) {
				t.Errorf("FilterCovers(%q, %q) = false", f, g)
			}
		}
	}
	for _, c := range [][2]string{{"a/#", "a"}, {"a/#", "a/+/b"}, {"+/#", "a"}, {"a/+", "a/b"}, {"#", "+/x"}} {
		if !FilterCovers(c[0], c[1]) {
			t.Errorf("FilterCovers(%q, %q) = false", c[0], c[1])
		}
	}
}
