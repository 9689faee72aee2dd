package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/spool"
)

type text string

func (r text) AppendTo(dst []byte) []byte { return append(dst, r...) }
func (r text) Size() int                  { return len(r) }

func zip(t testing.TB) *zipper {
	t.Helper()
	z, err := newZipper(true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.close)
	return z
}

func chunkOf(z *zipper, id uint64, bodies ...string) []byte {
	var w chunkWriter
	w.begin(id)
	for _, b := range bodies {
		w.add(text(b), uint32(len(b)))
	}
	w.routes = append(w.routes, "routes"...)
	return slices.Clone(w.finish(z))
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func TestChunk(t *testing.T) {
	z := zip(t)
	for _, bodies := range [][]string{
		{"one"}, {"", "", "x"}, {strings.Repeat("packs well ", 1000), "two"}, {strings.Repeat("z", packMax+1)},
	} {
		raw := chunkOf(z, 7, bodies...)
		c, err := decodeChunk(7, raw, z)
		if err != nil {
			t.Fatalf("decodeChunk: %v", err)
		}
		for i, want := range bodies {
			got, err := c.record(uint32(i))
			if err != nil || string(got) != want || int(c.slots[i].payload) != len(want) {
				t.Errorf("record(%d) = %.20q, %v, want %.20q", i, got, err, want)
			}
		}
		if _, err := c.record(uint32(len(bodies))); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("record beyond the last = %v, want ErrCorrupt", err)
		}
		if _, err := decodeChunk(8, raw, z); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("chunk 7 was taken for chunk 8: %v", err)
		}
	}
}

// TestChunkFlips: a flipped bit is noticed, or it was one that zstd does not
// use and every record is still right.
func TestChunkFlips(t *testing.T) {
	z := zip(t)
	for _, bodies := range [][]string{{"short", "records", ""}, {strings.Repeat("packed ", 300), "x"}} {
		raw := chunkOf(z, 3, bodies...)
		packed := raw[1] == codecZstd
		for i := range raw {
			for bit := range 8 {
				raw[i] ^= 1 << bit
				if c, err := decodeChunk(3, raw, z); err == nil {
					ok := true
					for s, want := range bodies {
						if got, err := c.record(uint32(s)); err == nil && string(got) != want {
							t.Fatalf("byte %d bit %d: record %d is %q", i, bit, s, got)
						} else if err != nil {
							ok = false
						}
					}
					if ok && !packed {
						t.Fatalf("byte %d bit %d was not noticed", i, bit)
					}
				}
				raw[i] ^= 1 << bit
			}
		}
	}
}

func FuzzDecodeChunk(f *testing.F) {
	z := zip(f)
	f.Add(chunkOf(z, 1, "a", "bc"))
	f.Add(chunkOf(z, 1, strings.Repeat("packed ", 1000)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Without this the checksum hides everything behind it.
		if len(raw) >= chunkHeader+4 {
			stored := uint64(be.Uint32(raw[12:]))
			if chunkHeader+stored <= uint64(len(raw)-4) {
				sum := metaSum(1, raw[:chunkHeader], raw[chunkHeader+stored:len(raw)-4])
				be.PutUint32(raw[len(raw)-4:], sum)
			}
		}
		c, err := decodeChunk(1, raw, z)
		if err != nil {
			return
		}
		for i := range c.slots {
			c.record(uint32(i))
		}
	})
}

func sampleEntry() *entry {
	e := &entry{queue: 5, first: 100, chunk: 9, weight: 1234}
	for i, pos := range []spool.Pos{100, 101, 102, 110, 111, 200, 201} {
		e.add(pos, uint32(i), pos > 150, 10)
	}
	return e
}

func TestEntry(t *testing.T) {
	e := sampleEntry()
	if len(e.runs) != 3 || e.bytes != 50 || e.volatile != 20 {
		t.Fatalf("entry %+v", e)
	}
	for _, pos := range []spool.Pos{101, 100, 201, 300, 99, 101} {
		want := slices.Contains([]spool.Pos{101, 100, 201}, pos) && e.count() > 4
		if got := e.remove(pos, 10); got != want {
			t.Errorf("remove(%d) = %t, want %t", pos, got, want)
		}
	}
	got, err := decodeEntry(entryKey(e.queue, e.first), e.encode())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.runs, e.runs) || got.bytes != 30 || got.volatile != 10 || got.chunk != 9 || got.weight != 1234 || got.count() != 4 {
		t.Errorf("decoded %+v, want %+v", got, e)
	}
	gone := got.cut(span{102, 110})
	if len(gone) != 2 || got.count() != 2 || got.runs[0].pos != 111 || got.runs[0].slot != 4 {
		t.Errorf("cut gave %v and left %v", gone, got.runs)
	}
	if _, err := decodeEntry(entryKey(6, e.first), e.encode()); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("an entry of queue 5 was taken for one of queue 6: %v", err)
	}
}

func TestEntryFlips(t *testing.T) {
	e := sampleEntry()
	key, value := entryKey(e.queue, e.first), e.encode()
	for i := range value {
		value[i] ^= 0x10
		if _, err := decodeEntry(key, value); err == nil {
			t.Errorf("a flip of byte %d was not noticed", i)
		}
		value[i] ^= 0x10
	}
}

func FuzzDecodeEntry(f *testing.F) {
	e := sampleEntry()
	f.Add(e.encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		probe := entry{queue: 5, first: 100}
		if len(value) > 4 {
			be.PutUint32(value[len(value)-4:], probe.sum(value[:len(value)-4]))
		}
		e, err := decodeEntry(entryKey(5, 100), value)
		if err != nil {
			return
		}
		if e.count() == 0 || e.last() < e.first {
			t.Errorf("entry %+v", e)
		}
		again, err := decodeEntry(entryKey(5, 100), e.encode())
		if err != nil || !slices.Equal(again.runs, e.runs) {
			t.Errorf("encoded and decoded: %+v (%v), want %+v", again, err, e)
		}
	})
}

func FuzzDecodeRedo(f *testing.F) {
	f.Add(encodeRedo([]change{{[]byte("k"), []byte("v")}, {[]byte("gone"), nil}})[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4 {
			copy(b[len(b)-4:], be.AppendUint32(nil, crcOf(b[:len(b)-4])))
		}
		list, err := decodeRedo(b)
		if err != nil {
			return
		}
		for i, part := range encodeRedo(list) {
			if _, err := decodeRedo(part); err != nil {
				t.Errorf("part %d: %v", i, err)
			}
		}
	})
}

// opened is a small store without a writer.
func opened(t *testing.T, dir string) *Store {
	t.Helper()
	o := Tiny()
	o.Dir, o.MemTableSize, o.ValueLogFileSize, o.ValueThreshold = dir, 1<<20, 1<<20, 1<<10
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRedoIsFinishedByOpen writes the first transaction of a group that is too
// large for one, and no more.
func TestRedoIsFinishedByOpen(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	want := make(map[string]string)
	var list, first []change
	for i := range 9000 {
		k, v := fmt.Sprintf("name %d", i), strings.Repeat("v", 60)
		want[k] = v
		list = append(list, change{defKey(k), defValue(k, []byte(v))})
	}
	if s.out.fits(list) {
		t.Fatal("the list fits into one transaction")
	}
	parts := encodeRedo(list)
	if len(parts) < 2 {
		t.Fatalf("the list has %d parts", len(parts))
	}
	for i, p := range parts {
		first = append(first, change{redoKey(i), p})
	}
	if err := s.out.commit(first); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = opened(t, dir)
		got := 0
		err := s.Load(func(k string, v []byte) error {
			if want[k] != string(v) {
				t.Errorf("definition %q is %q", k, v)
			}
			got++
			return nil
		}, func(spool.Depth) error { return nil })
		if err != nil || got != len(want) {
			t.Errorf("%d definitions (%v), want %d", got, err, len(want))
		}
		at := s.engine.now()
		if there, err := has(at, redoKey(0)); there || err != nil {
			t.Errorf("the redo list is still there: %v", err)
		}
		at.close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPurgeIsFinishedByOpen leaves a marker behind.
func TestPurgeIsFinishedByOpen(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	c := &committer{Store: s}
	for p := range spool.Pos(30) {
		b := spool.Batch{Enters: []spool.Enter{{Record: text("x"), Size: 1, To: []spool.Dest{{Queue: 1, Pos: p}}}}}
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(); err != nil {
			t.Fatal(err)
		}
	}
	value := be.AppendUint64(be.AppendUint64(nil, 5), 20)
	if err := s.out.commit([]change{{purgeKey(1), value}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir)
	defer s.Close()
	err := s.Load(func(string, []byte) error { return nil }, func(d spool.Depth) error {
		if d.Count != 14 || d.First != 0 || d.Last != 29 {
			t.Errorf("depth %+v, want 14 messages", d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	items := make([]spool.Item, 30)
	if n, err := s.Read(1, 5, items, 1000); n != 9 || items[0].Pos != 21 {
		t.Errorf("Read from 5 = %d, %v, at %d; want 9 from 21", n, err, items[0].Pos)
	}
}

// TestDue tells when what is staged is committed.
func TestDue(t *testing.T) {
	base := time.Unix(1000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	const window = 100
	for _, c := range []struct {
		name            string
		ended, begun    int // ms
		asking, answers int
		change          func(*group)
		want            int
	}{
		{"after a pause", 0, 500, 1, 1, nil, 100},
		{"a trickle", 0, 30, 1, 10, nil, 100},
		{"one peer is back at once", 0, 1, 1, 1, nil, 1},
		{"all peers are back at once", 0, 1, 10, 10, nil, 1},
		{"some peers are back at once", 0, 1, 9, 10, nil, 100},
		{"it came during the commit", 0, -1, 10, 1, nil, 100},
		{"nobody was answered", 0, 1, 1, 0, nil, 100},
		{"nobody waits", 0, 30, 0, 1, nil, 130},
		{"much is staged", 0, 30, 1, 10, func(g *group) { g.bytes = 1 << 20 }, 30},
		{"all was cancelled", 0, 30, 1, 10, func(g *group) { g.live = 0 }, 30},
	} {
		s := &Store{opts: Options{CommitWindow: window * time.Millisecond, CommitBytesMax: 1000}, staged: newGroup()}
		s.staged.last, s.staged.live, s.staged.asking, s.answered = 1, 1, c.asking, c.answers
		s.staged.begun = at(c.begun)
		if c.change != nil {
			c.change(s.staged)
		}
		got, ok := (&committer{Store: s, ended: at(c.ended)}).due()
		if !ok || !got.Equal(at(c.want)) {
			t.Errorf("%s: due at %d ms, want %d", c.name, got.Sub(base).Milliseconds(), c.want)
		}
	}
	s := &Store{staged: newGroup()}
	if _, ok := (&committer{Store: s}).due(); ok {
		t.Error("nothing is staged and something is due")
	}
}

func TestRefs(t *testing.T) {
	r := newRefs()
	for id := uint64(1); id < 5000; id += 3 {
		r.set(id, 2)
	}
	r.set(7, r.get(7)|refParts)
	if last, _ := r.drop(7); last {
		t.Error("the first of two references was the last")
	}
	if last, parts := r.drop(7); !last || !parts {
		t.Errorf("drop = %t, %t, want true, true", last, parts)
	}
	for id := uint64(1); id < 5000; id += 3 {
		if id != 7 {
			r.drop(id)
			r.drop(id)
		}
	}
	if len(r.pages) != 0 {
		t.Errorf("%d pages are left", len(r.pages))
	}
}

// TestIndexCacheIsBounded fills more entries than the cache may hold and lets
// messages leave everywhere.
func TestIndexCacheIsBounded(t *testing.T) {
	s := opened(t, t.TempDir())
	defer s.Close()
	c := &committer{Store: s}
	const queues = cachedEntriesMax + 500
	commit := func(b spool.Batch) {
		t.Helper()
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(); err != nil {
			t.Fatal(err)
		}
		if s.index.cached > cachedEntriesMax || s.index.runs > cachedRunsMax {
			t.Fatalf("%d entries and %d runs are cached", s.index.cached, s.index.runs)
		}
	}
	for round := range spool.Pos(3) {
		var b spool.Batch
		for q := spool.QueueID(1); q <= queues; q++ {
			b.Enters = append(b.Enters, spool.Enter{Record: text("x"), Size: 1, To: []spool.Dest{{Queue: q, Pos: round}}})
		}
		commit(b)
	}
	for _, pos := range []spool.Pos{1, 0, 2} {
		var b spool.Batch
		for q := spool.QueueID(1); q <= queues; q++ {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: q, Pos: pos, Size: 1})
		}
		commit(b)
	}
	if st := s.Stats(); st.Records != 0 || len(s.heads) != 0 || len(s.index.refs.pages) != 0 {
		t.Errorf("%d records, %d queues, %d pages are left", st.Records, len(s.heads), len(s.index.refs.pages))
	}
}

// TestRunCommitsAtItsEnd: what is staged when ctx ends is written.
func TestRunCommitsAtItsEnd(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	s.opts.CommitWindow = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for p := range spool.Pos(5) {
		b := spool.Batch{Enters: []spool.Enter{{Record: text(bytes.Repeat([]byte{'x'}, 10)), To: []spool.Dest{{Queue: 1, Pos: p}}}}}
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Run = %v", err)
	}
	if d, _, err := s.Durable(); d != 5 || err != nil {
		t.Errorf("Durable = %d, %v, want 5", d, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir)
	defer s.Close()
	if n, err := s.Read(1, 0, make([]spool.Item, 10), 1000); n != 5 || err != nil {
		t.Errorf("Read = %d, %v, want 5", n, err)
	}
}

// TestBallastFollowsWhatItIsFor: it holds what opening may write, and no more
// on a large volume.
func TestBallastFollowsWhatItIsFor(t *testing.T) {
	for name, o := range map[string]Options{"tiny": Tiny(), "small": Small(), "server": Server()} {
		size := o.ballastSize(100 << 30)
		if size < o.needToOpen() || size > 32<<20 {
			t.Errorf("%s: ballast of %d MB, opening needs %d", name, size>>20, o.needToOpen()>>20)
		}
		if small := o.ballastSize(64 << 20); small > 8<<20 {
			t.Errorf("%s: ballast of %d bytes on a volume of 64 MB", name, small)
		}
	}
}
