package disk

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// latch is Badger's logger, and the only place where Badger tells of a value
// log that could not be synced: the commit itself reports success. So every
// error that is logged, and every warning about the manifest, closes the latch
// for good, and the writer looks at it before it promises anything.
type latch struct {
	log   *slog.Logger
	cause atomic.Pointer[error]
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
	if strings.Contains(strings.ToUpper(text), "MANIFEST") {
		l.close(text)
	}
}

// Infof implements badger.Logger.
func (l *latch) Infof(format string, args ...any) { l.Debugf(format, args...) }

// Debugf implements badger.Logger.
func (l *latch) Debugf(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("badger", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
