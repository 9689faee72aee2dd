package disk

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"
)

// onDisk is the real ground: the file system, and Badger in the spool's folder.
type onDisk struct{ osFiles }

func (onDisk) lock(dir string) (io.Closer, error)               { return takeLock(dir) }
func (onDisk) volume(dir string) (free, total int64, err error) { return volume(dir) }
func (onDisk) boot() string                                     { return bootID() }

func (onDisk) wanted(o *Options) (int64, error) { return o.wanted() }

func (onDisk) mend(o *Options) (mended, error) {
	m := mender{dir: o.Dir, log: o.Log, tell: o.tell, room: o.spare}
	err := m.run()
	return mended{suspect: m.suspect, chunks: m.chunks}, err
}

func (onDisk) open(o *Options) (engine, error) {
	e := &badgerEngine{latch: &latch{log: o.Log, tally: tally{dir: o.Dir}}, opts: o}
	b := badgerOptions(o, e.latch)
	var err error
	if b.MemTableSize, err = o.memTableSize(); err != nil {
		return nil, err
	}
	if e.db, err = badger.Open(b); err != nil {
		return nil, err
	}
	if err = e.latch.err(); err == nil {
		err = e.latch.tally.begin()
	}
	if err == nil {
		e.files, err = openFolder(o.Dir, o.Log)
	}
	if err == nil {
		e.files.pages.dir, e.files.pages.limit = o.Dir, o.ResidentMax
		e.files.anchor = newAnchor(e.db, o.Dir)
	}
	if err == nil {
		err = e.files.settle(measureEvery)
	}
	if err == nil && e.files.behind { // Badger has used the logs up
		err = dropManifestCopy(o.Dir)
	}
	if err == nil {
		err = letGo(o.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, e.close(false))
	}
	return e, nil
}

// magic marks Badger folders of this product.
const magic = 0x6c76

func badgerOptions(o *Options, l badger.Logger) badger.Options {
	b := badger.DefaultOptions(o.Dir).
		WithLogger(l).
		WithSyncWrites(!o.NoSync). // the promise itself
		WithMemTableSize(o.MemTableSize).
		WithNumMemtables(o.NumMemtables).
		WithNumLevelZeroTables(o.NumL0Tables).
		WithNumLevelZeroTablesStall(math.MaxInt32). // nobody would end it but the writer that waits
		WithBaseTableSize(o.BaseTableSize).
		WithBaseLevelSize(o.BaseLevelSize).
		WithValueLogFileSize(o.ValueLogFileSize).
		WithValueThreshold(o.ValueThreshold).
		WithBlockCacheSize(0).
		WithIndexCacheSize(o.IndexCacheSize).
		WithCompression(badgeroptions.None).
		WithNumCompactors(0). // we say when, see compact.go
		WithNumGoroutines(2).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithBloomFalsePositive(0).
		WithNumVersionsToKeep(1).
		// Badger's own checks hide data instead of naming it (a bad block ends
		// an iterator without an error); everything here has a checksum of its own.
		WithChecksumVerificationMode(badgeroptions.NoVerification)
	b.ExternalMagicVersion = magic
	return b
}

// badgerEngine is Badger, with what makes its answers true.
type badgerEngine struct {
	opts  *Options
	db    *badger.DB
	latch *latch
	files *folder

	compacted chan struct{} // closed when the compaction that was held for has ended

	rested time.Time // the last time; the writer's, as seen is
	seen   int64     // bytes moved when memory was last looked at
}

func (e *badgerEngine) limits() limits {
	return limits{
		pointed: e.db.Opts().ValueThreshold,
		bytes:   e.db.MaxBatchSize() - 1<<10,
		changes: e.db.MaxBatchCount() - 8,
	}
}

// commit returns nil only when the changes are there: synced, nothing in
// Badger's log says otherwise (a failed sync of the value log is reported
// nowhere else), and the names of new files synced.
func (e *badgerEngine) commit(list []change) error {
	if len(list) == 0 {
		return nil
	}
	if err := e.sound(); err != nil {
		return err
	}
	txn := e.db.NewTransaction(true)
	defer txn.Discard()
	size := 0
	for _, c := range list {
		var err error
		if c.value == nil {
			err = txn.Delete(c.key)
		} else {
			err = txn.Set(c.key, c.value)
		}
		if err != nil {
			return fmt.Errorf("stage key %.16x of %d bytes: %w", c.key, len(c.value), err)
		}
		size += len(c.key) + len(c.value)
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	if err := e.settled(int64(size)); err != nil {
		return err
	}
	return e.files.ahead.pave(newWriter(e).logged(list))
}

func (e *badgerEngine) now() moment { return &badgerMoment{e.db.NewTransaction(false), e.files} }

// remains reads the value logs, which hold chunks with their keys.
func (e *badgerEngine) remains(fn func(key, value []byte) error) error {
	logs, err := logsIn(e.opts.Dir, ".vlog")
	if err != nil {
		return err
	}
	for _, path := range logs {
		_, err := walkLog(path, func(r *logRecord) error {
			if len(r.key) < 9 || r.key[0] != classChunk || r.deleted {
				return nil
			}
			return fn(r.key, r.value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *badgerEngine) used() int64  { return e.files.used() }
func (e *badgerEngine) fault() error { return e.latch.err() }

func (e *badgerEngine) measure() error {
	if err := e.files.settle(0); err != nil {
		return err
	}
	return e.files.measure()
}

// restEvery is how often files and memory are looked at during work.
const restEvery = time.Second

// rest looks again at a folder in which Badger was at work, so that nothing
// is held for long, and keeps resident memory in its bound: now and then during
// work, and whenever half of the bound has gone through the files.
func (e *badgerEngine) rest(now time.Time) (again time.Time, err error) {
	limit, moved := e.opts.ResidentMax, e.files.pages.moved.Load()
	at := e.rested.Add(restEvery)
	if at.After(now) && (limit <= 0 || moved-e.seen < limit/2) {
		if e.files.pending() || limit > 0 && moved != e.seen {
			return at, nil
		}
		return time.Time{}, nil
	}
	e.rested = now
	if e.files.pending() {
		if err = e.settled(0); e.files.pending() {
			again = now.Add(restEvery)
		}
	}
	if limit > 0 && moved != e.seen {
		pageOut(e.opts.Dir, limit)
		e.seen = moved
	}
	return again, err
}

// close leaves Badger nothing to flush, because then nothing would hold its log.
func (e *badgerEngine) close(sound bool) error {
	var err error
	if sound {
		scratch := []byte{classScratch}
		if err = e.commit([]change{{scratch, scratch}}); err == nil {
			err = e.flush(scratch)
		}
	}
	// Otherwise the anchors keep what they hold for the next start.
	if err == nil && sound {
		e.files.anchor.close()
	}
	err = errors.Join(err, e.closeBadger())
	if e.files != nil {
		err = errors.Join(err, e.files.close())
	}
	if err == nil {
		err = e.latch.err()
	}
	if err == nil && sound {
		err = copyManifest(e.opts.Dir)
	}
	return err
}

// badgerMoment is a transaction that only reads.
type badgerMoment struct {
	txn   *badger.Txn
	files *folder
}

func (m *badgerMoment) get(key []byte, fn func([]byte) error) error {
	it, err := m.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return errNoKey
	}
	if err != nil || fn == nil {
		return err
	}
	return it.Value(func(v []byte) error {
		return m.files.pages.read(v, fn)
	})
}

func (m *badgerMoment) each(prefix, from []byte, fn func(item) bool) {
	it := m.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(from); it.Valid() && fn(it.Item()); it.Next() {
	}
}

func (m *badgerMoment) back(prefix []byte) backward {
	o := badger.IteratorOptions{Reverse: true, AllVersions: true, Prefix: prefix}
	return badgerBackward{m.txn.NewIterator(o)}
}

func (m *badgerMoment) close() { m.txn.Discard() }

type badgerBackward struct{ it *badger.Iterator }

func (b badgerBackward) floor(key []byte) []byte {
	if b.it.Seek(key); !b.it.Valid() {
		return nil
	}
	return b.it.Item().KeyCopy(nil)
}

func (b badgerBackward) close() { b.it.Close() }
