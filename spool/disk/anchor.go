package disk

import (
	"fmt"
	"os"
	"path/filepath"

	badger "github.com/dgraph-io/badger/v4"
)

// Badger deletes a memtable's log as soon as its table is written, and cuts
// it to nothing before; but it does not sync the folder in between. Where only a
// sync of the folder makes a name durable, a power cut then leaves neither the
// table nor the log. An iterator keeps the logs of all memtables that there were
// when it began, so one is held at all times: the anchor. It moves with each sync of
// the folder.
//
// The same goes for value logs, which Badger deletes when no iterator is left.
type anchor struct {
	db  *badger.DB
	dir string
	txn *badger.Txn
	it  *badger.Iterator

	dead int // value logs that Badger keeps because of the anchor
}

func newAnchor(db *badger.DB, dir string) *anchor {
	a := &anchor{db: db, dir: dir}
	a.cast()
	return a
}

func (a *anchor) cast() {
	a.txn = a.db.NewTransaction(false)
	// No table has keys with this prefix, so that none is held.
	a.it = a.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{classScratch, classScratch}})
}

func (a *anchor) close() {
	a.it.Close()
	a.txn.Discard()
}

// move syncs the folder and lets go of the logs whose tables were there before.
func (a *anchor) move(sync func() error) error {
	old := *a
	a.cast()
	if err := sync(); err != nil {
		a.close()
		a.txn, a.it = old.txn, old.it
		return err
	}
	old.close()
	return nil
}

// lift lets go of everything for a moment, so that dead value logs can be
// deleted. While a memtable is being written, its log could go too, so it waits.
func (a *anchor) lift() error {
	if a.dead == 0 {
		return nil
	}
	mems, err := filepath.Glob(filepath.Join(a.dir, "*.mem"))
	if err != nil || len(mems) > 1 {
		return err
	}
	before, err := a.logs()
	if err != nil {
		return err
	}
	a.close()
	a.cast()
	after, err := a.logs()
	a.dead -= min(a.dead, before-after)
	return err
}

func (a *anchor) logs() (n int, err error) {
	list, err := os.ReadDir(a.dir)
	if err != nil {
		return 0, fmt.Errorf("look for value logs: %w", err)
	}
	for _, f := range list {
		if filepath.Ext(f.Name()) == ".vlog" {
			n++
		}
	}
	return n, nil
}
