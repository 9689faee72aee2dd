package config

import (
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// setFile stands for the file in problems of the command line.
const setFile = "--set"

// applySet lays one "KEY=VALUE" over the tree. KEY is dotted; VALUE is a value
// of TOML, or a word that stands for itself: amqp.listen=127.0.0.1:0 means the
// same as amqp.listen="127.0.0.1:0". A table or list of the file gives way to
// what is set. Problems never show the value, which may be a secret.
func applySet(root *node, spec string, found *collector) {
	doc := &document{file: setFile}
	at := place{doc, -1}
	key, value, ok := strings.Cut(spec, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	parts := strings.Split(key, ".")
	for _, p := range parts {
		if !ok || !bare(p) {
			found.add(at, "", "write KEY=VALUE, for example log.level=debug")
			return
		}
	}
	n := setValue(doc, key, value, found)
	if n == nil {
		return
	}
	t := root
	for _, p := range parts[:len(parts)-1] {
		f := t.get(p)
		if f == nil {
			f = &field{p, at, newTable(at, header)}
			t.put(f)
		}
		if f.value.kind != table {
			found.add(at, keyText(parts...), "%s is not a table; set it as a whole", keyText(p))
			return
		}
		t = f.value
	}
	t.put(&field{parts[len(parts)-1], at, n})
}

// setValue reads the value, and is nil if it looks like TOML but is none.
func setValue(doc *document, key, value string, found *collector) *node {
	at := place{doc, -1}
	doc.data = slices.Clip([]byte("value = " + value))
	inner := &collector{}
	r := &reader{document: doc, found: inner, root: newTable(at, header)}
	p := &unstable.Parser{}
	p.Reset(r.data)
	if !strings.ContainsAny(value, "\r\n") && p.NextExpression() && p.Expression().Kind == unstable.KeyValue {
		r.keyValue(r.root, p.Expression(), 0)
		if f := r.root.get("value"); f != nil && p.Error() == nil {
			for _, problem := range inner.list {
				found.add(at, key, "%s: %s", problem.Key, problem.Text)
			}
			f.value.word = f.value.kind != text && f.value.kind != list && f.value.kind != table
			return f.value
		}
	}
	// "[::1]:0" begins like a list too.
	if value != "" && strings.Contains(`["'{`, value[:1]) && checkAddress(value) != nil {
		found.add(at, key, "the value begins like TOML but is not")
		return nil
	}
	return &node{at: at, kind: text, text: value, word: true}
}
