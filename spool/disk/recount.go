package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"

	"leveret/spool"
)

// Badger rewrites the value log that its file DISCARD says most dead bytes of, and
// counts there only when a compaction drops a key. What was counted is in a mapped
// file that nobody syncs: after a power cut it is old, and nobody would ever count
// again what no key leads to any more. Such logs would stay for good. Nor does
// Badger doubt what it reads there: one wrong bit in a count keeps every log, one
// in a number never lets it come to an end.
//
// So the file is written anew before Badger maps it. A byte of a value log is dead
// when no table and no log has a pointer to its record. Pointers of keys that were
// deleted count as alive: the compaction that drops them will count them. The sums
// are a few words for each value log, and the tables were just read anyway.

// discardBytes is the size that Badger gives the file; it trusts that it is no less.
const discardBytes = 1 << 20

// reached sums up the records that pointers lead to.
type reached struct {
	logs   map[uint64]int64 // bytes by value log
	chunks int64            // bytes of those that are chunks
}

func (r *reached) pointer(key, value []byte) {
	if len(value) < 12 {
		return
	}
	n := int64(le.Uint32(value[4:]))
	r.logs[uint64(le.Uint32(value))] += n
	if len(key) > 0 && key[0] == classChunk {
		r.chunks += n
	}
}

// recount is a step of the mender, when manifest and tables are as they will be.
func (m *mender) recount() error {
	if err := m.plainDiscard(); err != nil {
		return err
	}
	logs, err := valueLogs(m.dir)
	if err != nil || len(logs) == 0 {
		return err
	}
	r := reached{logs: make(map[uint64]int64)}
	if err := m.reach(&r); err != nil {
		return fmt.Errorf("count what is dead: %w", err)
	}
	m.chunks = r.chunks
	var entries []byte
	for _, l := range logs { // in order, as Badger searches it
		if dead := l.filled - logHeader - r.logs[l.number]; dead > 0 {
			entries = be.AppendUint64(be.AppendUint64(entries, l.number), uint64(dead))
		}
	}
	err = writeDiscard(filepath.Join(m.dir, discardName), append(entries, make([]byte, discardEntry)...))
	if noRoom(err) { // then what it says costs time, or space
		m.log.Warn("dead bytes of value logs were not counted anew", "err", err)
		return nil
	}
	return err
}

// plainDiscard takes out what is no file.
func (m *mender) plainDiscard() error {
	info, err := os.Lstat(filepath.Join(m.dir, discardName))
	if err == nil && !info.Mode().IsRegular() {
		m.log.Warn("what is no file was set aside; nothing is lost", "file", discardName)
		return m.setAside(discardName)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at counts of dead bytes: %w", err)
	}
	return nil
}

// reach follows the pointers of all tables that are of the database, and of all logs.
func (m *mender) reach(r *reached) error {
	now, err := readManifest(filepath.Join(m.dir, manifestName))
	if err != nil {
		return err
	}
	there, err := tablesIn(m.dir)
	if err != nil {
		return err
	}
	for id := range now.live {
		if !there[id] {
			continue
		}
		err := withTable(filepath.Join(m.dir, tableName(id)), func(t *table.Table) error {
			it := t.NewIterator(table.NOCACHE)
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				if v := it.Value(); v.Meta&metaPointer != 0 {
					r.pointer(y.ParseKey(it.Key()), v.Value)
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, spool.ErrCorrupt) { // what is damaged was told
			return err
		}
	}
	mems, err := logsIn(m.dir, ".mem")
	if err != nil {
		return err
	}
	for _, path := range mems {
		if _, err := walkLog(path, func(l *logRecord) error {
			if l.pointer {
				r.pointer(l.key, l.value)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

type valueLog struct {
	number uint64
	filled int64
}

// valueLogs lists them by their numbers.
func valueLogs(dir string) (list []valueLog, err error) {
	paths, err := logsIn(dir, ".vlog")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".vlog"), 10, 32)
		if err != nil {
			continue // Badger will say what it thinks of it
		}
		size, err := filled(path)
		if err != nil {
			return nil, fmt.Errorf("look at value log: %w", err)
		}
		list = append(list, valueLog{n, size})
	}
	return list, nil
}

// filled is the size of a file without the hole at its end: one that was being
// written when the power went is twice as large as it will be.
func filled(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	at, told, err := nextHole(f, 0)
	if err != nil || !told {
		return info.Size(), err
	}
	return at, nil
}

// writeDiscard writes the entries when they are not there already. It does not
// sync them: the next start counts again.
func writeDiscard(path string, entries []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write counts of dead bytes: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() < discardBytes {
		err = f.Truncate(discardBytes)
	}
	was := make([]byte, len(entries))
	if err == nil {
		_, err = f.ReadAt(was, 0)
	}
	if err == nil && !bytes.Equal(was, entries) {
		_, err = f.WriteAt(entries, 0)
	}
	if err != nil {
		return fmt.Errorf("write counts of dead bytes: %w", err)
	}
	return nil
}
