// Package metrics writes leveret's figures in Prometheus' text format: its own
// under leveret_, and the Go runtime's and the process's under their usual
// names. There are no labels for clients or topics, so that what a scrape
// costs is bounded by the queues and shovels that somebody declared.
package metrics

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Writer writes families of samples.
type Writer struct {
	w    io.Writer
	last string // the family that has had its HELP and TYPE
}

// To writes to w; errors are w's to remember.
func To(w io.Writer) *Writer { return &Writer{w: w} }

// Labels are name and value in turn.
type Labels []string

// Gauge writes a value that goes up and down.
func (w *Writer) Gauge(name, help string, value float64, labels ...string) {
	w.sample("gauge", name, help, value, labels)
}

// Counter writes a value that only grows while the process runs.
func (w *Writer) Counter(name, help string, value uint64, labels ...string) {
	w.sample("counter", name, help, float64(value), labels)
}

func (w *Writer) sample(kind, name, help string, value float64, labels Labels) {
	if name != w.last {
		fmt.Fprintf(w.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		w.last = name
	}
	fmt.Fprintf(w.w, "%s%s %s\n", name, labels, strconv.FormatFloat(value, 'g', -1, 64))
}

// String is the labels as the format wants them.
func (l Labels) String() string {
	if len(l) == 0 {
		return ""
	}
	var b strings.Builder
	for i := 0; i+1 < len(l); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s="%s"`, l[i], escape.Replace(l[i+1]))
	}
	return "{" + b.String() + "}"
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
