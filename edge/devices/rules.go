package devices

import "time"

// Rules say how many devices are remembered and when one counts as silent.
type Rules struct {
	// Max bounds the devices; the one that has been away for longest gives way.
	Max int
	// SilentAfter is for all devices that have published before; 0 is never.
	SilentAfter time.Duration
	// Special are for some, the first that matches; they hold from the moment
	// such a device is first seen.
	Special []Rule
}

// Rule is about devices whose client id, connection name or id match a pattern:
// * stands for any text, ? for one character.
type Rule struct {
	Client      string
	SilentAfter time.Duration // 0 is never
}

// after is how long a device may be silent; 0 is for ever.
func (r *Rules) after(d *Device) time.Duration {
	for _, rule := range r.Special {
		if matches(rule.Client, d.Client) || matches(rule.Client, d.ID) {
			return rule.SilentAfter
		}
	}
	if !d.published() {
		return 0 // one that only listens is not missed
	}
	return r.SilentAfter
}

// matches reports whether a pattern stands for a text. Going back to the last
// star only is enough: what an earlier one could take, the last can.
func matches(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	i, star, from := 0, -1, 0
	for j := 0; j < len(t); {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
