package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// problemsMax bounds the list; a file with more mistakes is another kind of
// file.
const problemsMax = 100

// Problem is one mistake in a configuration.
type Problem struct {
	File   string // the file, or "--set"
	Line   int    // from 1; 0 when it is about no line
	Column int    // from 1, in characters
	Key    string // "amqp.listen"; "" when it is about no key
	Text   string // what is wrong, and what would be right
}

// String is `file:line:column: key: text`, without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is every mistake of a configuration: those of the file in the order
// of its lines, then those of the command line.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// collector gathers problems while a configuration is read.
type collector struct {
	list Problems
	more int // beyond problemsMax
}

// add notes what is wrong at a place.
func (c *collector) add(at place, key, format string, args ...any) {
	if len(c.list) == problemsMax {
		c.more++
		return
	}
	line, column := at.position()
	c.list = append(c.list, Problem{at.doc.file, line, column, key, fmt.Sprintf(format, args...)})
}

func (c *collector) full() bool { return c.more > 0 }

// problems is nil, or of type Problems.
func (c *collector) problems() error {
	if len(c.list) == 0 {
		return nil
	}
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		if (a.File == setFile) != (b.File == setFile) {
			if a.File == setFile {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if c.more > 0 {
		c.list = append(c.list, Problem{File: c.list[0].File, Text: fmt.Sprintf("%d more mistakes", c.more)})
	}
	return c.list
}
