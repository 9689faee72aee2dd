package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// files are the store's own small files, as a file system has them: what is
// not synced may be gone, or torn, after a power cut, and so may be the name of
// a file in a folder that is not synced.
type files interface {
	mkdir(dir string) error // with all that is above it
	// list tells the sizes of files in a folder by their names.
	list(dir string) (map[string]int64, error)
	size(path string) (int64, error)
	read(path string) ([]byte, error)
	create(path string) (file, error) // empty
	edit(path string) (file, error)   // as it is, or empty
	rename(from, to string) error
	remove(path string) error
	syncFolder(dir string) error
	// solid makes a file of so many bytes that really occupies them. It
	// answers false where that cannot be.
	solid(path string, size int64) (bool, error)
}

type file interface {
	io.Writer
	io.ReaderAt
	io.WriterAt
	Sync() error
	io.Closer
}

// osFiles are those of the operating system.
type osFiles struct{}

func (osFiles) mkdir(dir string) error           { return os.MkdirAll(dir, 0o700) }
func (osFiles) read(path string) ([]byte, error) { return os.ReadFile(path) }
func (osFiles) rename(from, to string) error     { return os.Rename(from, to) }
func (osFiles) remove(path string) error         { return os.Remove(path) }
func (osFiles) create(path string) (file, error) { return openFile(path, os.O_TRUNC) }

// edit gives a file whose sync leaves the time of its last change out.
func (osFiles) edit(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return editedFile{f}, nil
}

type editedFile struct{ *os.File }

func (f editedFile) Sync() error { return syncData(f.File) }

func (osFiles) syncFolder(dir string) error { return syncFolder(dir) }

func openFile(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|flag, 0o600)
	if err != nil {
		return nil, err // a nil *os.File would be no nil file
	}
	return f, nil
}

func (osFiles) list(dir string) (map[string]int64, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(list))
	for _, f := range list {
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		sizes[f.Name()] = info.Size()
	}
	return sizes, nil
}

func (osFiles) size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osFiles) solid(path string, size int64) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	solid, err := fallocate(f, size)
	return solid, errors.Join(err, f.Close())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
