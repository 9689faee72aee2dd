package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// fallocate gives a file its blocks. It reports false where the file system
// cannot.
func fallocate(f *os.File, size int64) (bool, error) {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if err == unix.EOPNOTSUPP {
		return false, nil
	}
	return err == nil, err
}
