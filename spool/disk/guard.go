package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"leveret/spool"
)

// lockName is the file that keeps a second process out of the folder. Badger
// has a lock too, but says nothing useful when it is taken.
const lockName = "owner"

// takeLock locks the folder for this process; the lock goes with the file.
func takeLock(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock spool %s: %w", dir, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // may be empty: the holder is just starting
		return nil, fmt.Errorf("%w: %s is held by process %s", spool.ErrLocked, dir, strings.TrimSpace(string(pid)))
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	return f, nil
}

// roomToOpen refuses to open on a volume that is too full for it, after the
// ballast was given up.
func roomToOpen(o *Options) error {
	need, err := o.on.wanted(o)
	if err != nil {
		return err
	}
	free, _, err := o.on.volume(o.Dir)
	if err != nil || free >= need {
		return err
	}
	had, err := dropBallast(o.on, o.Dir)
	if err != nil {
		return err
	}
	if had {
		o.Log.Warn("the volume is full: ballast given up", "dir", o.Dir, "free", free)
	}
	if free, _, err = o.on.volume(o.Dir); err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("open spool %s: %d bytes are free on the volume, %d are needed", o.Dir, free, need)
	}
	return nil
}

// volume tells how many bytes are free for us, and in all, where dir lies.
func volume(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("ask for free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
