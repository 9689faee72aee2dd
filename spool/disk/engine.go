package disk

import (
	"errors"
	"io"
	"time"
)

// ground is what a store stands on: files of its own, the volume they are on,
// and the engine that keeps keys and values. onDisk is the real one; tests put
// another in its place, whose power can be cut.
type ground interface {
	files
	// lock keeps other processes out of dir until it is closed.
	lock(dir string) (io.Closer, error)
	// volume tells how many bytes are free for us, and in all, where dir lies.
	volume(dir string) (free, total int64, err error)
	// boot tells one start of the machine from another.
	boot() string
	// wanted is how many bytes must be free to open the engine.
	wanted(o *Options) (int64, error)
	// mend puts right what would keep the engine from opening, or would make
	// it throw data away.
	mend(o *Options) (mended, error)
	open(o *Options) (engine, error)
}

// mended is what was found before the engine opened.
type mended struct {
	suspect bool // keys may be missing, or may be there that were deleted
	// chunks is how many bytes, beside keys and values, are kept for chunks,
	// those that were deleted and still wait for a compaction among them.
	chunks int64
}

// engine is an ordered store of keys and values. It belongs to the writer, but
// for now, used and fault; compact may run in another goroutine beside the rest.
type engine interface {
	// limits are those of one commit.
	limits() limits
	// commit makes all changes or none of them. When it returns nil they
	// survive a power cut. After an error nobody knows what is there.
	commit([]change) error
	// now is the state after the last commit. It must be closed, before the
	// engine is.
	now() moment

	// Space of deleted values comes back in three steps: flush, after a commit
	// of a key that begins with scratch and is lost, then a compaction, then sweep
	// until there is no more: of what is dead by one of these shares.
	flush(scratch []byte) error
	// A compaction is also wanted when the engine is crowded. The writer holds
	// all that there is, has compact run, whose error is no harm, and proves
	// that nothing is missing; an error of these two is the end, but for
	// errNoSpace of hold, and of flush. Only then it may flush or sweep again.
	crowded() bool
	// compacts is how many bytes a compaction would write.
	compacts() int64
	hold() error
	compact() error
	prove() error
	sweep(dead []float64) (more bool, err error)
	// sweeps is how many bytes the next sweep would write.
	sweeps() (int64, error)

	// remains calls fn with the chunks whose bytes are still there, deleted
	// ones too. They are valid during the call.
	remains(fn func(key, value []byte) error) error

	// used is what all files occupy, about; measure finds out anew. It also
	// syncs what the engine did by itself meanwhile.
	used() int64
	measure() error
	// rest gives memory back when it is time and says when to call it again;
	// zero is not before something was read or written.
	rest(now time.Time) (again time.Time, err error)
	// fault is an error that nobody was told of otherwise.
	fault() error
	// close ends the engine. sound says that no commit has failed.
	close(sound bool) error
}

// moment is an engine's state after one commit. It may be read from any
// goroutine.
type moment interface {
	// get calls fn with the value of key, valid during the call. It answers
	// errNoKey, or what fn answers. A nil fn only asks whether it is there.
	get(key []byte, fn func(value []byte) error) error
	// each calls fn with the keys that begin with prefix, in order and from
	// from on, until it answers false.
	each(prefix, from []byte, fn func(item) bool)
	// back looks for keys that begin with prefix from above. It belongs to one
	// goroutine.
	back(prefix []byte) backward
	close()
}

// backward finds keys from above. It must be closed before its moment.
type backward interface {
	// floor is the highest key at or below key, nil when there is none. It may
	// be one that was deleted: otherwise one look would pass through all the
	// deleted ones.
	floor(key []byte) []byte
	close()
}

// item is a key and its value. What it gives is valid until the next one.
type item interface {
	Key() []byte
	Value(fn func(value []byte) error) error
}

// limits bound what fits into one commit.
type limits struct {
	pointed int64 // values from this size on count nothing
	bytes   int64
	changes int64
}

var errNoKey = errors.New("no such key")

// valueOf is an item's value for good.
func valueOf(it item) (value []byte, err error) {
	err = it.Value(func(v []byte) error {
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// has reports whether a key is there.
func has(at moment, key []byte) (bool, error) {
	err := at.get(key, nil)
	if errors.Is(err, errNoKey) {
		return false, nil
	}
	return err == nil, err
}

// list calls fn with the keys of a class in order, until it answers an error.
func list(at moment, class byte, fn func(item) error) (err error) {
	at.each([]byte{class}, nil, func(it item) bool {
		err = fn(it)
		return err == nil
	})
	return err
}
