package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"leveret/spool"
)

// mender looks at the files before Badger does and puts right what would keep
// it from opening, or would make it throw data away. What it takes out goes to
// the quarantine.
type mender struct {
	dir  string
	log  *slog.Logger
	tell func(name, text string)
	// suspect: tables are missing or may be too many, so the index has to be
	// compared with what the chunks say.
	suspect bool
	// plain: the manifest is as Badger left it, whole, and names what is there.
	plain bool
	// again: logs were put back that an opening had held.
	again bool
	// chunks is how many bytes the chunks have that keys lead to, deleted ones too.
	chunks int64
	// room is how many bytes may be written, besides what Badger needs to open;
	// nil is enough.
	room func() (int64, error)
}

func (m *mender) run() error {
	for _, step := range []func() error{m.ours, m.putBack, m.empty, m.keys, m.tables, m.manifest, m.outlived, m.recount, m.hold} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// empty removes what a power cut leaves behind: empty files, which would keep Badger
// from opening, and tables that were being renewed.
func (m *mender) empty() error {
	list, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("look into spool: %w", err)
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil {
			return fmt.Errorf("look into spool: %w", err)
		}
		name := f.Name()
		ext := filepath.Ext(strings.TrimSuffix(name, ".new"))
		if !info.Mode().IsRegular() || ext != renewedExt &&
			(info.Size() > 0 || ext != ".mem" && ext != ".vlog" && name != registryName) {
			continue
		}
		m.log.Warn("empty or unfinished spool file removed", "file", name)
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
			return fmt.Errorf("remove unfinished spool file: %w", err)
		}
	}
	return nil
}

// registryText ends Badger's registry of keys, where nothing is encrypted: u128
// random, text.
const (
	registryName = "KEYREGISTRY"
	registryText = "Hello Badger"
	registrySize = 16 + len(registryText)
)

// keys takes a damaged registry out: Badger would not open, and makes a new one
// when there is none. It holds no keys here.
func (m *mender) keys() error {
	b, err := os.ReadFile(filepath.Join(m.dir, registryName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check registry of keys: %w", err)
	}
	if len(b) == registrySize && strings.HasSuffix(string(b), registryText) {
		return nil
	}
	m.log.Warn("damaged spool file set aside; nothing is lost", "file", registryName)
	return m.setAside(registryName)
}

// tables takes out every table that would end the process: Badger opens them in
// goroutines of its own, where a bad end of a file is a panic.
func (m *mender) tables() error {
	there, err := tablesIn(m.dir)
	if err != nil {
		return err
	}
	now, old, _, err := m.manifests(there)
	if err != nil {
		return err
	}
	for id := range there {
		name := tableName(id)
		path := filepath.Join(m.dir, name)
		err := checkTable(path)
		if err == nil {
			err = verifyTable(path)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, spool.ErrCorrupt) {
			return err
		}
		if now.spare(id, old) {
			m.log.Info("unfinished or replaced table removed", "file", name)
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove table: %w", err)
			}
			continue
		}
		m.suspect = true
		m.tell(troubleTables, fmt.Sprintf("table %s is damaged; the index is repaired, and messages may come twice", name))
		if err := m.renew(name); err != nil {
			return err
		}
	}
	return nil
}

// renewedExt ends the name of a table that is being renewed.
const renewedExt = ".renewed"

// renew sets a damaged table aside and puts what is sound of it in its place. There
// is one at every moment: without room for the new one the old one stays.
func (m *mender) renew(name string) error {
	path := filepath.Join(m.dir, name)
	next := path + renewedExt
	any, err := renewTable(path, next)
	if err != nil && !errors.Is(err, spool.ErrCorrupt) {
		return err
	}
	if !any {
		m.log.Warn("nothing of a damaged table could be saved", "file", name, "err", err)
		return m.setAside(name)
	}
	if err := m.alsoAside(name); err != nil {
		return err
	}
	if err = os.Rename(next, path); err == nil {
		err = syncFolder(m.dir)
	}
	if err != nil {
		return fmt.Errorf("renew table: %w", err)
	}
	return nil
}

// alsoAside gives a file a second name in the quarantine. A file system that has
// no second names moves it.
func (m *mender) alsoAside(name string) error {
	to := filepath.Join(m.dir, quarantineName, name)
	err := os.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = os.Remove(to) // one of an earlier time
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Link(filepath.Join(m.dir, name), to)
	}
	if err != nil {
		return m.setAside(name)
	}
	return nil
}

// setAside moves a file into the quarantine.
func (m *mender) setAside(name string) error {
	to := filepath.Join(m.dir, quarantineName)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("make quarantine: %w", err)
	}
	if err := os.Rename(filepath.Join(m.dir, name), filepath.Join(to, name)); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	return nil
}

// checkTable verifies the end of a table, from which Badger finds all else:
// index, u32 its length, checksum, u32 its length.
func checkTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check table: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("check table: %w", err)
	}
	at := info.Size()
	before := func(n int64) ([]byte, error) {
		if at -= n; at < 0 || n > manifestMax {
			return nil, fmt.Errorf("%w: table %s ends too early", spool.ErrCorrupt, info.Name())
		}
		b := make([]byte, n)
		if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("check table: %w", err)
		}
		return b, nil
	}
	var parts [2][]byte // checksum, index
	for i := range parts {
		b, err := before(4)
		if err == nil {
			parts[i], err = before(int64(be.Uint32(b)))
		}
		if err != nil {
			return err
		}
	}
	var sum pb.Checksum
	if proto.Unmarshal(parts[0], &sum) != nil || len(parts[1]) == 0 ||
		sum.Algo > pb.Checksum_XXHash64 || y.VerifyChecksum(parts[1], &sum) != nil {
		return fmt.Errorf("%w: index of table %s fails its checksum", spool.ErrCorrupt, info.Name())
	}
	return nil
}

// manifests reads Badger's and its copy. back tells that compactions were taken
// back in what Badger's says.
func (m *mender) manifests(there map[uint64]bool) (now, old *manifest, back bool, err error) {
	if now, err = readManifest(filepath.Join(m.dir, manifestName)); err != nil {
		return nil, nil, false, err
	}
	if old, err = readManifest(guardFile(m.dir, manifestName)); err != nil {
		return nil, nil, false, err
	}
	// Versions before this one let Badger cut what the copy still names.
	kept := maps.Clone(there)
	for id := range there {
		if info, err := os.Stat(filepath.Join(m.dir, tableName(id))); err == nil && info.Size() == 0 {
			delete(kept, id)
		}
	}
	return now, old, now.back(old, kept), nil
}

func tableName(id uint64) string { return fmt.Sprintf("%06d.sst", id) }

// manifest makes Badger believe what is true.
func (m *mender) manifest() error {
	path := filepath.Join(m.dir, manifestName)
	there, err := tablesIn(m.dir)
	if err != nil {
		return err
	}
	now, old, back, err := m.manifests(there)
	if err != nil {
		return err
	}
	if now.magic == nil && len(there) == 0 && !m.suspect {
		return m.noManifest(path)
	}
	logs, err := logsIn(m.dir, ".mem") // the empty ones are gone
	if err != nil {
		return err
	}
	now.forget(old, there, len(logs))
	var right *manifest
	switch judge(now, old, there) {
	case trust:
		switch {
		case back:
			m.log.Info("a compaction that was not finished is done once more")
		case now.marred:
			return m.newHeader(path)
		case now.whole:
			m.plain = true
			return nil
		default:
			m.log.Warn("unfinished change of the spool's MANIFEST removed")
		}
		right = now
	case restore:
		m.tell(troubleTables, "the MANIFEST was damaged and restored from its copy; nothing is lost")
		right = old
	case rebuild:
		m.suspect = true
		m.tell(troubleTables, fmt.Sprintf("the MANIFEST was damaged and made anew from %d tables; messages may come twice", len(there)))
		right = all(there)
	}
	b, err := right.encode()
	if err != nil {
		return err
	}
	return m.replace(path, b)
}

// noManifest is the start of a new spool, or of one that has no table yet.
func (m *mender) noManifest(path string) error {
	err := os.Remove(path) // Badger refuses an empty one
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove empty manifest: %w", err)
	}
	return nil
}

// replace writes the manifest and keeps the damaged one. There is one at every
// moment.
func (m *mender) replace(path string, b []byte) error {
	damaged, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read manifest: %w", err)
	}
	if len(damaged) > 0 {
		err := keep(osFiles{}, filepath.Join(m.dir, quarantineName, manifestName), damaged)
		if noRoom(err) { // it is only evidence
			m.log.Warn("damaged MANIFEST was not kept", "err", err)
		} else if err != nil {
			return err
		}
	}
	return keep(osFiles{}, path, b)
}
