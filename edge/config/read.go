package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// reader turns the bytes of one TOML document into a tree. The library splits
// the text into expressions; what may be defined where, and how often, is
// decided here, so that reading goes on after a mistake.
type reader struct {
	*document
	found *collector

	root    *node
	current *node // the table that keys go into; nil after a bad header
}

// readTree reads a whole file. It always gives a tree, of what could be read.
func readTree(file string, data []byte, found *collector) *node {
	// Text editors of Windows put a byte order mark before the first key.
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := &reader{document: &document{file: file, data: slices.Clip(data), lines: []int{0}}, found: found}
	for i, c := range data {
		if c == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	r.root = newTable(r.at(-1), header)
	r.current = r.root
	if len(data) > fileBytesMax {
		found.add(r.root.at, "", "longer than %s, which no configuration is", Size(fileBytesMax))
		return r.root
	}
	if bad := invalidUTF8(data); bad >= 0 {
		found.add(r.at(bad), "", "not UTF-8; save the file as UTF-8 text")
		r.root.torn = true
		return r.root
	}
	r.read()
	return r.root
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		c, n := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// read goes expression by expression. After one that is not TOML it goes
// on at the next table: the lines between may be the rest of the broken one.
func (r *reader) read() {
	for from := 0; from < len(r.data) && !r.found.full(); {
		p := &unstable.Parser{}
		p.Reset(r.data[from:])
		for p.NextExpression() {
			r.expression(p.Expression(), from)
		}
		err := p.Error()
		if err == nil {
			return
		}
		at := from
		if bad, ok := errors.AsType[*unstable.ParserError](err); ok {
			at += int(p.Range(bad.Highlight).Offset)
		}
		r.found.add(r.at(at), "", "not TOML: %s", explain(err))
		if r.current != nil {
			r.current.torn = true
		}
		from = r.nextTable(at)
	}
}

// explain words the library's error. The mistake of most people who write TOML
// for the first time is to leave the quotes out.
func explain(err error) string {
	for _, sign := range []string{"at start of value", "expected keyword", "strings must be quoted"} {
		if strings.Contains(err.Error(), sign) {
			return `a value is missing or is text without quotes; write key = "text"`
		}
	}
	return err.Error()
}

// nextTable is where the first line after offset begins that opens a table.
func (r *reader) nextTable(offset int) int {
	next, _ := slices.BinarySearch(r.lines, offset+1)
	for ; next < len(r.lines); next++ {
		line := bytes.TrimLeft(r.data[r.lines[next]:], " \t")
		if bytes.HasPrefix(line, []byte("[")) {
			return r.lines[next]
		}
	}
	return len(r.data)
}

// expression takes in one line of the document; from is where the parser's
// offsets start.
func (r *reader) expression(n *unstable.Node, from int) {
	switch n.Kind {
	case unstable.Table:
		r.current = r.open(r.path(n.Key(), from), false)
	case unstable.ArrayTable:
		r.current = r.open(r.path(n.Key(), from), true)
	case unstable.KeyValue:
		if r.current != nil {
			r.keyValue(r.current, n, from)
		}
	}
}

// part is one name of a dotted key.
type part struct {
	name string
	at   place
	end  int // the offset after it
}

func (r *reader) path(keys unstable.Iterator, from int) []part {
	var path []part
	for keys.Next() {
		k := keys.Node()
		start := from + int(k.Raw.Offset)
		path = append(path, part{string(k.Data), r.at(start), start + int(k.Raw.Length)})
	}
	return path
}

func names(path []part) string {
	all := make([]string, len(path))
	for i, p := range path {
		all[i] = p.name
	}
	return keyText(all...)
}

// open makes or finds the table of a header, [path] or, with each, [[path]]. It
// is nil when the header is a mistake.
func (r *reader) open(path []part, each bool) *node {
	t, last := r.root, path[len(path)-1]
	for _, p := range path[:len(path)-1] {
		if t = r.enter(t, p, implied); t == nil {
			r.found.add(p.at, names(path), "%s is a value already, it cannot be a table", keyText(p.name))
			return nil
		}
	}
	old := t.get(last.name)
	switch {
	case old == nil && each:
		element := newTable(last.at, header)
		t.put(&field{last.name, last.at, &node{at: last.at, kind: list, made: header, items: []*node{element}}})
		return element
	case old == nil:
		opened := newTable(last.at, header)
		t.put(&field{last.name, last.at, opened})
		return opened
	case each && old.value.kind == list && old.value.made == header:
		element := newTable(last.at, header)
		old.value.items = append(old.value.items, element)
		return element
	case !each && old.value.kind == table && old.value.made == implied:
		old.value.made, old.value.at = header, last.at
		return old.value
	}
	r.twice(last.at, names(path), old)
	return nil
}

// enter goes from a table into the one that p names, and makes it if need be.
// It is nil when p names something else.
func (r *reader) enter(t *node, p part, made maker) *node {
	f := t.get(p.name)
	if f == nil {
		f = &field{p.name, p.at, newTable(p.at, made)}
		t.put(f)
		return f.value
	}
	n := f.value
	if n.kind == list && n.made == header && made == implied {
		return n.items[len(n.items)-1] // [a.b] after [[a]] belongs to the last a
	}
	if n.kind != table || n.made == inline || made == dotted && n.made != dotted {
		return nil
	}
	return n
}

// keyValue takes `a.b = value` into a table.
func (r *reader) keyValue(t *node, n *unstable.Node, from int) {
	path := r.path(n.Key(), from)
	last := path[len(path)-1]
	for _, p := range path[:len(path)-1] {
		if t = r.enter(t, p, dotted); t == nil {
			r.found.add(p.at, names(path), "%s was given before, it cannot be added to", keyText(p.name))
			return
		}
	}
	if old := t.get(last.name); old != nil {
		r.twice(last.at, names(path), old)
		return
	}
	// Lists have no place of their own in the parser's answer; the value
	// begins after the equals sign.
	value := last.end
	for value < len(r.data) && strings.IndexByte(" \t=", r.data[value]) >= 0 {
		value++
	}
	t.put(&field{last.name, last.at, r.value(n.Value(), r.at(value), from)})
}

func (r *reader) twice(at place, key string, old *field) {
	r.found.add(at, key, "is there twice%s", old.at.first())
}

// value makes a node of a parsed value that stands at a place.
func (r *reader) value(n *unstable.Node, at place, from int) *node {
	switch n.Kind {
	case unstable.Array:
		l := &node{at: at, kind: list}
		for it := n.Children(); it.Next(); {
			item := it.Node()
			itemAt := at
			if item.Raw.Length > 0 {
				itemAt = r.at(from + int(item.Raw.Offset))
			}
			l.items = append(l.items, r.value(item, itemAt, from))
		}
		return l
	case unstable.InlineTable:
		t := newTable(at, dotted) // its own keys may be dotted ...
		for it := n.Children(); it.Next(); {
			r.keyValue(t, it.Node(), from)
		}
		t.close() // ... but nothing is added from outside
		return t
	}
	return &node{at: at, kind: scalar(n.Kind), text: string(n.Data)}
}

// close makes a table and the tables of its dotted keys inline ones.
func (n *node) close() {
	n.made = inline
	for _, f := range n.keys {
		if f.value.kind == table && f.value.made == dotted {
			f.value.close()
		}
	}
}

func scalar(k unstable.Kind) kind {
	switch k {
	case unstable.String:
		return text
	case unstable.Bool:
		return boolean
	case unstable.Integer:
		return integer
	case unstable.Float:
		return float
	}
	return date
}

// at is the place of an offset.
func (r *reader) at(offset int) place { return place{r.document, offset} }
