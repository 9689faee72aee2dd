package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// class is a class of the specification with its methods, in file order.
type class struct {
	name    string
	id      uint16
	methods []method
}

type method struct {
	class   string
	name    string
	id      uint16
	sync    bool
	content bool
	fields  []field
}

type field struct {
	name string // "-" for a reserved one
	kind string // one of kinds
}

func (f field) reserved() bool { return f.name == "-" }

func parse(text string) ([]class, error) {
	var classes []class
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var err error
		if words[0] == "class" {
			classes, err = parseClass(classes, words)
		} else {
			err = parseMethod(classes, line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return classes, nil
}

func parseClass(classes []class, words []string) ([]class, error) {
	if len(words) != 3 {
		return nil, errors.New("want: class NAME ID")
	}
	id, err := parseID(words[2])
	if err != nil {
		return nil, err
	}
	c := class{name: words[1], id: id}
	if slices.ContainsFunc(classes, func(o class) bool { return o.name == c.name || o.id == c.id }) {
		return nil, fmt.Errorf("class %s %d is there already", c.name, c.id)
	}
	return append(classes, c), nil
}

// parseMethod adds a method to the last class.
func parseMethod(classes []class, line string) error {
	if len(classes) == 0 {
		return errors.New("method before the first class")
	}
	c := &classes[len(classes)-1]
	head, fields, hasFields := strings.Cut(line, ":")
	words := strings.Fields(head)
	if len(words) < 2 {
		return errors.New("want: ID NAME [sync] [content] [: FIELD TYPE, ...]")
	}
	id, err := parseID(words[0])
	if err != nil {
		return err
	}
	m := method{class: c.name, name: words[1], id: id}
	for _, w := range words[2:] {
		switch w {
		case "sync":
			m.sync = true
		case "content":
			m.content = true
		default:
			return fmt.Errorf("unknown mark %q", w)
		}
	}
	if slices.ContainsFunc(c.methods, func(o method) bool { return o.name == m.name || o.id == m.id }) {
		return fmt.Errorf("method %s %d is there already", m.name, m.id)
	}
	if hasFields {
		if m.fields, err = parseFields(fields); err != nil {
			return err
		}
	}
	c.methods = append(c.methods, m)
	return nil
}

func parseFields(text string) ([]field, error) {
	var fields []field
	for item := range strings.SplitSeq(text, ",") {
		words := strings.Fields(item)
		if len(words) != 2 {
			return nil, fmt.Errorf("want FIELD TYPE, not %q", strings.TrimSpace(item))
		}
		f := field{name: words[0], kind: words[1]}
		if goType(f.kind) == "" {
			return nil, fmt.Errorf("field %s has unknown type %q", f.name, f.kind)
		}
		if !f.reserved() && slices.ContainsFunc(fields, func(o field) bool { return o.name == f.name }) {
			return nil, fmt.Errorf("field %s is there already", f.name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func parseID(s string) (uint16, error) {
	id, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("want a number, not %q", s)
	}
	return uint16(id), nil
}
