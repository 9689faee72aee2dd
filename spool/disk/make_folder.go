package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// makeFolder makes dir with all that is above it and has their names on the
// disk: whoever loses a folder's name in a power cut loses what is in it. They
// are synced whether they are new or not, as another may have made them just
// now. Folders that may not be read, or whose file system knows no such sync,
// are not of our making.
func makeFolder(on files, dir string) error {
	if err := on.mkdir(dir); err != nil {
		return err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for above := filepath.Dir(dir); above != dir; above = filepath.Dir(dir) {
		err := on.syncFolder(above)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
		dir = above
	}
	return nil
}
