package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData brings the bytes of a file to the disk that keeps its size: the time
// of its last change, which would cost an entry of the journal, may be lost.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}
