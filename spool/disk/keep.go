package disk

import (
	"errors"
	"fmt"
	"path/filepath"
)

// guardName is the folder of the store's own small files. It is a folder of its
// own so that a change in it is none of the spool's folder, which is looked at
// with each commit.
const guardName = "guard"

func guardFile(dir, name string) string { return filepath.Join(dir, guardName, name) }

// keep replaces a small file as a whole: after a power cut it is the old one
// or the new one.
func keep(on files, path string, content []byte) error {
	err := on.mkdir(filepath.Dir(path))
	next := path + ".new"
	if err == nil {
		if err = writeSynced(on, next, content); noRoom(err) {
			if f, cerr := on.create(next); cerr == nil { // give back what there was
				f.Close()
			}
		}
	}
	if err == nil {
		err = on.rename(next, path)
	}
	if err == nil {
		err = on.syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeSynced(on files, path string, content []byte) error {
	f, err := on.create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
