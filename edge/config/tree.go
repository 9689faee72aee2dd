package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is what a node holds, in the words of whoever writes the file.
type kind uint8

const (
	text kind = iota
	integer
	float
	boolean
	date // and time of day
	list
	table
)

func (k kind) String() string {
	return [...]string{"text", "a whole number", "a number", "a boolean", "a date or time", "a list", "a table"}[k]
}

// document is the text that places are in.
type document struct {
	file  string
	data  []byte
	lines []int // where each line begins; nil when there are none to speak of
}

// place is where something stands. Its line and column are counted only when
// they are told: counting for each value would take for ever in a file that is
// one long line.
type place struct {
	doc    *document
	offset int // -1 is the whole document
}

// position is the line and the column from 1, in characters; both are 0 when
// the place is on no line.
func (p place) position() (line, column int) {
	if p.doc.lines == nil || p.offset < 0 {
		return 0, 0
	}
	line, found := slices.BinarySearch(p.doc.lines, p.offset)
	if found {
		line++
	}
	start := p.doc.lines[line-1]
	return line, utf8.RuneCount(p.doc.data[start:min(p.offset, len(p.doc.data))]) + 1
}

// first words where the first of two things of a name stands.
func (p place) first() string {
	if line, _ := p.position(); line > 0 {
		return fmt.Sprintf("; the first is in line %d", line)
	}
	return ""
}

// node is one value of the file.
type node struct {
	at   place
	kind kind
	// text is a text's value, and a scalar's spelling.
	text string
	// word: the value came bare from the command line, so that it may be text
	// whatever it looks like.
	word  bool
	items []*node  // of a list
	keys  []*field // of a table, as they stand in the file
	index map[string]*field
	made  maker
	// torn: part of the table could not be read, so what is missing in it may
	// have been there.
	torn bool
}

// field is one key of a table.
type field struct {
	name  string
	at    place
	value *node
}

// maker is how a table or a list came to be, which says who may add to it.
type maker uint8

const (
	inline  maker = iota // { } or [ ]: closed
	header               // [table] or [[list]]
	implied              // the a in [a.b]
	dotted               // the a in a.b = 1
)

func newTable(at place, made maker) *node {
	return &node{at: at, kind: table, made: made, index: map[string]*field{}}
}

func (n *node) get(name string) *field { return n.index[name] }

// put adds a key to a table, in place of an older one of the name.
func (n *node) put(f *field) {
	if old := n.index[f.name]; old != nil {
		*old = *f
		return
	}
	n.keys = append(n.keys, f)
	n.index[f.name] = f
}

// keyShownMax bounds what is shown of a key in a problem.
const keyShownMax = 64

// keyText is a dotted key as a problem shows it.
func keyText(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if !bare(p) {
			p = strconv.Quote(p)
		}
		b.WriteString(p)
		if b.Len() > keyShownMax {
			return b.String()[:keyShownMax] + "..."
		}
	}
	return b.String()
}

// bare reports whether a key can stand without quotes.
func bare(key string) bool {
	for _, c := range []byte(key) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
		if !letter {
			return false
		}
	}
	return key != ""
}
