package disk

import (
	"bytes"
	"fmt"
)

// salvage brings back the chunks whose keys were in a table that is lost. The
// value logs hold them with their keys. Chunks that were deleted since come back
// too, as long as their log was not rewritten: messages may come twice.
func (r *recovery) salvage() error {
	if !r.suspect {
		return nil
	}
	found := 0
	err := r.s.engine.remains(func(key, value []byte) error {
		if there, err := has(r.at, key); there || err != nil {
			return err
		}
		found++
		r.changes.set(bytes.Clone(key), bytes.Clone(value))
		return r.flush(salvageChunks)
	})
	if err == nil {
		err = r.flush(0)
	}
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	if found > 0 {
		r.s.tell(troubleTables, fmt.Sprintf("%d chunks were brought back from the value logs; messages may come twice", found))
		r.at.close()
		r.at = r.s.engine.now()
	}
	return nil
}

// salvageChunks bounds the chunks in memory while they are brought back.
const salvageChunks = 4
