package disk

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"leveret/spool"
)

// fanOut is a store without compression on a simulated disk, and what each queue
// is to hold: the numbers of its messages, by position.
type fanOut struct {
	t     *testing.T
	d     *twin
	s     *Store
	c     *committer
	n     int
	next  map[spool.QueueID]spool.Pos
	holds map[spool.QueueID]map[spool.Pos]int
}

func newFanOut(t *testing.T) *fanOut {
	f := &fanOut{t: t, d: newTwin(rand.New(rand.NewPCG(1, 1))),
		next: make(map[spool.QueueID]spool.Pos), holds: make(map[spool.QueueID]map[spool.Pos]int)}
	f.d.max = limits{pointed: 1 << 10, bytes: 64 << 10, changes: 1000}
	f.open()
	return f
}

func (f *fanOut) open() {
	f.t.Helper()
	o := Tiny()
	o.Dir, o.on, o.NoCompression, o.MergeChunks = "/spool", f.d, true, mergeFew
	o.ValueThreshold, o.Now, o.Log = 1<<10, time.Now, slog.New(slog.DiscardHandler)
	var err error
	if f.s, err = Open(o); err != nil {
		f.t.Fatal(err)
	}
	f.c = &committer{Store: f.s}
}

// body is a message of 100 bytes that says its number.
func (f *fanOut) body(n int) text { return text(fmt.Sprintf("%-100d", n)) }

// send commits one message to some queues.
func (f *fanOut) send(queues ...spool.QueueID) {
	f.t.Helper()
	f.n++
	e := spool.Enter{Record: f.body(f.n), Size: 100}
	for _, q := range queues {
		if f.holds[q] == nil {
			f.holds[q] = make(map[spool.Pos]int)
		}
		f.next[q]++
		f.holds[q][f.next[q]] = f.n
		e.To = append(e.To, spool.Dest{Queue: q, Pos: f.next[q]})
	}
	f.commit(&spool.Batch{Enters: []spool.Enter{e}})
}

// consume takes the messages of a queue that some numbers choose.
func (f *fanOut) consume(q spool.QueueID, chosen func(n int) bool) {
	f.t.Helper()
	var b spool.Batch
	for pos, n := range f.holds[q] {
		if chosen(n) {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: q, Pos: pos, Size: 100})
			delete(f.holds[q], pos)
		}
	}
	f.commit(&b)
}

func (f *fanOut) commit(b *spool.Batch) {
	f.t.Helper()
	if _, err := f.s.Append(b); err != nil {
		f.t.Fatal(err)
	}
	if err := f.c.commit(); err != nil {
		f.t.Fatal(err)
	}
}

// merge makes passes for small chunks until there is no more to do.
func (f *fanOut) merge() {
	f.t.Helper()
	f.c.index.thinned = 0
	for range 10 {
		f.c.merges(time.Now(), func(time.Time) {})
		for more := true; more; {
			var err error
			if more, err = f.c.merge(); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// check compares the queues, and answers how many chunks there are and how often
// a message is stored.
func (f *fanOut) check() (chunks, records int) {
	f.t.Helper()
	items := make([]spool.Item, 7)
	for q, want := range f.holds {
		from, got := spool.Pos(0), 0
		for {
			n, err := f.s.Read(q, from, items, 1<<20)
			if err != nil {
				f.t.Fatal(err)
			}
			if n == 0 {
				break
			}
			for _, it := range items[:n] {
				number, there := want[it.Pos]
				if it.Err != nil || !there || !bytes.Equal(it.Data, []byte(f.body(number))) {
					f.t.Fatalf("queue %d position %d holds %.10q (%v), want message %d (%v)", q, it.Pos, it.Data, it.Err, number, there)
				}
				got, from = got+1, it.Pos+1
			}
		}
		if got != len(want) {
			f.t.Fatalf("queue %d gave %d messages, want %d", q, got, len(want))
		}
	}
	var entries []*entry
	for _, p := range f.d.keys {
		switch p.key[0] {
		case classChunk:
			c, err := decodeChunk(be.Uint64(p.key[1:9]), p.value, f.s.zip)
			if err != nil {
				f.t.Fatal(err)
			}
			chunks, records = chunks+1, records+len(c.slots)
		case classEntry:
			e, err := decodeEntry(p.key, p.value)
			if err != nil {
				f.t.Fatal(err)
			}
			entries = append(entries, e)
		}
	}
	if err := inOrder(entries); err != nil {
		f.t.Fatal(err)
	}
	return chunks, records
}

// TestSharedChunksAreMerged: what came one by one to several queues ends in few
// chunks, each message once, whatever some of the queues have consumed, and leaves
// nothing behind when it has gone.
func TestSharedChunksAreMerged(t *testing.T) {
	f := newFanOut(t)
	const n = 100
	for range n {
		f.send(1, 2, 7)
	}
	f.consume(1, func(n int) bool { return n%10 == 3 })
	f.consume(2, func(n int) bool { return n <= 30 || n == 55 })
	f.consume(7, func(n int) bool { return n%10 == 3 })
	f.merge()
	// 3, 13 and 23 have left all three queues, seven others are only in queue 2.
	if chunks, records := f.check(); chunks > 2+mergeFew || records != n-3 {
		t.Errorf("%d messages in %d chunks, want %d in few", records, chunks, n-3)
	}
	f.open()
	f.check()
	for range 2 * mergeFew {
		f.send(2, 7)
	}
	f.merge()
	if chunks, records := f.check(); chunks > 2+2*mergeFew || records != n-3+2*mergeFew {
		t.Errorf("%d messages in %d chunks after more of them, want %d in few", records, chunks, n-3+2*mergeFew)
	}
	for _, q := range []spool.QueueID{2, 7, 1} {
		f.consume(q, func(int) bool { return true })
		f.check()
	}
	if chunks, _ := f.check(); chunks > 0 {
		t.Errorf("%d chunks stayed", chunks)
	}
}

// TestSharedChunksKeepTheirOrder: merged chunks do not have to be read both before
// and after another one.
func TestSharedChunksKeepTheirOrder(t *testing.T) {
	for name, send := range map[string]func(f *fanOut){
		"a message of one queue between": func(f *fanOut) {
			for i := range 4 * mergeFew {
				f.send(1, 2)
				if i == mergeFew/2 || i == 3*mergeFew {
					f.send(2)
				}
			}
		},
		"queues that follow each other": func(f *fanOut) {
			for range mergeFew {
				f.send(1, 2)
			}
			f.send(2, 3) // behind these, and before those
			for range mergeFew {
				f.send(1, 3)
			}
		},
		"by way of other queues": func(f *fanOut) {
			for range mergeFew / 2 {
				f.send(1, 2)
			}
			f.send(2, 3)
			f.send(3, 4)
			f.send(4, 5)
			for range 2 * mergeFew {
				f.send(1, 5)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFanOut(t)
			send(f)
			before, records := f.check()
			f.merge()
			after, now := f.check()
			if after >= before || now != records {
				t.Errorf("%d messages in %d chunks became %d in %d", records, before, now, after)
			}
		})
	}
}

// TestDamagedSharedChunksStay: what does not read is left where it is, for whoever
// reads it to be told, and what lies around it is merged.
func TestDamagedSharedChunksStay(t *testing.T) {
	f := newFanOut(t)
	for range 4 * mergeFew {
		f.send(1, 2)
	}
	const damaged = 2*mergeFew + 1
	for i := range f.d.keys {
		if p := &f.d.keys[i]; slices.Equal(p.key, chunkKey(damaged)) {
			p.value = slices.Clone(p.value)
			p.value[chunkHeader+5] ^= 1
		}
	}
	f.c.refresh(func() {})
	f.merge()
	var broken int
	items := make([]spool.Item, 100)
	for _, q := range []spool.QueueID{1, 2} {
		n, err := f.s.Read(q, 0, items, 1<<20)
		if err != nil || n != 4*mergeFew {
			t.Fatalf("queue %d: %d messages, %v", q, n, err)
		}
		for _, it := range items[:n] {
			if it.Err != nil {
				broken++
			}
		}
	}
	if broken != 2 {
		t.Errorf("%d messages are damaged, want one in each queue", broken)
	}
	chunks := 0
	for _, p := range f.d.keys {
		if p.key[0] == classChunk {
			chunks++
		}
	}
	if chunks > 2*mergeFew+1 {
		t.Errorf("%d chunks, want those around the damaged one merged", chunks)
	}
}
