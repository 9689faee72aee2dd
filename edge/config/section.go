package config

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// section is one table on its way into a Config. Each key is asked for once, by
// a method that says which type it has; done reports the keys that nobody asked
// for. A method leaves its target alone when the key is absent or wrong, and
// says whether it was there and right.
type section struct {
	found *collector
	table *node
	path  string // "amqp"; "" at the top
	known []string
}

// value is the value of a key, or nil.
func (s *section) value(name string) *node {
	s.knows(name)
	if f := s.table.get(name); f != nil {
		return f.value
	}
	return nil
}

// knows notes that keys exist.
func (s *section) knows(names ...string) {
	for _, name := range names {
		if !slices.Contains(s.known, name) {
			s.known = append(s.known, name)
		}
	}
}

func (s *section) key(name string) string {
	if s.path == "" {
		return keyText(name)
	}
	return s.path + "." + keyText(name)
}

// bad notes what is wrong with the value of a key.
func (s *section) bad(name string, n *node, format string, args ...any) bool {
	s.found.add(n.at, s.key(name), format, args...)
	return false
}

// lacks notes that something is not there that must be.
func (s *section) lacks(name, format string, args ...any) {
	if !s.table.torn {
		s.found.add(s.table.at, s.key(name), format, args...)
	}
}

// has reports whether a key is there, right or wrong.
func (s *section) has(name string) bool { return s.table.get(name) != nil }

// is reports whether n may be read as k, and notes it if not.
func (s *section) is(name string, n *node, k kind) bool {
	if n.kind == k || k == text && n.word {
		return true
	}
	return s.bad(name, n, "must be %s, found %s", k, n.kind)
}

func (s *section) text(name string, to *string) bool {
	n := s.value(name)
	if n == nil || !s.is(name, n, text) {
		return false
	}
	*to = n.text
	return true
}

// name reads a name as AMQP allows it: not empty, at most 255 bytes.
func (s *section) name(name string, to *string) bool {
	if !s.short(name, to) {
		return false
	}
	if *to == "" {
		return s.bad(name, s.table.get(name).value, "must not be empty")
	}
	return true
}

// short reads what AMQP calls a short string: at most 255 bytes.
func (s *section) short(name string, to *string) bool {
	var v string
	if !s.text(name, &v) {
		return false
	}
	if len(v) > shortMax {
		return s.bad(name, s.table.get(name).value, "must be at most %d bytes long, is %d", shortMax, len(v))
	}
	*to = v
	return true
}

const shortMax = 255

// mode reads the permissions of a file, in octal as chmod has them.
func (s *section) mode(name string, to *fs.FileMode) bool {
	var octal string
	if !s.text(name, &octal) {
		return false
	}
	n, err := strconv.ParseUint(octal, 8, 16)
	if err != nil || n > 0o777 {
		return s.bad(name, s.table.get(name).value, `must be a file's mode in octal, like "0660"`)
	}
	*to = fs.FileMode(n)
	return true
}

func (s *section) boolean(name string, to *bool) bool {
	n := s.value(name)
	if n == nil {
		return false
	}
	if n.kind != boolean {
		return s.bad(name, n, "must be true or false, found %s", n.kind)
	}
	*to = n.text == "true"
	return true
}

func (s *section) integer(name string, to *int, least, most int) bool {
	n := s.value(name)
	if n == nil || !s.is(name, n, integer) {
		return false
	}
	v, err := strconv.ParseInt(n.text, 0, 64)
	if err != nil || v < int64(least) || v > int64(most) {
		return s.bad(name, n, "must be from %d to %d", least, most)
	}
	*to = int(v)
	return true
}

func (s *section) duration(name string, to *time.Duration, least, most time.Duration) bool {
	n := s.value(name)
	if n == nil {
		return false
	}
	if n.kind != text && !n.word {
		return s.bad(name, n, `must be text like "20ms", found %s`, n.kind)
	}
	v, err := time.ParseDuration(n.text)
	if err != nil {
		return s.bad(name, n, `not a duration; write a number with a unit, like "20ms", "1.5s" or "2m"`)
	}
	if v < least || v > most {
		return s.bad(name, n, "must be from %s to %s", shortly(least), shortly(most))
	}
	*to = v
	return true
}

// shortly is a duration without the zero units that Go adds ("24h0m0s").
func shortly(d time.Duration) string {
	t := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(t, zero) {
			t = t[:len(t)-2]
		}
	}
	return t
}

func (s *section) size(name string, to *Size, least Size) bool {
	n := s.value(name)
	if n == nil {
		return false
	}
	if n.kind != text && n.kind != integer {
		return s.bad(name, n, `must be a size like "512MiB", found %s`, n.kind)
	}
	digits := n.text
	if n.kind == integer {
		v, err := strconv.ParseInt(n.text, 0, 64)
		if err != nil || v < 0 {
			return s.bad(name, n, "must be 0 or at least %s", least)
		}
		digits = strconv.FormatInt(v, 10)
	}
	v, err := ParseSize(digits)
	if err != nil {
		return s.bad(name, n, "%s", err)
	}
	if v != 0 && v < least {
		return s.bad(name, n, "must be 0 or at least %s", least)
	}
	*to = v
	return true
}

// choice reads one of a few words.
func choice[T ~string](s *section, name string, to *T, words ...T) bool {
	var v string
	if !s.text(name, &v) {
		return false
	}
	if slices.Contains(words, T(v)) {
		*to = T(v)
		return true
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(string(w))
	}
	last := len(quoted) - 1
	return s.bad(name, s.table.get(name).value, "must be %s or %s", strings.Join(quoted[:last], ", "), quoted[last])
}

// texts reads a text or a list of texts, each of which each may refuse. With
// one it is only a list.
func (s *section) texts(name string, to *[]string, single bool, check func(string) error) bool {
	n := s.value(name)
	if n == nil {
		return false
	}
	items := n.items
	switch {
	case n.kind == list:
	case single && (n.kind == text || n.word):
		items = []*node{n}
	case single:
		return s.bad(name, n, "must be text or a list of texts, found %s", n.kind)
	default:
		return s.bad(name, n, "must be a list of texts, found %s", n.kind)
	}
	values, right := make([]string, 0, len(items)), true
	for _, item := range items {
		if !s.is(name, item, text) {
			right = false
		} else if err := check(item.text); err != nil {
			right = s.bad(name, item, "%s", err)
		} else {
			values = append(values, item.text)
		}
	}
	if right {
		*to = values
	}
	return right
}

// section reads a table.
func (s *section) section(name string, read func(*section)) {
	n := s.value(name)
	if n == nil || !s.is(name, n, table) {
		return
	}
	inner := &section{found: s.found, table: n, path: s.key(name)}
	read(inner)
	inner.done()
}

// each reads a list of tables.
func (s *section) each(name string, read func(*section)) {
	n := s.value(name)
	if n == nil {
		return
	}
	if n.kind != list {
		s.bad(name, n, "must be a list of tables; write [[%s]]", name)
		return
	}
	for _, item := range n.items {
		if item.kind != table {
			s.bad(name, item, "must be a table, found %s", item.kind)
			continue
		}
		inner := &section{found: s.found, table: item, path: s.key(name)}
		read(inner)
		inner.done()
	}
}

// done reports the keys that were not asked for.
func (s *section) done() {
	for _, f := range s.table.keys {
		if slices.Contains(s.known, f.name) {
			continue
		}
		if near := nearest(f.name, s.known); near != "" {
			s.found.add(f.at, s.key(f.name), "no such key; did you mean %s?", near)
		} else {
			s.found.add(f.at, s.key(f.name), "no such key; known here are %s", strings.Join(s.known, ", "))
		}
	}
}
