package disk_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"leveret/spool"
	"leveret/spool/disk"
)

// numbered is a message that says where it belongs.
func numbered(q spool.QueueID, pos spool.Pos, size int) raw {
	s := fmt.Sprintf("%d/%d ", q, pos)
	return raw(s + string(bytes.Repeat([]byte("x"), max(0, size-len(s)))))
}

// checkNumbered reads a queue: exactly these positions, in order, each with its
// own message.
func checkNumbered(t *testing.T, l spool.Log, q spool.QueueID, size int, want []spool.Pos) {
	t.Helper()
	items := make([]spool.Item, 100)
	from := spool.Pos(0)
	for len(want) > 0 {
		n, err := l.Read(q, from, items, 1<<20)
		if err != nil || n == 0 || n > len(want) {
			t.Fatalf("queue %d: Read from %d = %d, %v; %d messages are still to come", q, from, n, err, len(want))
		}
		for i, it := range items[:n] {
			data := it.Data
			if it.Live != nil {
				data = it.Live.AppendTo(nil)
			}
			if it.Err != nil || it.Pos != want[i] || !bytes.Equal(data, numbered(q, want[i], size)) {
				t.Fatalf("queue %d: position %d holds %.20q (%v), want position %d", q, it.Pos, data, it.Err, want[i])
			}
		}
		from, want = items[n-1].Pos+1, want[n:]
	}
	if n, err := l.Read(q, from, items, 1<<20); n != 0 || err != nil {
		t.Fatalf("queue %d: Read behind the end = %d, %v", q, n, err)
	}
}

// trickle commits messages of 200 bytes one by one, to the queues in turn, and
// takes every seventh out again. It answers what stays.
func trickle(t *testing.T, l *life, queues []spool.QueueID, from, n spool.Pos) map[spool.QueueID][]spool.Pos {
	t.Helper()
	stay := make(map[spool.QueueID][]spool.Pos)
	for pos := from; pos < from+n; pos++ {
		var b spool.Batch
		for _, q := range queues {
			b.Enters = append(b.Enters, spool.Enter{Record: numbered(q, pos, 200), Size: 200, To: []spool.Dest{{Queue: q, Pos: pos}}})
			if pos%7 == 6 {
				b.Leaves = append(b.Leaves, spool.Leave{Queue: q, Pos: pos - 3, Size: 200})
			}
			if pos%7 != 3 || pos+3 >= from+n {
				stay[q] = append(stay[q], pos)
			}
		}
		lsn, err := l.Append(&b)
		if err != nil {
			t.Fatal(err)
		}
		await(t, l, lsn)
	}
	return stay
}

// atRest waits until the store writes nothing more by itself.
func atRest(t *testing.T, l *life) {
	t.Helper()
	// A pass may be given the processor late: it is at rest after five looks.
	for late, was, quiet := time.Now().Add(time.Minute), uint64(0), 0; ; {
		time.Sleep(100 * time.Millisecond)
		now := l.Stats().Commits
		if quiet++; now != was {
			quiet = 0
		}
		if quiet == 5 {
			return
		}
		if was = now; time.Now().After(late) {
			t.Fatal("the store does not come to rest")
		}
	}
}

// TestSmallChunksAreMerged: a backlog that came message by message ends in a
// few chunks, nothing lost, doubled or out of order; not while it runs, not in
// the files after a crash, and not in an export.
func TestSmallChunksAreMerged(t *testing.T) {
	o := small(t.TempDir())
	o.MergeChunks = 64
	l := start(t, o)
	queues := []spool.QueueID{1, 2, 7}
	stay := trickle(t, l, queues, 1, 700)
	atRest(t, l)
	for _, q := range queues {
		checkNumbered(t, l, q, 200, stay[q])
	}
	o.Dir = t.TempDir()
	l.crash(t, o.Dir)

	l = start(t, o)
	for _, q := range queues {
		checkNumbered(t, l, q, 200, stay[q])
	}
	later := trickle(t, l, queues[:1], 1000, 40)
	stay[1] = append(stay[1], later[1]...)
	atRest(t, l)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	sum := verified(t, o.Dir)
	if want := len(stay[1]) + len(stay[2]) + len(stay[7]); sum.Messages != want {
		t.Errorf("%d messages are there, want %d", sum.Messages, want)
	}
	if most := 3*64 + 40; sum.Chunks > most {
		t.Errorf("%d messages lie in %d chunks, want at most %d", sum.Messages, sum.Chunks, most)
	}
	file := filepath.Join(t.TempDir(), "export")
	exportOf(t, o.Dir, file)
	into := small(t.TempDir())
	importInto(t, into, file)
	l = start(t, into)
	defer l.stop(t)
	for _, q := range queues {
		checkNumbered(t, l, q, 200, stay[q])
	}
}

// TestSmallChunksAreMergedBesideSparseOnes: traffic that leaves sparse chunks
// to look for, again and again, does not put off the merge of a slow backlog.
func TestSmallChunksAreMergedBesideSparseOnes(t *testing.T) {
	o := small(t.TempDir())
	o.MergeChunks, o.NoCompression = 200, true
	l := start(t, o)
	slow := []spool.QueueID{1}
	stay := trickle(t, l, slow, 1, 150)[1]
	var b spool.Batch
	for pos := spool.Pos(1); pos <= 300; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: numbered(2, pos, 1000), Size: 1000, To: []spool.Dest{{Queue: 2, Pos: pos}}})
	}
	appendAwait(t, l, &b)
	b.Reset()
	for pos := spool.Pos(1); pos <= 290; pos++ {
		b.Leaves = append(b.Leaves, spool.Leave{Queue: 2, Pos: pos, Size: 1000})
	}
	appendAwait(t, l, &b)
	before := l.Stats().Commits
	for late := time.Now().Add(time.Minute); l.Stats().Commits == before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("the sparse chunk is not merged")
		}
	}
	atRest(t, l)
	stay = append(stay, trickle(t, l, slow, 1000, 150)[1]...)
	atRest(t, l)
	checkNumbered(t, l, 1, 200, stay)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	if sum := verified(t, o.Dir); sum.Chunks > o.MergeChunks {
		t.Errorf("%v, want at most %d chunks", sum, o.MergeChunks)
	}
}

// TestSmallChunksOfManyQueuesAreMerged: a queue that gets only a few small
// chunks from one pass to the next is merged when they are enough.
func TestSmallChunksOfManyQueuesAreMerged(t *testing.T) {
	o := small(t.TempDir())
	o.MergeChunks = 64
	l := start(t, o)
	const queues, each = 20, 60
	want := make([]spool.Pos, 0, each)
	for pos := spool.Pos(1); pos <= each; pos++ {
		want = append(want, pos)
		for q := spool.QueueID(1); q <= queues; q++ {
			appendAwait(t, l, &spool.Batch{Enters: []spool.Enter{{Record: numbered(q, pos, 200), Size: 200, To: []spool.Dest{{Queue: q, Pos: pos}}}}})
		}
	}
	atRest(t, l)
	for q := spool.QueueID(1); q <= queues; q++ {
		checkNumbered(t, l, q, 200, want)
	}
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	// Of each queue stay what was merged and fewer than 16 that wait for more.
	if sum, most := verified(t, o.Dir), queues*(each/16+15)+o.MergeChunks; sum.Chunks > most {
		t.Errorf("%v, want at most %d chunks", sum, most)
	}
}

// TestSmallPayloadIsNotSparse: chunks of messages whose names and headers are
// most of them are not written anew whenever something else is consumed.
func TestSmallPayloadIsNotSparse(t *testing.T) {
	o := small(t.TempDir())
	o.NoCompression, o.ReclaimBytes = true, 4<<20
	l := start(t, o)
	const n, size, payload = 20_000, 100, 4
	var want []spool.Pos
	var b spool.Batch
	for pos := spool.Pos(1); pos <= n; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: numbered(1, pos, size), Size: payload, To: []spool.Dest{{Queue: 1, Pos: pos}}})
		if want = append(want, pos); pos%500 == 0 {
			appendAwait(t, l, &b)
			b.Reset()
		}
	}
	before := l.Stats().BytesIn
	for pos := spool.Pos(1); pos <= 200; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: numbered(2, pos, 1000), Size: 1000, To: []spool.Dest{{Queue: 2, Pos: pos}}})
		b.Leaves = append(b.Leaves, spool.Leave{Queue: 2, Pos: pos, Size: 1000})
	}
	leaves := b.Leaves
	b.Leaves = nil
	appendAwait(t, l, &b)
	appendAwait(t, l, &spool.Batch{Leaves: leaves})
	for began := time.Now(); time.Since(began) < 4*time.Second; time.Sleep(50 * time.Millisecond) {
		if in := l.Stats().BytesIn - before; in > n*size/2 {
			t.Fatalf("%d bytes were written for 200 kB that came and went", in)
		}
	}
	checkNumbered(t, l, 1, size, want)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
}

func verified(t *testing.T, dir string) disk.Summary {
	t.Helper()
	off, err := disk.OpenOffline(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	sum, err := off.Verify()
	if err != nil || len(off.Damaged) > 0 {
		t.Fatalf("Verify: %v, damaged: %v", err, off.Damaged)
	}
	return sum
}

// TestSparseChunksAreMerged: messages that stay here and there in a backlog
// keep their own space on the disk, not that of the backlog.
func TestSparseChunksAreMerged(t *testing.T) {
	o := small(t.TempDir())
	o.NoCompression = true
	l := start(t, o)
	const n, size, every = 20_000, 1000, 500
	var want []spool.Pos
	var b spool.Batch
	var lsn spool.LSN
	for pos := spool.Pos(1); pos <= n; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: numbered(1, pos, size), Size: size, To: []spool.Dest{{Queue: 1, Pos: pos}}})
		if pos%100 == 0 {
			var err error
			if lsn, err = l.Append(&b); err != nil {
				t.Fatal(err)
			}
			b.Reset()
		}
	}
	await(t, l, lsn)
	for pos := spool.Pos(1); pos <= n; pos++ {
		if pos%every == 0 {
			want = append(want, pos)
		} else {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: size})
		}
	}
	if _, err := l.Append(&b); err != nil {
		t.Fatal(err)
	}
	var used int64
	for late := time.Now().Add(time.Minute); time.Now().Before(late); time.Sleep(200 * time.Millisecond) {
		var err error
		if used, err = l.Measure(); err != nil {
			t.Fatal(err)
		}
		if used < 6<<20 {
			break
		}
	}
	if used >= 6<<20 {
		t.Errorf("%d messages of %d bytes still occupy %d bytes after a minute", len(want), size, used)
	}
	checkNumbered(t, l, 1, size, want)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	l = start(t, o)
	defer l.stop(t)
	checkNumbered(t, l, 1, size, want)
}

// TestMergedMessagesAfterALostTable: the value logs may still hold what merged
// chunks were copied from. Nothing is lost then, and what comes again comes
// once, in its place.
func TestMergedMessagesAfterALostTable(t *testing.T) {
	o := small(t.TempDir())
	o.NoCompression, o.ReclaimBytes = true, 8<<20 // the old chunks stay for a while
	l := start(t, o)
	const n, size = 3000, 1000
	var b spool.Batch
	for pos := spool.Pos(1); pos <= n; pos++ {
		b.Enters = append(b.Enters, spool.Enter{Record: numbered(1, pos, size), Size: size, To: []spool.Dest{{Queue: 1, Pos: pos}}})
		if pos%100 == 0 {
			appendAwait(t, l, &b)
			b.Reset()
		}
	}
	want := make(map[spool.Pos]bool)
	for pos := spool.Pos(1); pos <= 2*n/3; pos++ {
		if pos%10 == 0 {
			want[pos] = true
		} else {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: size})
		}
	}
	for pos := spool.Pos(2*n/3 + 1); pos <= n; pos++ {
		want[pos] = true
	}
	appendAwait(t, l, &b)
	before := l.Stats().Commits
	for late := time.Now().Add(time.Minute); l.Stats().Commits == before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nothing is merged")
		}
	}
	atRest(t, l)
	if err := l.stop(t); err != nil {
		t.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("no table")
	}
	for _, f := range tables {
		change(t, f, func(b []byte) []byte { return b[:len(b)/2] })
	}
	l = start(t, o)
	defer l.stop(t)
	items := make([]spool.Item, 100)
	from := spool.Pos(0)
	for {
		k, err := l.Read(1, from, items, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			break
		}
		for _, it := range items[:k] {
			if it.Pos < from || it.Err != nil || !bytes.Equal(it.Data, numbered(1, it.Pos, size)) {
				t.Fatalf("position %d, read from %d on, holds %.20q (%v)", it.Pos, from, it.Data, it.Err)
			}
			delete(want, it.Pos)
			from = it.Pos + 1
		}
	}
	if len(want) > 0 {
		t.Errorf("%d messages are lost", len(want))
	}
}
