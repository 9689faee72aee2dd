package disk

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// weathers are errors that say nothing about what is stored: the disk is full,
// absent, ill for a moment, or not ours to write.
var weathers = [...]syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS,
	syscall.EIO, syscall.ENODEV, syscall.ENXIO, syscall.ESTALE, syscall.ETIMEDOUT,
	syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.EINTR,
	syscall.EACCES, syscall.EPERM,
}

// weather reports such an error. A start that ends with one is not held against
// the spool. Badger keeps only the text of what the system answered, so where no
// number is left the words are looked for, behind the colon that precedes them.
func weather(err error) bool {
	if errors.Is(err, fs.ErrPermission) {
		return true
	}
	text := err.Error()
	for _, e := range weathers {
		if errors.Is(err, e) || strings.Contains(text, ": "+e.Error()) {
			return true
		}
	}
	return false
}

// noRoom reports that the volume, or what this user may have of it, is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
