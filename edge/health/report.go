package health

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Report is what is wrong at present, in words for an operator. Each trouble
// has a name; a later word on the same name replaces the earlier one.
type Report struct {
	log *slog.Logger

	mu       sync.Mutex // protects troubles
	troubles []Trouble
}

// Trouble is one thing that is wrong.
type Trouble struct {
	Name  string    `json:"name"` // "configuration", "spool", ...
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

const troublesMax = 64

// NewReport makes an empty report; what is raised is logged too.
func NewReport(log *slog.Logger) *Report { return &Report{log: log} }

// Raise tells of a trouble, or says it anew.
func (r *Report) Raise(name, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.troubles, func(t Trouble) bool { return t.Name == name })
	switch {
	case i >= 0 && r.troubles[i].Text == text:
		return
	case i >= 0:
		r.troubles[i].Text = text
	case len(r.troubles) < troublesMax:
		r.troubles = append(r.troubles, Trouble{name, text, time.Now()})
	}
	r.log.Error("trouble", "name", name, "text", text)
}

// Clear tells that a trouble is over.
func (r *Report) Clear(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.troubles = slices.DeleteFunc(r.troubles, func(t Trouble) bool { return t.Name == name })
}

// Troubles are those that last, oldest first.
func (r *Report) Troubles() []Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.troubles)
}
