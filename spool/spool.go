// Package spool is the contract of leveret's durable log: what the broker may
// ask of a disk and what it may believe afterwards.
//
// The log holds three things: messages (records) that entered one or more
// queues and have not left them all, definitions (small named values), and
// nothing else. Changes are staged by Append, which returns at once with the
// change's LSN; one writer turns everything staged into one synced write, a
// group commit, and moves the watermark. What is at or below the watermark is
// on the flash. Whoever promises something to a peer waits for that.
//
// ErrFull is weather: the budget is spent, or the volume has no room for the
// batch now; nothing of it was taken, and it may be tried again when Room says
// so, or a little later when Room says nothing. ErrLarge is a mistake of the
// asker: the batch could not be written even if nothing else was there, nothing
// of it was taken, and trying again is of no use. ErrFailed is the end: a write
// or a sync failed, nobody knows what the disk holds, no promise is ever given
// again by this log; the process ends and the next start reads what is there.
//
// What was taken can be written: together with all that waits before it, it had
// room when it was taken. When the room goes away afterwards, because somebody
// else fills the volume, the watermark stays where it is until there is room
// again, and then goes on in order, batch by batch if there is only room for that.
//
// A change that was undone before its group was written never reaches the disk:
// a message that left all its queues in time costs nothing, and its LSN becomes
// durable all the same.
//
// Two logs keep this contract: spool/disk (Badger) and spool/mem (for tests);
// spool/spooltest is the suite that both pass.
package spool

import "errors"

// LSN numbers the appended batches of one log, from 1, without gaps. 0 stands
// for "needs no disk" and is durable from the start. LSNs start anew at each
// open.
type LSN uint64

// QueueID names a queue for ever: ids are not used again.
type QueueID uint32

// Pos is a message's place in one queue. The broker gives positions in rising
// order; they may have gaps, and they are not used again while anything of the
// queue is stored.
type Pos uint64

var (
	// ErrFull: the budget is spent, or there is no room for the batch now.
	// Nothing of it was taken. Only batches with Enters are refused; leaving
	// frees space.
	ErrFull = errors.New("spool is full")
	// ErrLarge: the batch can never be taken. Nothing of it was. Wrapped with
	// what is too large, and how much is possible. Any batch may be, Moves too:
	// who makes large ones of small changes makes several instead. It comes
	// before ErrFull: who is told to wait does not wait in vain.
	ErrLarge = errors.New("more than the spool can ever take at once")
	// ErrFailed: the log failed for good. Wrapped around the cause.
	ErrFailed = errors.New("spool failed")
	// ErrCorrupt: a stored record did not read back as it was written.
	ErrCorrupt = errors.New("spool record is damaged")
	// ErrNewer: the folder was written by a newer version.
	ErrNewer = errors.New("spool is of a newer version")
	// ErrLocked: another process uses the folder.
	ErrLocked = errors.New("spool is in use")
)

// Record is a message as the log sees it. The log keeps the value until the
// record is written, and may answer Read with it; it is immutable.
type Record interface {
	// AppendTo appends the stored form, which Item.Data later gives back.
	AppendTo(dst []byte) []byte
	// Size is about how many bytes AppendTo will add. Bytes of queues are
	// counted by Enter.Size instead.
	Size() int
}

// Dest is one queue that a record enters.
type Dest struct {
	Queue QueueID
	Pos   Pos
}

// Enter puts a record into queues. The stored body is shared by all of them.
type Enter struct {
	Record Record
	Size   int // payload bytes, for Depth.Bytes
	To     []Dest
	// Priority, 0 to 9, decides how much of the budget's reserve the message may
	// use when the rest is spent.
	Priority uint8
	// Volatile records may be written (to save memory) but are gone after the
	// next open: transient messages that did not fit into memory.
	Volatile bool
}

// Leave takes a message out of one queue: it was acknowledged, dropped,
// expired or moved.
type Leave struct {
	Queue QueueID
	Pos   Pos
	Size  int // as in its Enter
}

// Put sets the definition Key to Value; a nil Value deletes it.
type Put struct {
	Key   string
	Value []byte
}

// Minor begins the keys of definitions that change often and can be done
// without. A log may keep others twice; these it keeps once.
const Minor = "~"

// Batch is a set of changes that becomes durable as a whole or not at all. It
// is applied in the order of its fields. The log keeps the slices' elements,
// not the slices: the caller may reuse a batch after Append, but not the To
// slices, Records and Values in it.
type Batch struct {
	Enters []Enter
	Leaves []Leave
	Puts   []Put
	// Moves: the Enters take the place of messages that leave or have a right
	// to enter, so that they are never refused as ErrFull.
	Moves bool
	// Purges empty stretches of queues, what is staged for them included.
	Purges []Purge
}

// Purge takes everything that is stored for the queue at From to To, both
// included, out of it. A deleted queue is purged from 0 to MaxPos.
type Purge struct {
	Queue    QueueID
	From, To Pos
}

// MaxPos is beyond every position.
const MaxPos = ^Pos(0)

// Empty reports whether there is nothing to append.
func (b *Batch) Empty() bool {
	return len(b.Enters) == 0 && len(b.Leaves) == 0 && len(b.Puts) == 0 && len(b.Purges) == 0
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Enters)
	clear(b.Puts)
	*b = Batch{Enters: b.Enters[:0], Leaves: b.Leaves[:0], Puts: b.Puts[:0], Purges: b.Purges[:0]}
}

// Item is one message read back: Live when it is still in memory, else Data as
// AppendTo wrote it, or Err (ErrCorrupt wrapped) when it cannot be read; such
// an item still has its place and can leave. Data belongs to the caller.
type Item struct {
	Pos  Pos
	Live Record
	Data []byte
	Err  error
}

// Depth tells what an opened log holds of one queue.
type Depth struct {
	Queue QueueID
	Count int
	Bytes int64
	First Pos // of the stored ones
	Last  Pos
}

// Stats are figures for operators. Counters count since open.
type Stats struct {
	DiskBytes   int64  // allocated on the disk
	BudgetBytes int64  // 0: none
	Records     int64  // messages in queues, staged ones included; a fan-out counts in each
	StagedBytes int64  // appended, not yet durable
	Commits     uint64 // group commits that wrote
	Skipped     uint64 // records that were gone before they were written
	Written     uint64 // records written
	BytesIn     uint64 // bytes handed to the store, before its own overhead
	SyncNanos   uint64 // time spent in commits
	Corrupt     uint64 // records found damaged
	Lost        uint64 // records that were durable before this open and are not there
	Quarantined uint64 // damaged pieces that were kept aside
}

// Log is the durable log. All methods may be called from any goroutine; Append
// and Durable never wait for the disk, Read may.
type Log interface {
	// Append stages a batch and returns its LSN, ErrFull, ErrLarge or ErrFailed.
	// An empty batch answers the newest LSN.
	Append(*Batch) (LSN, error)
	// Takes answers what Append would say of a batch now, and stages nothing: for
	// who has to know before it does what cannot be undone. The batch may then be
	// appended with Moves: there was room for it.
	Takes(*Batch) error

	// Durable is the watermark, and a channel that is closed when the
	// watermark moves or the log fails; err is then ErrFailed.
	Durable() (upTo LSN, moved <-chan struct{}, err error)
	// Room is nil while publishers may go on. When too much is staged, or the
	// budget is spent, it is a channel that is closed when there may be room
	// again. Append works all the same (the bound is soft), except for ErrFull.
	Room() <-chan struct{}
	// Read fills items with what is stored or staged of a queue at or above
	// from, in order of position, and says how many. It stops early, after at
	// least one, when the items' bytes reach bytesMax. 0 means that there is
	// nothing there.
	Read(q QueueID, from Pos, items []Item, bytesMax int) (int, error)
	// Load gives everything that was there at open: first all definitions in
	// order of their keys, then the depth of every queue that holds records.
	// A nil value stands for a definition that is damaged beyond repair, with
	// "" for those whose names are lost too.
	// Values may be kept. It is called once, before the first Append.
	Load(def func(key string, value []byte) error, queue func(Depth) error) error
	Stats() Stats
}
