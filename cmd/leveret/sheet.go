package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// sheet is a table for a terminal.
type sheet struct {
	heads []string
	rows  []string
}

func newSheet(heads ...string) *sheet { return &sheet{heads: heads} }

func (s *sheet) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = printable(fmt.Sprint(c))
	}
	s.rows = append(s.rows, strings.Join(text, "\t"))
}

// print writes the table after an empty line; one without rows is left out.
func (s *sheet) print(to io.Writer) {
	if len(s.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\n", strings.Join(s.heads, "\t"))
	for _, r := range s.rows {
		fmt.Fprintln(w, r)
	}
	w.Flush()
}

// printable is text that may come from anybody (clients name queues) as it can
// be shown on a terminal: quoted when it has anything in it that might steer
// one.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// byteCount is a number of bytes for people.
func byteCount(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
