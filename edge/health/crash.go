package health

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
)

// crashBytesMax bounds what is read of the last crash.
const crashBytesMax = 256 << 10

// Crash has the runtime write to a file why the process dies, should it die of
// a panic that nobody could catch, and answers what the process before this one
// left there: "" when it ended in another way. That is kept beside, as
// path.last.
func Crash(path string) (last string, err error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the last crash: %w", err)
	}
	if len(b) > 0 {
		if err := os.Rename(path, path+".last"); err != nil {
			return "", fmt.Errorf("keep the last crash: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", fmt.Errorf("prepare for a crash: %w", err)
	}
	defer f.Close() // the runtime has its own copy
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		return "", fmt.Errorf("prepare for a crash: %w", err)
	}
	return string(b[:min(len(b), crashBytesMax)]), nil
}
