package disk

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// Logs of several memtables can be kept for longer than their tables were made, by
// an anchor or by a reader, and then go together, the newest first, or in the order
// in which a file system without one forgets names. What is cut short there may leave
// the older log alone. What it holds is in the tables, but what deleted it may be
// nowhere any more: the log that is gone had it, and the compaction that saw both left
// both out. Read once more the old log would bring messages back that had left.
//
// So a log goes before Badger sees it when the tables have come as far. Every group of
// records comes with a mark, memtables become tables in order and as a whole: when
// a table has a mark that is no older than the newest one of the log, then all of the
// log is in tables. That holds where the manifest names what it should; otherwise logs
// are what makes good for tables. Nor does it go for logs that were put back: what had
// outlived its tables was gone before they were held.

// outlived is a step of the mender.
func (m *mender) outlived() error {
	if !m.plain || m.suspect || m.again {
		return nil
	}
	logs, err := logsIn(m.dir, ".mem")
	if err != nil || len(logs) == 0 {
		return err
	}
	newest, err := m.newestMark()
	if err != nil || newest == 0 {
		return err
	}
	synced := false
	for _, path := range logs {
		last := uint64(0)
		if _, err := walkLog(path, func(r *logRecord) error {
			if len(r.key) == 1 && r.key[0] == classMark {
				last = max(last, r.version)
			}
			return nil
		}); err != nil {
			return err
		}
		if last == 0 || last > newest {
			continue
		}
		if !synced { // the tables' names first
			if err := syncFolder(m.dir); err != nil {
				return fmt.Errorf("sync spool folder: %w", err)
			}
			synced = true
		}
		m.log.Info("log of tables that are there removed", "file", filepath.Base(path))
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove log: %w", err)
		}
	}
	return nil
}

// newestMark is the version of the newest mark in the tables, 0 when there is none.
func (m *mender) newestMark() (newest uint64, err error) {
	now, err := readManifest(filepath.Join(m.dir, manifestName))
	if err != nil {
		return 0, err
	}
	for id := range now.live {
		err := withTable(filepath.Join(m.dir, tableName(id)), func(t *table.Table) error {
			it := t.NewIterator(table.NOCACHE)
			defer it.Close()
			it.Seek(y.KeyWithTs([]byte{classMark}, math.MaxUint64))
			if it.Valid() && string(y.ParseKey(it.Key())) == string(classMark) {
				newest = max(newest, y.ParseTs(it.Key()))
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return newest, nil
}
