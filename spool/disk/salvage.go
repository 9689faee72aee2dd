package disk

import (
	"errors"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"
)

// salvage brings back the chunks whose keys were in a table that is lost. The
// value logs hold them with their keys. Chunks that were deleted since come back
// too, as long as their log was not rewritten: messages may come twice.
func (r *recovery) salvage() error {
	if !r.suspect {
		return nil
	}
	logs, err := logsIn(r.s.opts.Dir, ".vlog")
	if err != nil {
		return err
	}
	found := 0
	for _, path := range logs {
		_, err := walkLog(path, func(rec *logRecord) error {
			if len(rec.key) < 9 || rec.key[0] != classChunk || rec.deleted {
				return nil
			}
			_, err := r.txn.Get(rec.key)
			if !errors.Is(err, badger.ErrKeyNotFound) {
				return err
			}
			found++
			key, value := append([]byte(nil), rec.key...), append([]byte(nil), rec.value...)
			r.changes.set(key, value)
			return r.flush(salvageChunks)
		})
		if err != nil {
			return fmt.Errorf("salvage: %w", err)
		}
	}
	if err := r.flush(0); err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	if found > 0 {
		r.s.tell(troubleTables, fmt.Sprintf("%d chunks were brought back from the value logs; messages may come twice", found))
		r.txn.Discard()
		r.txn = r.s.db.NewTransaction(false)
	}
	return nil
}

// salvageChunks bounds the chunks in memory while they are brought back.
const salvageChunks = 4
