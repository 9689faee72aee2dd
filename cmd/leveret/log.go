package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// newLogger writes one line for each event to a file, from a level on that can
// be changed while it is in use.
func newLogger(to *os.File, from slog.Level) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(from)
	if goesToJournal(to) {
		return slog.New(newJournalHandler(to, level)), level
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})), level
}

// goesToJournal reports whether a file is the connection to the system's
// journal. $JOURNAL_STREAM alone does not tell: a shell inherits it too, so the
// file must be the one that it names.
func goesToJournal(f *os.File) bool {
	var stat syscall.Stat_t
	if syscall.Fstat(int(f.Fd()), &stat) != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// Priorities of the journal, as they stand before a line (see sd-daemon).
const (
	priorityError   = "<3>"
	priorityWarning = "<4>"
	priorityInfo    = "<6>"
	priorityDebug   = "<7>"
)

// journalHandler writes lines without a time, which the journal adds and knows
// better on a board without a clock, and with the level as a priority.
type journalHandler struct {
	byPriority [4]slog.Handler // debug, info, warning, error
}

func newJournalHandler(to io.Writer, level slog.Leveler) *journalHandler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}}
	h := &journalHandler{}
	for i, priority := range []string{priorityDebug, priorityInfo, priorityWarning, priorityError} {
		h.byPriority[i] = slog.NewTextHandler(prefixWriter{to, priority}, o)
	}
	return h
}

func (h *journalHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.byPriority[0].Enabled(ctx, l)
}

func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Level >= slog.LevelError:
		return h.byPriority[3].Handle(ctx, r)
	case r.Level >= slog.LevelWarn:
		return h.byPriority[2].Handle(ctx, r)
	case r.Level >= slog.LevelInfo:
		return h.byPriority[1].Handle(ctx, r)
	}
	return h.byPriority[0].Handle(ctx, r)
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	return h.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (h *journalHandler) with(f func(slog.Handler) slog.Handler) slog.Handler {
	fresh := &journalHandler{}
	for i, one := range h.byPriority {
		fresh.byPriority[i] = f(one)
	}
	return fresh
}

// prefixWriter begins each write with a prefix. A text handler writes each line
// at once, and the line goes out in one write, so that those of two handlers do
// not mix.
type prefixWriter struct {
	to     io.Writer
	prefix string
}

func (w prefixWriter) Write(line []byte) (int, error) {
	if _, err := w.to.Write(append([]byte(w.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
