// Package mem is a log in memory that keeps the contract of package spool. It
// is for tests: nothing becomes durable before somebody says Commit, the power
// can be cut (Crash), and it can be full, be small or fail on demand.
//
// A Log has no goroutine. Its committed state is encoded, as on a disk, so that
// what is read after a crash went through the record's stored form.
package mem

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"

	"leveret/spool"
)

// Log is a spool.Log in memory.
type Log struct {
	mu      sync.Mutex // protects everything below
	auto    bool
	floor   int   // messages of a lower priority are refused
	most    int64 // bytes of the largest batch that is taken
	failed  error
	last    spool.LSN // newest appended
	durable spool.LSN
	moved   chan struct{}
	room    chan struct{} // nil while there is room
	loaded  bool

	queues map[spool.QueueID]*queue
	defs   map[string][]byte
	staged []func(*disk) // what Commit will do to the disk
	disk   disk
	stats  spool.Stats
}

// queue is one queue as it is now, written or not, by position.
type queue struct {
	items []*item // by rising position
}

type item struct {
	pos      spool.Pos
	record   spool.Record // nil once it is only on the disk
	size     int
	volatile bool
	written  bool
	left     bool
	data     []byte
}

// disk is what a power cut leaves.
type disk struct {
	queues map[spool.QueueID]map[spool.Pos]*item
	defs   map[string][]byte
}

var _ spool.Log = (*Log)(nil)

// New makes an empty log.
func New() *Log {
	return &Log{
		most:   most,
		moved:  make(chan struct{}),
		queues: make(map[spool.QueueID]*queue),
		defs:   make(map[string][]byte),
		disk:   disk{queues: make(map[spool.QueueID]map[spool.Pos]*item), defs: make(map[string][]byte)},
	}
}

// Auto makes every Append durable at once.
func (l *Log) Auto() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.auto = true
	return l
}

// Hold takes Auto back: what comes now waits for Commit.
func (l *Log) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.auto = false
}

// Append stages a batch.
func (l *Log) Append(b *spool.Batch) (spool.LSN, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.takesLocked(b); err != nil {
		return 0, err
	}
	if b.Empty() {
		return l.last, nil
	}
	for i := range b.Enters {
		l.enterLocked(b.Enters[i])
	}
	for _, lv := range b.Leaves {
		l.leaveLocked(lv.Queue, lv.Pos, lv.Pos)
	}
	for _, p := range b.Puts {
		l.putLocked(p)
	}
	for _, p := range b.Purges {
		l.leaveLocked(p.Queue, p.From, p.To)
	}
	l.last++
	if l.auto {
		l.commitLocked()
	}
	return l.last, nil
}

// Takes says what Append would.
func (l *Log) Takes(b *spool.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takesLocked(b)
}

func (l *Log) takesLocked(b *spool.Batch) error {
	if l.failed != nil {
		return l.failed
	}
	if n := bytesOf(b); n > l.most {
		return fmt.Errorf("%w: %d bytes, %d are possible", spool.ErrLarge, n, l.most)
	}
	if !b.Moves && slices.ContainsFunc(b.Enters, func(e spool.Enter) bool { return int(e.Priority) < l.floor }) {
		return spool.ErrFull
	}
	return nil
}

// bytesOf is what a batch brings.
func bytesOf(b *spool.Batch) (n int64) {
	for i := range b.Enters {
		n += int64(b.Enters[i].Record.Size())
	}
	for i := range b.Puts {
		n += int64(len(b.Puts[i].Key) + len(b.Puts[i].Value))
	}
	return n
}

func (l *Log) enterLocked(e spool.Enter) {
	for _, to := range e.To {
		l.stats.Records++
		q := l.queues[to.Queue]
		if q == nil {
			q = &queue{}
			l.queues[to.Queue] = q
		}
		it := &item{pos: to.Pos, record: e.Record, size: e.Size, volatile: e.Volatile}
		q.items = append(q.items, it)
		l.stats.StagedBytes += int64(e.Record.Size())
		l.staged = append(l.staged, func(d *disk) { l.write(d, to.Queue, it) })
	}
}

// write puts a record on the disk, unless it left before.
func (l *Log) write(d *disk, id spool.QueueID, it *item) {
	if it.left {
		l.stats.Skipped++
		return
	}
	it.data = it.record.AppendTo(nil)
	it.record, it.written = nil, true
	if d.queues[id] == nil {
		d.queues[id] = make(map[spool.Pos]*item)
	}
	d.queues[id][it.pos] = it
	l.stats.Written++
	l.stats.BytesIn += uint64(len(it.data))
}

func (l *Log) leaveLocked(id spool.QueueID, from, to spool.Pos) {
	q := l.queues[id]
	if q == nil {
		return
	}
	start := q.find(from)
	end := start
	for end < len(q.items) && q.items[end].pos <= to {
		q.items[end].left = true
		l.stats.Records--
		end++
	}
	q.items = slices.Delete(q.items, start, end)
	l.staged = append(l.staged, func(d *disk) {
		maps.DeleteFunc(d.queues[id], func(p spool.Pos, _ *item) bool { return from <= p && p <= to })
	})
}

func (q *queue) find(pos spool.Pos) int {
	return sort.Search(len(q.items), func(i int) bool { return q.items[i].pos >= pos })
}

func (l *Log) putLocked(p spool.Put) {
	set := func(defs map[string][]byte) {
		if p.Value == nil {
			delete(defs, p.Key)
		} else {
			defs[p.Key] = p.Value
		}
	}
	set(l.defs)
	l.staged = append(l.staged, func(d *disk) { set(d.defs) })
}

// Commit makes everything appended durable.
func (l *Log) Commit() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.commitLocked()
	}
}

func (l *Log) commitLocked() {
	for _, change := range l.staged {
		change(&l.disk)
	}
	if len(l.staged) > 0 {
		l.stats.Commits++
	}
	l.staged, l.stats.StagedBytes = nil, 0
	l.durable = l.last
	l.tellLocked()
}

func (l *Log) tellLocked() {
	close(l.moved)
	l.moved = make(chan struct{})
}

// Durable is the watermark.
func (l *Log) Durable() (spool.LSN, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable, l.moved, l.failed
}

// Fail makes the log fail for good, with a cause.
func (l *Log) Fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = fmt.Errorf("%w: %w", spool.ErrFailed, cause)
	l.tellLocked()
	l.roomLocked(true)
}

// SetFull makes the log refuse records, or take them again.
func (l *Log) SetFull(full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor = 0
	if full {
		l.floor = priorityMax + 1
	}
	l.roomLocked(!full)
}

// SetFloor makes the log refuse records of a lower priority: its reserve is
// being used. Then publishers are not held up.
func (l *Log) SetFloor(priority int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor = priority
	l.roomLocked(priority <= priorityMax)
}

// most is how large a batch may be that nobody has bounded.
const most = 1 << 30

// SetMost bounds the bytes of one batch; 0 takes that back.
func (l *Log) SetMost(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most = bytes; bytes == 0 {
		l.most = most
	}
}

const priorityMax = 9

func (l *Log) roomLocked(open bool) {
	switch {
	case open && l.room != nil:
		close(l.room)
		l.room = nil
	case !open && l.room == nil:
		l.room = make(chan struct{})
	}
}

// Room is nil while there is room.
func (l *Log) Room() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room == nil {
		return nil
	}
	return l.room
}

// Read gives items of a queue.
func (l *Log) Read(id spool.QueueID, from spool.Pos, items []spool.Item, bytesMax int) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return 0, l.failed
	}
	q := l.queues[id]
	if q == nil {
		return 0, nil
	}
	n, bytes := 0, 0
	for i := q.find(from); i < len(q.items) && n < len(items); i++ {
		if n > 0 && bytes >= bytesMax {
			break
		}
		it := q.items[i]
		items[n] = spool.Item{Pos: it.pos, Live: it.record, Data: slices.Clone(it.data)}
		bytes += it.size
		n++
	}
	return n, nil
}

// Load gives what is there.
func (l *Log) Load(def func(string, []byte) error, depth func(spool.Depth) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded {
		panic("BUG: spool loaded twice")
	}
	l.loaded = true
	for _, key := range slices.Sorted(maps.Keys(l.defs)) {
		if err := def(key, l.defs[key]); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.queues)) {
		items := l.queues[id].items
		if len(items) == 0 {
			continue
		}
		d := spool.Depth{Queue: id, Count: len(items), First: items[0].pos, Last: items[len(items)-1].pos}
		for _, it := range items {
			d.Bytes += int64(it.size)
		}
		if err := depth(d); err != nil {
			return err
		}
	}
	return nil
}

// Stats are the log's figures.
func (l *Log) Stats() spool.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Crash cuts the power: it gives a log that holds what was durable, without
// volatile records. The old log must not be used again.
func (l *Log) Crash() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := New()
	n.auto = l.auto
	for id, stored := range l.disk.queues {
		for _, pos := range slices.Sorted(maps.Keys(stored)) {
			if it := stored[pos]; !it.volatile {
				n.restore(id, it)
			}
		}
	}
	maps.Copy(n.defs, l.disk.defs)
	maps.Copy(n.disk.defs, l.disk.defs)
	return n
}

func (l *Log) restore(id spool.QueueID, old *item) {
	it := &item{pos: old.pos, size: old.size, written: true, data: old.data}
	if l.queues[id] == nil {
		l.queues[id] = &queue{}
		l.disk.queues[id] = make(map[spool.Pos]*item)
	}
	l.queues[id].items = append(l.queues[id].items, it)
	l.disk.queues[id][it.pos] = it
	l.stats.Records++
}
