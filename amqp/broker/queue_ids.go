package broker

import (
	"encoding/binary"
	"sync"

	"leveret/spool"
)

// queueIDs gives each queue an id that no queue ever had. So that this costs
// the disk little, ids are reserved a block at a time; what a block has left is
// lost at the next start.
type queueIDs struct {
	mu       sync.Mutex // protects the fields below
	newest   spool.QueueID
	reserved spool.QueueID
}

const idBlock = 1024

// seen tells of an id from before.
func (n *queueIDs) seen(id spool.QueueID) { n.newest = max(n.newest, id) }

// next gives the first of so many ids in a row, and reserves a block with the
// batch when one is needed.
func (n *queueIDs) next(count int, batch *spool.Batch) spool.QueueID {
	n.mu.Lock()
	defer n.mu.Unlock()
	first := n.newest + 1
	n.newest += spool.QueueID(count)
	if n.newest > n.reserved {
		batch.Puts = append(batch.Puts, n.reserve(n.newest))
	}
	return first
}

// reserve makes the record that ids up to a block beyond id may be in use.
func (n *queueIDs) reserve(id spool.QueueID) spool.Put {
	n.reserved = id + idBlock
	return spool.Put{
		Key:   definitionKey(kindIDs),
		Value: binary.AppendUvarint([]byte{definitionVersion}, uint64(n.reserved)),
	}
}
