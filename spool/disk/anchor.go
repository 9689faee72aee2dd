package disk

import (
	"path/filepath"
	"slices"

	badger "github.com/dgraph-io/badger/v4"
)

// Badger deletes a memtable's log as soon as its table is written, and cuts
// it to nothing before; but it does not sync the folder in between. Where only a
// sync of the folder makes a name durable, a power cut then leaves neither the
// table nor the log. And a compaction deletes the tables it has replaced, even where
// it could not write all of the new ones (tally.go).
//
// An iterator keeps the logs of all memtables and all the tables that there were
// when it began. So one is held at all times: the anchor. A new one is cast before
// each sync of the folder; older ones go when the names of what came since, and the
// copy of the manifest, are safe. While a compaction goes on none goes, and what is
// made and replaced in the meantime is kept by those that are cast in between.
//
// The same goes for value logs, which Badger deletes when no iterator is left.
type anchor struct {
	db   *badger.DB
	dir  string
	held []grip // the oldest first, never empty

	dead bool // there are value logs that Badger keeps because of the anchor
}

// grip is one iterator over everything.
type grip struct {
	txn *badger.Txn
	it  *badger.Iterator
}

func (g grip) close() {
	g.it.Close()
	g.txn.Discard()
}

func newAnchor(db *badger.DB, dir string) *anchor {
	a := &anchor{db: db, dir: dir}
	a.cast()
	return a
}

func (a *anchor) cast() {
	txn := a.db.NewTransaction(false)
	a.held = append(a.held, grip{txn, txn.NewIterator(badger.IteratorOptions{})})
}

// slip lets go of all that only older anchors hold.
func (a *anchor) slip() {
	last := len(a.held) - 1
	for _, g := range a.held[:last] {
		g.close()
	}
	a.held = append(a.held[:0], a.held[last])
}

func (a *anchor) close() {
	a.slip()
	a.held[0].close()
	a.held = nil
}

// lift lets go of everything for a moment, so that dead value logs can be
// deleted: it may only be called when nothing is compacted. While a memtable is
// being written, its log could go too, so it waits; held tells that the anchor may
// be the one that still holds such a log, as it was cast just before that was done.
func (a *anchor) lift() (held bool, err error) {
	if !a.dead || len(a.held) > 1 {
		return false, nil
	}
	mems, err := filepath.Glob(filepath.Join(a.dir, "*.mem"))
	if err != nil || len(mems) > 1 {
		return true, err
	}
	before, err := a.logs()
	if err != nil {
		return false, err
	}
	a.close()
	a.cast()
	after, err := a.logs()
	// Badger deletes all of them at once, when nobody else reads.
	a.dead = !slices.ContainsFunc(before, func(path string) bool { return !slices.Contains(after, path) })
	return false, err
}

func (a *anchor) logs() ([]string, error) {
	return filepath.Glob(filepath.Join(a.dir, "*.vlog"))
}
