package disk

import "golang.org/x/sys/unix"

// deviceOf is the block device that a folder is on.
func deviceOf(dir string) (major, minor uint32, ok bool) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0, 0, false
	}
	return unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), true
}
