package disk

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"

	"leveret/spool"
)

// A changed byte in a block of a table hides keys or ends the process, and
// Badger has no check that does neither. So all blocks are read before it opens;
// a table with a bad one is written anew from the others.

// tableBlock is Badger's size of blocks.
const tableBlock = 4 << 10

// withTable maps a table and gives it to do. Badger's reader panics at what it
// does not expect, and a file may end before its mapping does.
func withTable(path string, do func(*table.Table) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: table %s: %.100v", spool.ErrCorrupt, filepath.Base(path), r)
		}
	}()
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return fmt.Errorf("%w: table %s is empty", spool.ErrCorrupt, filepath.Base(path))
	}
	f, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("map table: %w", err)
	}
	defer f.Close(-1)
	t, err := table.OpenTable(f, table.Options{Compression: options.None, ChkMode: options.OnBlockRead, BlockSize: tableBlock})
	if err != nil {
		return fmt.Errorf("%w: table %s: %w", spool.ErrCorrupt, filepath.Base(path), err)
	}
	return do(t)
}

// verifyTable reads all blocks.
func verifyTable(path string) error {
	return withTable(path, func(t *table.Table) error {
		if err := t.VerifyChecksum(); err != nil {
			return fmt.Errorf("%w: %w", spool.ErrCorrupt, err)
		}
		return nil
	})
}

// goodKeys calls fn with the keys of all sound blocks of a table, in order. A
// bad block ends an iterator; so it begins anew at the first key of each.
func goodKeys(t *table.Table, fn func(key []byte, v y.ValueStruct)) {
	firsts := t.KeySplits(math.MaxInt, nil)
	for i, first := range firsts {
		it := t.NewIterator(0)
		for it.Seek([]byte(first)); it.Valid(); it.Next() {
			if i+1 < len(firsts) && y.CompareKeys(it.Key(), []byte(firsts[i+1])) >= 0 {
				break
			}
			if y.CompareKeys(it.Key(), []byte(first)) >= 0 {
				fn(it.Key(), it.Value())
			}
		}
		it.Close()
	}
}

// renewTable writes what is sound in the table from to the table to. The keys
// keep their versions. It reports false when nothing is.
func renewTable(from, to string) (any bool, err error) {
	b := table.NewTableBuilder(table.Options{
		Compression: options.None, ChkMode: options.NoVerification, BlockSize: tableBlock, TableSize: tableRenewed,
	})
	defer b.Close()
	err = withTable(from, func(t *table.Table) error {
		goodKeys(t, func(key []byte, v y.ValueStruct) {
			n := uint32(0)
			if v.Meta&metaPointer != 0 && len(v.Value) >= 12 {
				n = le.Uint32(v.Value[4:])
			}
			b.Add(key, v, n)
		})
		return nil
	})
	if err != nil || b.Empty() {
		return false, err
	}
	return true, keep(osFiles{}, to, b.Finish())
}

// tableRenewed is only a hint for the builder's first allocation.
const tableRenewed = 2 << 20
