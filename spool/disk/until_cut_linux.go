package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// mapped writes into a mapping, as Badger does with its logs, behind zeros that
// are written ahead as in pave_linux.go.
type mapped struct {
	way cutWay
	f   *os.File
	m   []byte
}

func openMapped(w cutWay, dir string) (cutWriter, error) {
	path := w.path(dir, 0)
	// Whole pages, as the mapping is one.
	size := (w.fileBytes() + pageBytes - 1) / pageBytes * pageBytes
	if err := writeSynced(osFiles{}, path, make([]byte, size)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %s: %w", path, err), f.Close())
	}
	return &mapped{w, f, m}, nil
}

func (m *mapped) write(k uint64, record []byte) error {
	_, at := m.way.place(k)
	if err := m.put(at, record); err != nil {
		return err
	}
	// msync wants the address of a page, of whatever size pages have here.
	page := int64(os.Getpagesize())
	return unix.Msync(m.m[at/page*page:at+int64(len(record))], unix.MS_SYNC)
}

// put answers with an error where a disk that was pulled out would end the
// process: a mapped page that cannot be read.
func (m *mapped) put(at int64, record []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if _, fault := p.(interface{ Addr() uintptr }); !fault {
				panic(p)
			}
			err = unix.EIO
		}
	}()
	copy(m.m[at:], record)
	return nil
}

func (m *mapped) close() error { return errors.Join(unix.Munmap(m.m), m.f.Close()) }

// sameDisk reports whether two folders are on one disk, be it on two partitions
// of it.
func sameDisk(a, b string) bool {
	x, ok := diskOf(a)
	y, too := diskOf(b)
	return ok && too && x == y
}

// diskOf is a name of the disk that a folder is on.
func diskOf(dir string) (string, bool) {
	major, minor, ok := deviceOf(dir)
	name := fmt.Sprintf("%d:%d", major, minor)
	at, err := filepath.EvalSymlinks("/sys/dev/block/" + name)
	if err != nil {
		return name, ok // a file system without a disk of its own
	}
	if _, err := os.Stat(filepath.Join(at, "partition")); err == nil {
		at = filepath.Dir(at)
	}
	return at, ok
}
