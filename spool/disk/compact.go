package disk

import (
	"errors"
	"fmt"
	"time"

	badger "github.com/dgraph-io/badger/v4"
)

// Badger compacts only when it is told to: by flush, which the writer calls and
// waits for, and by compact, which runs beside the writer. Each begins with hold and
// ends with prove, and in between nothing that is replaced goes (tally.go).

// heldMax bounds the anchors that pile up during a compaction. Each may hold a
// memtable. A commit that would add to more of them waits for the end, which comes:
// Badger goes on for as long as new tables do.
const heldMax = 8

// sound waits while a compaction's word is in the manifest and not proven, and says
// whether what was read from the database may be built upon. That takes no longer
// than putting new tables in the place of old ones.
func (e *badgerEngine) sound() error {
	if e.files.compacting && len(e.files.anchor.held) > heldMax {
		<-e.compacted
	}
	for {
		if err := e.latch.err(); err != nil {
			return err
		}
		open, proven, err := e.latch.tally.open()
		if err != nil || !open {
			return err
		}
		if e.files.compacting {
			select {
			case <-proven:
				continue
			case <-e.compacted:
			}
		}
		e.latch.prove() // or Badger has only written its manifest anew
	}
}

// settled says whether what was just written can be believed.
func (e *badgerEngine) settled(wrote int64) error {
	if err := e.latch.err(); err != nil {
		return err
	}
	if err := e.files.settle(wrote); err != nil || e.files.compacting {
		return err // the one anchor there is may be all that holds what is replaced
	}
	held, err := e.files.anchor.lift()
	e.files.owing = e.files.owing || held
	return err
}

// flush has Badger flush its memtable by dropping the prefix of a key that was
// just written: it offers no other way. That compacts too.
func (e *badgerEngine) flush(scratch []byte) error {
	if err := e.hold(); err != nil {
		return err
	}
	if err := e.db.DropPrefix(scratch); err != nil {
		return err
	}
	return e.prove()
}

// crowded reports whether there are so many tables over each other that they
// should be compacted. Badger does nothing before there are more than its number.
func (e *badgerEngine) crowded() bool { return e.files.level0 > e.opts.NumL0Tables }

// compacts is the size of all tables, those that still wait for a proof among them.
func (e *badgerEngine) compacts() int64 { return e.files.tabled() }

// hold begins a compaction: nothing that is replaced goes from now on. Older
// anchors go before, as Badger does not drop what was deleted after one was cast.
// Without a copy of the manifest there would be nothing to go back to.
func (e *badgerEngine) hold() error {
	e.files.anchor.cast()
	if err := e.settled(0); err != nil {
		return err
	}
	if e.files.behind {
		return fmt.Errorf("%w: not even the copy of the MANIFEST fits", errNoSpace)
	}
	time.Sleep(holdPause)
	e.files.compacting, e.compacted = true, make(chan struct{})
	return nil
}

// holdPause is for a goroutine of Badger's that takes note of what nobody reads any
// more: a compaction that begins before it has keeps what was deleted, next to its
// tombstones, where the next one may not come by. Nothing tells when it has.
const holdPause = 20 * time.Millisecond

// compact puts all tables into one level.
func (e *badgerEngine) compact() error {
	defer close(e.compacted)
	err := e.db.Flatten(1)
	e.latch.prove()
	return err
}

// prove ends a compaction: what was replaced may go when nothing is missing.
func (e *badgerEngine) prove() error {
	e.latch.prove()
	if err := e.latch.err(); err != nil {
		return err
	}
	e.files.compacting = false
	e.files.anchor.cast()
	return e.settled(0)
}

func (e *badgerEngine) sweeps() (int64, error) {
	_, live, err := mostDead(e.opts.Dir)
	return live, err
}

// sweep rewrites one value log file.
func (e *badgerEngine) sweep(dead []float64) (more bool, err error) {
	gc := badger.ErrNoRewrite
	for _, share := range dead {
		gc = e.files.pages.sweep(share, func() error { return e.db.RunValueLogGC(share) })
		if !errors.Is(gc, badger.ErrNoRewrite) {
			break
		}
	}
	if gc == nil {
		e.files.anchor.dead = true
		return true, e.settled(0)
	}
	if err := e.settled(measureEvery); err != nil {
		return false, err
	}
	if !errors.Is(gc, badger.ErrNoRewrite) {
		e.opts.Log.Warn("spool space was not won back", "dir", e.opts.Dir, "err", gc)
	}
	return false, nil
}
