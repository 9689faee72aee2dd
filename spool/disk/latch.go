package disk

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
)

// latch is Badger's logger, and the only place where Badger tells of a value
// log that could not be synced: the commit itself reports success. So every
// error that is logged, and every warning about the manifest, closes the latch
// for good, and the writer looks at it before it promises anything. So does a
// compaction that failed, or that lost a table.
type latch struct {
	log   *slog.Logger
	cause atomic.Pointer[error]
	tally tally
}

// harmless are the messages Badger logs as errors while it reads. A value that
// cannot be read is one damaged chunk: Read reports it, the rest goes on.
var harmless = [...]string{
	"Unable to read: Key:",
	"Key: %v, Version",
	"Invalid read: vp:",
	"Unable to get stats for value log",
}

func (l *latch) err() error {
	if p := l.cause.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *latch) close(text string) {
	err := fmt.Errorf("badger: %s", text)
	l.cause.CompareAndSwap(nil, &err)
}

// prove counts the tables of a compaction that has ended.
func (l *latch) prove() {
	if err := l.tally.prove(); err != nil {
		l.log.Error("badger", "err", err)
		l.close(err.Error())
	}
}

// Errorf implements badger.Logger.
func (l *latch) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	for _, h := range harmless {
		if strings.HasPrefix(format, h) {
			l.log.Warn("badger", "text", text)
			return
		}
	}
	l.log.Error("badger", "text", text)
	l.close(text)
}

// Warningf implements badger.Logger.
func (l *latch) Warningf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.log.Warn("badger", "text", text)
	if strings.Contains(strings.ToUpper(text), "MANIFEST") ||
		slices.ContainsFunc(failed[:], func(p string) bool { return strings.HasPrefix(format, p) }) {
		l.close(text)
	}
}

// failed are the warnings about a compaction that came to no end. Some of them
// Badger does not return.
var failed = [...]string{
	"[Compactor: %d] LOG Compact FAILED",
	"While compacting level 0",
	"While running compact def",
}

// Infof implements badger.Logger.
func (l *latch) Infof(format string, args ...any) { l.Debugf(format, args...) }

// Debugf implements badger.Logger.
func (l *latch) Debugf(format string, args ...any) {
	switch {
	case strings.HasPrefix(format, logTable):
		if len(args) > 1 && args[1] != uint64(0) {
			l.tally.announce()
		}
	case strings.HasPrefix(format, logEnded):
		l.prove()
	}
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("badger", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
