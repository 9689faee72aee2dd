package disk

import (
	"bytes"
	"fmt"
)

// Badger can bring a deleted key back: rewriting a value log writes once more
// what it takes for alive, and a compaction that does not look at all tables of
// level 0 may drop a tombstone before what it hides. A chunk that is back holds what
// left long ago. It would take space for good, and if the index had to be made
// anew from the chunks, its messages would come twice.
//
// Recovery deletes chunks that no index entry refers to at each start. While the
// store runs they are looked for after value logs were rewritten, some keys between
// two commits: what is referred to then is known to the last chunk.
//
// A part of a redo list that is back would do worse: the next start would apply
// what was decided long ago. Between two commits there is none, so all that is found
// goes, before anything else.

// straysLook bounds the keys of one look.
const straysLook = 1000

// strays is the search. It belongs to the writer.
type strays struct {
	from  []byte // the next key; nil: nothing is to be done
	found int
}

func (s *strays) begin() { s.from, s.found = []byte{classChunk}, 0 }

// dropStrays does one step of the search.
func (c *committer) dropStrays() (more bool, err error) {
	s := &c.strays
	if s.from == nil {
		return false, nil
	}
	if wait, err := c.putOff(0); wait || err != nil {
		return false, err
	}
	if redo := c.lookForRedo(); len(redo) > 0 {
		if err := c.out.write(redo); err != nil {
			return false, fmt.Errorf("delete parts of a redo list that is done: %w", err)
		}
		c.opts.Log.Warn("parts of a redo list were back that had been deleted; they are deleted again", "dir", c.opts.Dir, "count", len(redo))
	}
	list, next := c.lookForStrays(s.from)
	if len(list) > 0 {
		if err := c.out.write(list); err != nil {
			return false, fmt.Errorf("delete chunks that nothing refers to: %w", err)
		}
		c.refresh(func() {})
		c.freedMore(int64(len(list)) * c.index.inline)
	}
	s.from = next
	if s.found += len(list); next == nil && s.found > 0 {
		c.opts.Log.Warn("chunks were back that had been deleted; they are deleted again", "dir", c.opts.Dir, "count", s.found)
	}
	return next != nil, nil
}

// lookForStrays lists the deletions of one step, and says where the next begins.
func (c *committer) lookForStrays(from []byte) (list []change, next []byte) {
	at := c.engine.now()
	defer at.close()
	seen := 0
	at.each([]byte{classChunk}, from, func(it item) bool {
		key := it.Key()
		if seen++; seen > straysLook {
			next = bytes.Clone(key)
			return false
		}
		if len(key) >= 9 && c.index.refs.get(be.Uint64(key[1:9]))&refCount == 0 {
			list = append(list, change{bytes.Clone(key), nil})
		}
		return true
	})
	return list, next
}

// freedMore notes bytes that a compaction can give back.
func (c *committer) freedMore(bytes int64) {
	c.janitor.freed += bytes
	if bytes > 0 && c.janitor.since.IsZero() {
		c.janitor.since = c.opts.Now()
	}
}

// lookForRedo lists the deletions of all parts of redo lists.
func (c *committer) lookForRedo() (list []change) {
	at := c.engine.now()
	defer at.close()
	at.each([]byte{classRedo}, nil, func(it item) bool {
		list = append(list, change{bytes.Clone(it.Key()), nil})
		return true
	})
	return list
}
