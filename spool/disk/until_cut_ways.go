package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// cutWay is a way to write a record and sync it. Its records go to places that
// come round again.
type cutWay struct {
	name  string
	file  string // all before the file's number
	files uint64
	slots uint64 // in a file
	bytes int    // of a record
	step  int64  // from a record to the next one
	keeps uint64 // records that stay while the next one is written
	open  func(w cutWay, dir string) (cutWriter, error)
}

// cutWriter writes the k-th record of its way and answers when it is synced.
type cutWriter interface {
	write(k uint64, record []byte) error
	close() error
}

// cutWays take turns. Records of a thousand bytes share pages, and sectors, with
// those before them, as those of a log do: what was synced is written again beside
// what is new, and may not suffer. Others are several pages long.
var cutWays = []cutWay{
	{name: "append and fdatasync", file: "append-", files: 2, slots: 128, bytes: 1000, step: 1000, keeps: 128, open: openAppended},
	{name: "mmap and msync", file: "mapped-", files: 1, slots: 128, bytes: 1000, step: 1000, keeps: 127, open: openMapped},
	{name: "create, rename and sync the folder", file: "renamed-", files: 16, slots: 1, bytes: 1000, step: 1000, keeps: 15, open: openRenamed},
	{name: "write over and fdatasync", file: "preallocated-", files: 1, slots: 16, bytes: 12000, step: 3 * probeBytes, keeps: 15, open: openPreallocated},
}

// cutPlace says which way a record goes, and how many went before it there.
func cutPlace(number uint64) (way int, k uint64) {
	n := uint64(len(cutWays))
	return int((number - 1) % n), (number - 1) / n
}

// cutNumber is the reverse of cutPlace.
func cutNumber(way int, k uint64) uint64 { return k*uint64(len(cutWays)) + uint64(way) + 1 }

func (w cutWay) path(dir string, file uint64) string {
	return filepath.Join(dir, fmt.Sprint(w.file, file))
}

// place is where the k-th record is.
func (w cutWay) place(k uint64) (file uint64, at int64) {
	return k / w.slots % w.files, int64(k%w.slots) * w.step
}

func (w cutWay) fileBytes() int64 { return int64(w.slots) * w.step }

// cutRecord is run u64, number u64, bytes that are those of no other record and
// cannot be packed, and crc u32 of all before.
func cutRecord(run, number uint64, size int) []byte {
	b := be.AppendUint64(be.AppendUint64(make([]byte, 0, size+8), run), number)
	for r := rand.NewPCG(run, number); len(b) < size-4; {
		b = be.AppendUint64(b, r.Uint64())
	}
	b = b[:size-4]
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// cutRecordNumber is the number of a record of this run; 0: there is none.
func cutRecordNumber(run uint64, b []byte) uint64 {
	end := len(b) - 4
	if be.Uint64(b) != run || be.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return 0
	}
	return be.Uint64(b[8:])
}

// appended is a log that grows, as an export does; two files take turns.
type appended struct {
	way cutWay
	dir string
	f   *os.File
}

func openAppended(w cutWay, dir string) (cutWriter, error) { return &appended{way: w, dir: dir}, nil }

func (a *appended) write(k uint64, record []byte) error {
	if k%a.way.slots == 0 {
		file, _ := a.way.place(k)
		if err := a.follow(a.way.path(a.dir, file)); err != nil {
			return err
		}
	}
	if _, err := a.f.Write(record); err != nil {
		return err
	}
	return syncData(a.f)
}

// follow begins a file whose name is as safe as what will be in it.
func (a *appended) follow(path string) error {
	if err := a.close(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	a.f = f
	return syncFolder(a.dir)
}

func (a *appended) close() error {
	if a.f == nil {
		return nil
	}
	defer func() { a.f = nil }()
	return a.f.Close()
}

// renamed replaces small files, as the guard does.
type renamed struct {
	way cutWay
	dir string
}

func openRenamed(w cutWay, dir string) (cutWriter, error) { return renamed{w, dir}, nil }

func (r renamed) write(k uint64, record []byte) error {
	file, _ := r.way.place(k)
	return keep(osFiles{}, r.way.path(r.dir, file), record)
}

func (renamed) close() error { return nil }

// preallocated writes over a file that has its blocks already, as the file of
// marks does.
type preallocated struct {
	way cutWay
	f   file
}

func openPreallocated(w cutWay, dir string) (cutWriter, error) {
	path := w.path(dir, 0)
	solid, err := (osFiles{}).solid(path, w.fileBytes())
	if err == nil && !solid {
		err = writeSynced(osFiles{}, path, make([]byte, w.fileBytes()))
	}
	if err != nil {
		return nil, err
	}
	f, err := (osFiles{}).edit(path)
	if err != nil {
		return nil, err
	}
	return &preallocated{w, f}, f.Sync()
}

func (p *preallocated) write(k uint64, record []byte) error {
	_, at := p.way.place(k)
	if _, err := p.f.WriteAt(record, at); err != nil {
		return err
	}
	return p.f.Sync()
}

func (p *preallocated) close() error { return p.f.Close() }
