package mqttwire

import (
	"strings"
	"unicode/utf8"
)

// ValidText reports whether s may stand in a packet as a UTF-8 string: well
// formed, no U+0000, at most 65,535 bytes (section 1.5.4). Other control and
// non-characters are allowed.
func ValidText(s string) bool {
	return len(s) <= stringMax && strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// ValidTopic reports whether a message may be published to the topic: not
// empty, without wildcards (sections 3.3.2.1 and 4.7.3).
func ValidTopic(topic string) bool {
	return topic != "" && !hasWildcard(topic) && ValidText(topic)
}

func hasWildcard(topic string) bool {
	for i := range len(topic) {
		if topic[i] == '+' || topic[i] == '#' {
			return true
		}
	}
	return false
}

// ValidFilter reports whether the topic filter is well formed (section 4.7.1),
// and its parts too if it is a shared one (section 4.8.2).
func ValidFilter(filter string) bool {
	if !strings.HasPrefix(filter, sharePrefix) {
		return validPlainFilter(filter)
	}
	_, _, ok := SplitShare(filter)
	return ok
}

const sharePrefix = "$share/"

// SplitShare takes $share/group/filter apart. Not ok means that the filter is
// not a well-formed shared one.
func SplitShare(shared string) (group, filter string, ok bool) {
	rest, ok := strings.CutPrefix(shared, sharePrefix)
	if !ok || len(shared) > stringMax {
		return "", "", false
	}
	group, filter, ok = strings.Cut(rest, "/")
	if !ok || !ValidTopic(group) || !validPlainFilter(filter) {
		return "", "", false
	}
	return group, filter, true
}

// validPlainFilter knows nothing of shares, like MQTT 3.1 and 3.1.1: wildcards
// stand alone in their level, and # in the last one.
func validPlainFilter(filter string) bool {
	if filter == "" || !ValidText(filter) {
		return false
	}
	for i := range len(filter) {
		switch filter[i] {
		case '#':
			if i != len(filter)-1 || i > 0 && filter[i-1] != '/' {
				return false
			}
		case '+':
			if i > 0 && filter[i-1] != '/' || i+1 < len(filter) && filter[i+1] != '/' {
				return false
			}
		}
	}
	return true
}

// MatchFilter reports whether a well-formed filter, without a share prefix,
// matches the topic. A wildcard at the start does not match topics that start
// with a dollar sign [MQTT-4.7.2-1].
func MatchFilter(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && startsWild(filter) {
		return false
	}
	for {
		want, filterRest, filterMore := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		level, topicRest, topicMore := strings.Cut(topic, "/")
		if want != "+" && want != level {
			return false
		}
		switch {
		case !topicMore:
			// a/# matches a, too (section 4.7.1.2).
			return !filterMore || filterRest == "#"
		case !filterMore:
			return false
		}
		filter, topic = filterRest, topicRest
	}
}

// FiltersMeet reports whether some topic may match both of two well-formed
// filters.
func FiltersMeet(a, b string) bool {
	if startsWild(a) && strings.HasPrefix(b, "$") || startsWild(b) && strings.HasPrefix(a, "$") {
		return false
	}
	for {
		one, restA, moreA := strings.Cut(a, "/")
		two, restB, moreB := strings.Cut(b, "/")
		if one == "#" || two == "#" {
			return true
		}
		if one != two && one != "+" && two != "+" {
			return false
		}
		if !moreA || !moreB {
			return moreA == moreB || restA == "#" || restB == "#"
		}
		a, b = restA, restB
	}
}

// FilterCovers reports whether the filter wide matches every topic that narrow
// does.
func FilterCovers(wide, narrow string) bool {
	if startsWild(wide) && strings.HasPrefix(narrow, "$") {
		return false
	}
	for {
		w, restW, moreW := strings.Cut(wide, "/")
		n, restN, moreN := strings.Cut(narrow, "/")
		switch {
		case w == "#":
			return true
		case n == "#" || w != "+" && w != n:
			return false
		case !moreN:
			return !moreW || restW == "#"
		case !moreW:
			return false
		}
		wide, narrow = restW, restN
	}
}

func startsWild(filter string) bool {
	return strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")
}
