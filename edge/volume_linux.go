package edge

import "golang.org/x/sys/unix"

// quarterOfVolume is the spool's budget when none is configured; 0, no budget,
// when the volume does not tell its size.
func quarterOfVolume(dir string) int64 {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0
	}
	return int64(fs.Blocks) * int64(fs.Bsize) / 4
}
