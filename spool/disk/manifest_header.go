package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"leveret/spool"
)

// The manifest begins with the text "Bdgr", u16 magic of the product and u16
// version of the layout. Badger refuses what it does not expect there, and a
// flipped bit must not keep a spool from opening; but nor may a folder be written
// to that another version made. The copy has the header of the manifest that it
// was made of, and tells the two apart: a header that both have is meant, one
// that the copy does not have is damaged. Without a copy it is damaged, too, as
// every version that has opened a folder keeps one.

const (
	manifestText = "Bdgr"
	// badgerManifest is the version of the manifest's layout.
	badgerManifest = 8
)

func manifestHeader() []byte {
	return be.AppendUint16(be.AppendUint16([]byte(manifestText), magic), badgerManifest)
}

// ours is the first step of the mender: it refuses what a newer version made.
func (m *mender) ours() error { return newerManifest(m.dir) }

// newerManifest answers spool.ErrNewer for a folder whose manifest is meant for others.
func newerManifest(dir string) error {
	now, err := headerOf(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	old, err := headerOf(guardFile(dir, manifestName))
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(now, []byte(manifestText)) || bytes.Equal(now, manifestHeader()) || !bytes.Equal(now, old) {
		return nil
	}
	return fmt.Errorf("%w: the MANIFEST of %s has magic %#04x and layout %d, known are %#04x and %d",
		spool.ErrNewer, dir, be.Uint16(now[4:]), be.Uint16(now[6:]), magic, badgerManifest)
}

// headerOf reads the header of a manifest; one that has none is empty.
func headerOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read header of manifest: %w", err)
	}
	defer f.Close()
	b := make([]byte, manifestMagic)
	if _, err := io.ReadFull(f, b); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read header of manifest: %w", err)
	}
	return b, nil
}

// newHeader writes the manifest anew with the right header: all behind it is right.
func (m *mender) newHeader(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	m.tell(troubleTables, "the header of the MANIFEST was damaged and written anew; nothing is lost")
	return m.replace(path, append(manifestHeader(), b[manifestMagic:]...))
}
