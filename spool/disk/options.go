package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"
)

// Options describe one spool. Start from Tiny, Small or Server, set Dir, and
// change what must be different.
type Options struct {
	// Dir is the folder. It is created when missing. One process at a time.
	Dir string

	// Badger's sizes. MemTableSize also bounds one transaction (15 % of it).
	MemTableSize     int64
	NumMemtables     int
	NumL0Tables      int
	BaseTableSize    int64
	BaseLevelSize    int64
	ValueLogFileSize int64
	IndexCacheSize   int64
	// ValueThreshold is the size from which a value (a whole chunk, not a
	// message) goes to the value log instead of the LSM tree.
	ValueThreshold int64

	// CommitWindow is the shortest time from one commit to the next while a
	// trickle goes on. It is not spent after a pause, nor when everyone whom
	// the last commit answered is already waiting again.
	CommitWindow time.Duration
	// CommitsPerSecond bounds how often small groups are committed while that
	// goes on; ten seconds' worth may come at once, so that a publisher that
	// now and then waits for each answer gets it soon. 0 stands for no bound.
	CommitsPerSecond int
	// CommitBytesMax ends the window early.
	CommitBytesMax int64
	// StageBytesMax is where publishers are asked to wait (Room): bytes
	// appended and not yet durable. 0 stands for twice CommitBytesMax.
	StageBytesMax int64

	// BudgetBytes is the most the folder may occupy before Enters are refused;
	// 0 stands for no budget. Deletes and what is staged already go on. A
	// sixteenth of it is kept for messages with a priority. Where addresses have
	// 32 bits it is at most 1.5 GB: Badger maps all its files.
	BudgetBytes int64
	// ReserveBytes must stay free on the volume, or Enters are refused. 0
	// stands for 64 MB and two value log files, but at most 10 % of the volume.
	ReserveBytes int64

	// ReclaimBytes of deleted chunks start the work of giving space back. When a
	// 32nd of it has left chunks that others stay in, those are looked at.
	ReclaimBytes int64
	// MergeChunks is how many small chunks a backlog may have before they are
	// merged into large ones. 0 stands for 1024, a negative number for no merging.
	MergeChunks int
	// ResidentMax is how much of the mapped files may stay in memory before
	// the kernel is asked to page them out; what readers have read goes at once.
	// 0 stands for no limit.
	ResidentMax int64
	// CacheBytes bounds the unpacked chunks kept for readers.
	CacheBytes int64

	// NoSync leaves it to the kernel when what is committed reaches the disk. The
	// watermark then promises that it outlives the process, and not a power cut.
	NoSync bool

	// NoCompression stores chunks as they are. Packing makes typical readings
	// five to eight times smaller for about 0.7 µs per 200 bytes.
	NoCompression bool

	// Crashed tells that the process before this one ended by a panic in the
	// store: its start counts as failed.
	Crashed bool
	// Trouble is told what an operator must know, by name; an empty text says
	// that it is over. It is called from any goroutine. nil: it is logged.
	Trouble func(name, text string)

	Log *slog.Logger     // nil: silent
	Now func() time.Time // nil: time.Now

	on ground // nil: onDisk
}

// Tiny suits boards of 512 MB.
func Tiny() Options {
	return Options{
		MemTableSize: 1 << 20, NumMemtables: 1, NumL0Tables: 2,
		BaseTableSize: 1 << 20, BaseLevelSize: 8 << 20,
		ValueLogFileSize: 8 << 20, ValueThreshold: 4 << 10, IndexCacheSize: 1 << 20,
		CommitWindow: 100 * time.Millisecond, CommitsPerSecond: 10, CommitBytesMax: 256 << 10, StageBytesMax: 1 << 20,
		ReclaimBytes: 32 << 20, ResidentMax: 8 << 20, CacheBytes: 1 << 20,
	}
}

// Small suits boards of 1 GB.
func Small() Options {
	o := Tiny()
	o.MemTableSize, o.NumMemtables, o.NumL0Tables = 4<<20, 2, 3
	o.BaseTableSize, o.BaseLevelSize = 2<<20, 16<<20
	o.ValueLogFileSize, o.IndexCacheSize = 24<<20, 4<<20
	o.CommitWindow, o.CommitsPerSecond = 50*time.Millisecond, 0
	o.CommitBytesMax, o.StageBytesMax = 512<<10, 2<<20
	o.ResidentMax, o.CacheBytes = 16<<20, 2<<20
	return o
}

// Server suits machines where memory is no question. Its value logs are no larger
// than Small's all the same: what is in the last value log stays on the disk
// after everything was consumed, and the ballast has to hold the memtables.
func Server() Options {
	o := Small()
	o.MemTableSize, o.NumL0Tables = 8<<20, 5
	o.IndexCacheSize = 64 << 20
	o.CommitWindow = 5 * time.Millisecond
	o.CommitBytesMax, o.StageBytesMax = 4<<20, 16<<20
	o.ReclaimBytes, o.ResidentMax, o.CacheBytes = 64<<20, 0, 16<<20
	o.NoCompression = true // packing costs more CPU than everything else together
	return o
}

// budget32Max keeps all files within an address space of 32 bits, twice over
// for what is being rewritten.
const budget32Max = 1536 << 20

// complete fills in what was left out and refuses what cannot work.
func (o *Options) complete() error {
	if o.Dir == "" {
		return errors.New("open spool: no folder given")
	}
	if o.MemTableSize < 1<<20 || o.ValueLogFileSize < 1<<20 || o.ValueThreshold < 1 ||
		o.ValueThreshold > o.MemTableSize*15/100 || o.NumL0Tables < 1 || o.NumMemtables < 1 {
		return fmt.Errorf("open spool %s: sizes are out of range (start from Tiny, Small or Server)", o.Dir)
	}
	if o.CommitBytesMax <= 0 {
		o.CommitBytesMax = 256 << 10
	}
	if o.StageBytesMax <= 0 {
		o.StageBytesMax = 2 * o.CommitBytesMax
	}
	if o.ReclaimBytes <= 0 {
		o.ReclaimBytes = 32 << 20
	}
	if o.MergeChunks == 0 {
		o.MergeChunks = mergeChunks
	}
	if strconv.IntSize == 32 && (o.BudgetBytes <= 0 || o.BudgetBytes > budget32Max) {
		o.BudgetBytes = budget32Max
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.on == nil {
		o.on = onDisk{}
	}
	return nil
}

// partMax is the most one Badger value may hold here.
func (o *Options) partMax() int { return int(min(partBytes, o.ValueLogFileSize/2)) }
