package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// fallocate gives a file its blocks. It reports false where the file system
// cannot.
func fallocate(f *os.File, size int64) (bool, error) {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	switch err {
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.ENODEV:
		return false, nil
	}
	return err == nil, err
}
