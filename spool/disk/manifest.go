package disk

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// Badger's MANIFEST says which tables are the database. Badger deletes every
// table that it does not name, and believes a manifest that lost its end. So it
// is compared, before Badger sees it, with the tables that are there and with a
// copy of its meaning that is kept beside it.
//
// The file: 8 bytes of magic, then change sets, each u32 length, u32 CRC-32C,
// and a protocol buffer of tables created and deleted.

const (
	manifestName  = "MANIFEST"
	manifestMagic = 8
	// manifestMax bounds what is read; Badger rewrites the file long before.
	manifestMax = 16 << 20
)

type manifest struct {
	magic []byte
	live  map[uint64]*pb.ManifestChange // by table
	named map[uint64]*pb.ManifestChange // live, or deleted later: what made them, if it is known
	whole bool                          // was read to its end
	// marred: the header is not ours, but all behind it is right; see
	// manifest_header.go. magic is then as it must be.
	marred bool

	built   int // tables made by change sets that also delete: by compactions
	deleted int // by all of them
}

func newManifest() *manifest {
	return &manifest{live: make(map[uint64]*pb.ManifestChange), named: make(map[uint64]*pb.ManifestChange)}
}

// readManifest reads as much as is right. A file that is not there is empty.
func readManifest(path string) (*manifest, error) {
	m := newManifest()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if info.Size() > manifestMax {
		return m, nil // no manifest: Badger's are far smaller
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m.parse(b)
	return m, nil
}

func (m *manifest) parse(b []byte) {
	if len(b) < manifestMagic {
		return
	}
	m.marred = !bytes.Equal(b[:manifestMagic], manifestHeader())
	m.sets(b[manifestMagic:])
	if m.marred && (!m.whole || len(b) == manifestMagic) {
		*m = *newManifest() // no manifest
		return
	}
	m.magic = manifestHeader()
}

// sets reads the change sets.
func (m *manifest) sets(b []byte) {
	for len(b) >= 8 {
		n, sum := be.Uint32(b), be.Uint32(b[4:])
		if uint64(n) > uint64(len(b)-8) || crc32.Checksum(b[8:8+n], castagnoli) != sum {
			return
		}
		var set pb.ManifestChangeSet
		if proto.Unmarshal(b[8:8+n], &set) != nil {
			return
		}
		m.apply(set.Changes)
		b = b[8+n:]
	}
	m.whole = len(b) == 0
}

func (m *manifest) apply(set []*pb.ManifestChange) {
	made, deleted := 0, 0
	for _, c := range set {
		if c.Op == pb.ManifestChange_CREATE {
			m.live[c.Id], m.named[c.Id] = c, c
			made++
			continue
		}
		delete(m.live, c.Id)
		if _, ok := m.named[c.Id]; !ok {
			m.named[c.Id] = nil
		}
		deleted++
	}
	if m.deleted += deleted; deleted > 0 {
		m.built += made
	}
}

// state is what compactions have changed so far.
func (m *manifest) state() manifestState {
	s := manifestState{built: m.built, deleted: m.deleted}
	for id := range m.named {
		s.last = max(s.last, id)
	}
	return s
}

// newer counts the tables of compactions behind a number.
func (m *manifest) newer(last uint64) (n int) {
	for id, c := range m.live {
		if id > last && c.Level > 0 {
			n++
		}
	}
	return n
}

// level0 counts the tables that lie over each other.
func (m *manifest) level0() (n int) {
	for _, c := range m.live {
		if c.Level == 0 {
			n++
		}
	}
	return n
}

// encode writes the tables that are live as one change set.
func (m *manifest) encode() ([]byte, error) {
	var changes []*pb.ManifestChange
	for _, id := range m.tables() {
		changes = append(changes, m.live[id])
	}
	return m.encodeSet(changes)
}

func (m *manifest) encodeSet(changes []*pb.ManifestChange) ([]byte, error) {
	body, err := proto.Marshal(&pb.ManifestChangeSet{Changes: changes})
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	b := bytes.Clone(m.magic)
	b = be.AppendUint32(b, uint32(len(body)))
	b = be.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

func (m *manifest) tables() []uint64 {
	ids := make([]uint64, 0, len(m.live))
	for id := range m.live {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// copyManifest keeps the meaning of the manifest as it is at the end. Where there
// is no room for that there is no copy: no log would make good what an old one
// does not know.
func copyManifest(dir string) error {
	m, err := readManifest(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	if err = m.copyTo(dir); noRoom(err) {
		return dropManifestCopy(dir)
	}
	return err
}

func dropManifestCopy(dir string) error {
	err := os.Remove(guardFile(dir, manifestName))
	if err == nil {
		err = syncFolder(guardFile(dir, ""))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop copy of manifest: %w", err)
	}
	return nil
}

func (m *manifest) copyTo(dir string) error {
	if m.magic == nil {
		return nil
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	return keep(osFiles{}, guardFile(dir, manifestName), b)
}

// verdict is what to do about a manifest before Badger opens it.
type verdict int

const (
	trust   verdict = iota // Badger may have it
	restore                // the copy names exactly the tables that are there
	rebuild                // nobody knows: all tables that are there count
)

// judge compares what the manifest and its copy name with the tables that are
// there.
//
// A power cut may tear the manifest's last change off, and then the tables
// that it would have named are extra, and what they were made of is still
// there. But a table that the copy knows and the manifest has never heard of was
// once named: the manifest lost more than an unfinished change.
func judge(now, old *manifest, there map[uint64]bool) verdict {
	sound := now.magic != nil
	for id := range now.live {
		sound = sound && there[id]
	}
	for id := range old.live {
		if _, named := now.named[id]; there[id] && !named {
			sound = false
		}
	}
	// A change that fails its checksum with others behind it stops Badger.
	if sound && (now.whole || len(there) == len(now.live) || old.magic != nil) {
		return trust
	}
	if old.magic != nil && old.whole && len(old.live) == len(there) {
		same, newest := true, uint64(0)
		for id := range old.live {
			same, newest = same && there[id], max(newest, id)
		}
		for id := range now.live { // a lost one that the copy is too old for
			same = same && (there[id] || id < newest)
		}
		if same {
			return restore
		}
	}
	return rebuild
}

// spare reports a table that is not of the database: it was not finished when
// the power went, or others took its place. Badger cuts tables to nothing before it
// removes them. A manifest that lost its end knows nothing of some that its copy
// still names.
func (m *manifest) spare(id uint64, old *manifest) bool {
	_, named := m.named[id]
	return m.magic != nil && m.live[id] == nil && (named || old.live[id] == nil)
}

// back undoes compactions that nobody had counted when the process ended
// (tally.go): tables that they replaced are all there, as the copy names them, and
// what was written since is there too, as a table or as the log it is made of. It
// reports whether there was such a compaction.
func (m *manifest) back(old *manifest, there map[uint64]bool) bool {
	if m.magic == nil || old.magic == nil || !old.whole {
		return false
	}
	undo := false
	for id := range old.live {
		_, named := m.named[id]
		if !there[id] || !named {
			return false
		}
		undo = undo || m.live[id] == nil
	}
	if !undo {
		return false
	}
	m.live = maps.Clone(old.live)
	for id, c := range m.named {
		if _, known := old.named[id]; !known && c != nil && c.Level == 0 && there[id] {
			m.live[id] = c
		}
	}
	return true
}

// forget takes out the tables that were written when the power went: they are
// not there, the copy does not know them yet, and the logs they were made of are
// still there, as Badger may not delete those before the copy is made.
func (m *manifest) forget(old *manifest, there map[uint64]bool, logs int) {
	if old.magic == nil || logs == 0 {
		return
	}
	for id := range m.live {
		if _, known := old.named[id]; !there[id] && !known {
			delete(m.live, id)
			m.whole = false
		}
	}
}

// all makes a manifest of all tables that are there. They go to level 0, where
// tables may overlap; each key carries its version, so the newest still wins.
// Tables that a compaction had replaced can bring deleted keys back: messages
// may come twice, none is lost.
func all(there map[uint64]bool) *manifest {
	m := newManifest()
	m.magic = manifestHeader()
	for id := range there {
		m.live[id] = &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, Level: 0, EncryptionAlgo: pb.EncryptionAlgo_aes}
	}
	return m
}

// tablesIn lists the tables of a folder by their numbers.
func tablesIn(dir string) (map[uint64]bool, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	there := make(map[uint64]bool)
	for _, f := range list {
		name, ok := strings.CutSuffix(f.Name(), ".sst")
		if !ok {
			continue
		}
		if id, err := strconv.ParseUint(name, 10, 64); err == nil {
			there[id] = true
		}
	}
	return there, nil
}
