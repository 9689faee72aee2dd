package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// nextHole is where the next hole of a file begins, its end at the latest. told
// is false where the file system does not say, or there is nothing behind from.
func nextHole(f *os.File, from int64) (at int64, told bool, err error) {
	at, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	switch err {
	case nil:
		return at, true, nil
	case unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.ENXIO:
		return 0, false, nil
	}
	return 0, false, os.NewSyscallError("seek hole", err)
}
