package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/spool"
)

// tight is a store on a small volume of the simulated ground, and its writer.
type tight struct {
	*Store
	d     *twin
	c     *committer
	clock time.Time
}

func onVolume(t testing.TB, total int64, change func(*Options)) *tight {
	t.Helper()
	v := &tight{d: newTwin(rand.New(rand.NewPCG(1, 1))), clock: time.Unix(1_700_000_000, 0)}
	v.d.total, v.d.max = total, limits{pointed: 1 << 10, bytes: 150 << 10, changes: 1500}
	o := Tiny()
	o.Dir, o.on, o.NoCompression = "/spool", v.d, true
	o.MemTableSize, o.ValueLogFileSize, o.ValueThreshold = 1<<20, 1<<20, 1<<10
	o.StageBytesMax, o.CommitsPerSecond = 1<<20, 0
	o.Log = slog.New(slog.DiscardHandler)
	o.Now = func() time.Time { return v.clock }
	if change != nil {
		change(&o)
	}
	var err error
	if v.Store, err = Open(o); err != nil {
		t.Fatal(err)
	}
	v.c = &committer{Store: v.Store, ended: v.clock, settled: v.clock.Add(settledAfter)}
	v.c.janitor.store = v.Store
	return v
}

// turn lets the writer do one thing, a second later.
func (v *tight) turn(t testing.TB) (more bool) {
	t.Helper()
	v.clock = v.clock.Add(time.Second)
	_, more, err := v.c.turn(false)
	if v.c.janitor.done != nil {
		<-v.c.janitor.done
		err = errors.Join(err, v.c.janitor.compacted())
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.d.burst {
		t.Fatal("more was written than the volume has: the process would have been killed")
	}
	return more
}

func (v *tight) settle(t testing.TB) {
	t.Helper()
	for range 1000 {
		if !v.turn(t) && v.durable == v.last && v.c.janitor.passes == 0 {
			return
		}
	}
	t.Fatalf("wedged: durable up to %d of %d; %d bytes wait", v.durable, v.last, v.stagedBytesLocked())
}

// batchOf has records of some sizes, for queue 1 from pos on.
func batchOf(pos spool.Pos, sizes ...int) *spool.Batch {
	b := &spool.Batch{}
	for i, n := range sizes {
		b.Enters = append(b.Enters, spool.Enter{
			Record: text(strings.Repeat("x", n)), Size: n, To: []spool.Dest{{Queue: 1, Pos: pos + spool.Pos(i)}},
		})
	}
	return b
}

func (v *tight) mustAppend(t testing.TB, b *spool.Batch) spool.LSN {
	t.Helper()
	lsn, err := v.Append(b)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

// spareFor leaves space on the volume for a commit of so many bytes, and no more.
func (v *tight) spareFor(bytes int64) {
	v.d.others = 0
	v.d.others = v.d.total - v.d.taken() - v.opts.need(bytes, v.d.total)
}

// TestRoomSimulation fills small volumes with batches of all sizes, from inside
// and from outside, and frees them. What was taken is written, in order and as
// soon as there is space for it; what is refused as full is taken when the space is
// there; the volume never bursts, and nothing is lost.
func TestRoomSimulation(t *testing.T) {
	first, n := uint64(1), uint64(40)
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playRoom(t, rand.New(rand.NewPCG(seed, 17))) })
	}
}

func playRoom(t *testing.T, rng *rand.Rand) {
	v := onVolume(t, int64(rng.IntN(12<<20)+3<<20), func(o *Options) {
		o.StageBytesMax = 1 << (16 + rng.IntN(6))
		o.CommitBytesMax = min(o.StageBytesMax, 256<<10)
	})
	most := v.opts.possible(v.d.total)
	held, next, disturbed := make(map[spool.Pos]int), spool.Pos(1), false
	for range 120 {
		switch k := rng.IntN(20); {
		case k < 9:
			var sizes []int
			for range 1 + rng.IntN(4) {
				sizes = append(sizes, rng.IntN(1<<(4+rng.IntN(18))))
			}
			b := batchOf(next, sizes...)
			err := v.Takes(b)
			if lsn, aerr := v.Append(b); fmt.Sprint(aerr) != fmt.Sprint(err) || aerr == nil && lsn != v.last {
				t.Fatalf("Takes = %v, Append = %v", err, aerr)
			}
			free, total, _ := v.d.volume("")
			fits := free >= v.opts.need(v.stagedBytesLocked()+weigh(b), total)
			switch {
			case weigh(b) > most:
				if !errors.Is(err, spool.ErrLarge) {
					t.Fatalf("%d bytes, %d are possible: %v", weigh(b), most, err)
				}
			case err == nil:
				for i, n := range sizes {
					held[next+spool.Pos(i)] = n
				}
				next += spool.Pos(len(sizes))
			case !errors.Is(err, spool.ErrFull) || fits && !disturbed && v.level.floor == 0:
				t.Fatalf("%d bytes of %d possible, %d free of %d: %v", weigh(b), most, free, total, err)
			}
		case k < 13:
			b := &spool.Batch{Puts: []spool.Put{{Key: "k", Value: []byte(fmt.Sprint(next))}}}
			for _, pos := range slices.Sorted(maps.Keys(held))[:rng.IntN(len(held)+1)] {
				b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: held[pos]})
				delete(held, pos)
			}
			v.mustAppend(t, b)
		case k < 18:
			v.turn(t)
			if v.c.waiting && !disturbed {
				t.Fatalf("what was taken does not fit: %v", v.fits(v.nextLocked().bytes))
			}
		case k < 19: // somebody else fills the volume
			v.d.others, disturbed = 0, true
			v.d.others = max(0, v.d.total-v.d.taken()-rng.Int64N(2<<20))
		default:
			v.d.others, disturbed = 0, true
		}
		if disturbed && v.d.others == 0 {
			v.gate()
			disturbed = v.stagedBytesLocked() > 0
		}
	}
	v.d.others = 0
	v.settle(t)
	if got := positions(t, v.Store, 1); !slices.Equal(got, slices.Sorted(maps.Keys(held))) {
		t.Fatalf("the queue holds %v, want %v", got, slices.Sorted(maps.Keys(held)))
	}

	v.mustAppend(t, &spool.Batch{Purges: []spool.Purge{{Queue: 1, To: spool.MaxPos}}})
	v.settle(t)
	largest := batchOf(next, int(most)-stageCost)
	for range 30 {
		if _, err := v.Append(largest); err == nil {
			v.settle(t)
			return
		} else if !errors.Is(err, spool.ErrFull) {
			t.Fatalf("the largest batch of an empty spool: %v", err)
		}
		v.turn(t)
	}
	t.Fatalf("an empty spool on %d bytes never takes the largest batch that is possible, %d bytes", v.d.total, most)
}

// TestRoomIsCountedWithWhatWaits: each batch fits, all of them do not.
func TestRoomIsCountedWithWhatWaits(t *testing.T) {
	v := onVolume(t, 16<<20, func(o *Options) { o.StageBytesMax = 64 << 20 })
	v.spareFor(1 << 20)
	v.gate()
	v.mustAppend(t, batchOf(1, 400<<10))
	v.mustAppend(t, batchOf(2, 400<<10))
	if err := v.Takes(batchOf(3, 400<<10)); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("Takes = %v, want ErrFull", err)
	}
	if _, err := v.Append(batchOf(3, 400<<10)); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("Append = %v, want ErrFull", err)
	}
	for what, b := range map[string]*spool.Batch{
		"a leave":                       {Leaves: []spool.Leave{{Queue: 1, Pos: 1, Size: 400 << 10}}},
		"a definition":                  {Puts: []spool.Put{{Key: "k", Value: make([]byte, 400<<10)}}},
		"a message that only moves":     {Moves: true, Enters: batchOf(3, 400<<10).Enters},
		"a message that is small there": batchOf(3, 100<<10),
	} {
		if err := v.Takes(b); err != nil {
			t.Errorf("Takes of %s = %v", what, err)
		}
	}
	for range 2 {
		v.turn(t)
	}
	if v.durable != 2 || v.c.waiting {
		t.Errorf("durable up to %d, want 2", v.durable)
	}
}

// TestRoomWhileACommitIsUnderWay: what is being written is counted, and what has
// been written is, until the volume was looked at again.
func TestRoomWhileACommitIsUnderWay(t *testing.T) {
	v := onVolume(t, 16<<20, nil)
	v.spareFor(1 << 20)
	v.gate()
	v.mustAppend(t, batchOf(1, 600<<10))
	var before, after error
	v.d.asked = func() {
		if v.inflight != nil {
			t.Error("nobody looks at the volume in the middle of a commit")
		}
		if v.durable == 0 {
			before = v.Takes(batchOf(2, 600<<10))
		} else {
			after = v.Takes(batchOf(2, 600<<10))
		}
	}
	v.turn(t)
	for when, err := range map[string]error{"before the commit": before, "right after it": after} {
		if !errors.Is(err, spool.ErrFull) {
			t.Errorf("%s Takes = %v, want ErrFull", when, err)
		}
	}
	v.c.take()
	v.inflight.bytes = 600 << 10
	v.d.asked = nil
	v.spareFor(1 << 20)
	v.gate()
	if err := v.Takes(batchOf(2, 600<<10)); !errors.Is(err, spool.ErrFull) {
		t.Errorf("in the middle of it Takes = %v, want ErrFull", err)
	}
}

// TestLargeBatches: what can never be written is told from what has to wait.
func TestLargeBatches(t *testing.T) {
	const plain = 2 << 20
	for _, c := range []struct {
		name   string
		total  int64
		change func(*Options)
		most   int64
		moves  bool // have the same bound
	}{
		{"volume", 64 << 20, nil, 0, true},
		{"volume smaller than its files", 1 << 20, nil, 1 << 20 / leastShare, true},
		{"budget", 1 << 40, func(o *Options) { o.BudgetBytes = plain / 15 * 16 }, plain / 15 * 15, false},
		{"engine", 1 << 40, nil, 1500 / 4 * chunkBytes, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := onVolume(t, c.total, c.change)
			if c.name == "volume" {
				c.most = v.opts.possible(c.total) // about; see playRoom for how good it is
				if c.most < c.total/8 || c.most > c.total/2 {
					t.Fatalf("%d bytes are possible on a volume of %d", c.most, c.total)
				}
			}
			for _, more := range []int64{0, 1} {
				for _, moves := range []bool{false, true} {
					b := batchOf(1, 0)
					b.Enters[0].Record, b.Moves = claimed(c.most-stageCost+more), moves
					err := v.Takes(b)
					if more == 0 && c.name == "volume" && err != nil {
						t.Errorf("an empty volume does not take what is possible: %v", err)
					}
					if want := more > 0 && (c.moves || !moves); errors.Is(err, spool.ErrLarge) != want {
						t.Errorf("%d bytes more than possible, moves %v: %v", more, moves, err)
					} else if want && !strings.Contains(err.Error(), fmt.Sprint(c.most)) {
						t.Errorf("%q does not say that %d are possible", err, c.most)
					}
				}
			}
			for range 3 { // also with things of all kinds
				b := &spool.Batch{Leaves: make([]spool.Leave, c.most/leaveCost+1)}
				if err := v.Takes(b); c.moves && !errors.Is(err, spool.ErrLarge) || !c.moves && err != nil {
					t.Errorf("%d leaves: %v", len(b.Leaves), err)
				}
			}
		})
	}
}

// claimed is a record that is never asked for its bytes.
type claimed int

func (c claimed) Size() int              { return int(c) }
func (c claimed) AppendTo([]byte) []byte { panic("not to be written") }

// TestWeight: a batch never makes a group grow by more than it was weighed with.
func TestWeight(t *testing.T) {
	v := onVolume(t, 1<<40, nil)
	b := batchOf(1, 10, 0, 300)
	b.Enters[2].To = append(b.Enters[2].To, spool.Dest{Queue: 2, Pos: 1}, spool.Dest{Queue: 3, Pos: 1})
	b.Enters = append(b.Enters, spool.Enter{Record: text("for nobody")})
	b.Leaves = []spool.Leave{{Queue: 1, Pos: 1, Size: 10}, {Queue: 9, Pos: 4}}
	b.Puts = []spool.Put{{Key: "key", Value: []byte("value")}, {Key: "gone"}}
	b.Purges = []spool.Purge{{Queue: 7, To: 3}}
	v.mustAppend(t, b)
	if got, most := v.staged.bytes, weigh(b); got > most || got < most/2 {
		t.Errorf("the group grew by %d, weighed %d", got, most)
	}
}

// TestGroupsAreWrittenInPieces: when somebody else takes the space away, what was
// taken before still gets through, a piece at a time and in order, as soon as there
// is space for a piece; and it reads as before all the time.
func TestGroupsAreWrittenInPieces(t *testing.T) {
	v := onVolume(t, 1<<30, func(o *Options) { o.CommitBytesMax, o.ReserveBytes = 128<<10, 1<<20 })
	if err := v.opts.on.remove(ballastPath(v.opts.Dir)); err != nil { // the worst case
		t.Fatal(err)
	}
	v.d.others = v.d.total - 20<<20 // too little to lay it again
	v.gate()
	const n = 10
	for pos := spool.Pos(1); pos <= n; pos++ {
		v.mustAppend(t, batchOf(pos, 80<<10))
	}
	v.mustAppend(t, &spool.Batch{Leaves: []spool.Leave{{Queue: 1, Pos: 1, Size: 80 << 10}}})
	v.mustAppend(t, &spool.Batch{Purges: []spool.Purge{{Queue: 1, From: 4, To: 5}}})
	want := []spool.Pos{2, 3, 6, 7, 8, 9, 10}
	check := func() {
		t.Helper()
		if got := positions(t, v.Store, 1); !slices.Equal(got, want) {
			t.Fatalf("durable up to %d: the queue holds %v, want %v", v.durable, got, want)
		}
	}
	check()
	v.spareFor(0)
	for range 3 {
		if v.turn(t); v.durable > 0 || !v.c.waiting {
			t.Fatalf("durable up to %d without space", v.durable)
		}
	}
	if v.Room() == nil {
		t.Error("publishers are not held")
	}
	for last := v.durable; last < v.last; last = v.durable {
		v.spareFor(100 << 10)
		if v.turn(t); v.durable == last {
			t.Fatalf("wedged at %d of %d", last, v.last)
		}
		if v.durable > last+1 && last < n-1 {
			t.Errorf("from %d to %d at once: that was more than there was space for", last, v.durable)
		}
		check()
	}
}

// TestWhatMakesRoomComesInSmallPieces: on a volume that is full a long row of
// leaves does not wait for space for all of them.
func TestWhatMakesRoomComesInSmallPieces(t *testing.T) {
	v := onVolume(t, 16<<20, nil)
	const n = 20_000
	for pos := spool.Pos(1); pos <= n; pos += 1000 {
		v.mustAppend(t, batchOf(pos, slices.Repeat([]int{10}, 1000)...))
		v.turn(t)
	}
	v.spareFor(0)
	v.d.others -= 8 << 10
	v.turn(t)
	if v.level.floor == 0 {
		v.gate()
	}
	before := v.durable
	for pos := spool.Pos(1); pos <= n; pos += 100 {
		b := &spool.Batch{}
		for i := range spool.Pos(100) {
			b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos + i, Size: 10})
		}
		v.mustAppend(t, b)
	}
	v.spareFor(pieceBytes)
	if v.turn(t); v.durable == before || v.durable == v.last {
		t.Errorf("durable up to %d of %d, was %d", v.durable, v.last, before)
	}
}

// TestGroupsFitWhereTheBallastWas: with a ballast, what waits gets through on a
// volume that is full to the last byte.
func TestGroupsFitWhereTheBallastWas(t *testing.T) {
	for name, o := range map[string]Options{"tiny": Tiny(), "small": Small(), "server": Server()} {
		for _, total := range []int64{40 << 20, 100 << 20, 1 << 30} {
			v := onVolume(t, total, func(to *Options) {
				to.MemTableSize, to.NumMemtables, to.ValueLogFileSize = o.MemTableSize, o.NumMemtables, o.ValueLogFileSize
				to.StageBytesMax, to.CommitBytesMax = o.StageBytesMax, o.CommitBytesMax
			})
			for pos := spool.Pos(1); v.Room() == nil; pos++ {
				if _, err := v.Append(batchOf(pos, 20<<10)); err != nil {
					t.Fatalf("%s on %d: %v", name, total, err)
				}
			}
			v.d.others = 0
			v.d.others = v.d.total - v.d.taken()
			if v.turn(t); v.durable == 0 {
				t.Errorf("%s on a volume of %d bytes: the first group of %d waits although there was a ballast of %d",
					name, total, v.nextLocked().bytes, v.d.ballast)
			}
		}
	}
}

// TestSpaceIsWonBackWhileACommitWaits: what has left occupies the volume until a
// sweep, and for its space the next commit may be waiting.
func TestSpaceIsWonBackWhileACommitWaits(t *testing.T) {
	for _, ballast := range []bool{true, false} {
		v := onVolume(t, 16<<20, func(o *Options) { o.ReclaimBytes = 1 << 30 })
		pos := spool.Pos(1)
		for ; ; pos++ {
			if _, err := v.Append(batchOf(pos, 500<<10)); errors.Is(err, spool.ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			v.settle(t)
		}
		if !ballast {
			if _, err := dropBallast(v.opts.on, v.opts.Dir); err != nil {
				t.Fatal(err)
			}
		}
		// Some messages leave, and the whole rest moves to another queue.
		first := spool.Pos(1)
		if !ballast {
			b := &spool.Batch{}
			for ; first < 5; first++ {
				b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: first, Size: 500 << 10})
			}
			v.mustAppend(t, b)
		}
		for p := first; p < pos; p++ {
			b := batchOf(p, 500<<10)
			b.Enters[0].To[0].Queue, b.Moves = 2, true
			b.Leaves = []spool.Leave{{Queue: 1, Pos: p, Size: 500 << 10}}
			v.mustAppend(t, b)
		}
		v.settle(t)
		if got := positions(t, v.Store, 2); len(got) != int(pos-first) {
			t.Errorf("%d of %d messages have moved", len(got), pos-first)
		}
	}
}

// TestTheBallastWinsSpaceBack: a commit waits that does not fit with the ballast
// either, but in its place the work fits that makes space for both.
func TestTheBallastWinsSpaceBack(t *testing.T) {
	v := onVolume(t, 16<<20, nil)
	v.mustAppend(t, batchOf(1, 1500<<10))
	v.d.dead, v.c.janitor.freed, v.c.janitor.since = 6<<20, 6<<20, v.clock
	v.d.others = v.d.total - v.d.taken() - v.opts.need(0, v.d.total)/2
	if v.settle(t); v.c.waiting {
		t.Error("the commit still waits")
	}
}

// TestSealedGroupsDoNotWait: only the last group may grow by what comes in its
// window.
func TestSealedGroupsDoNotWait(t *testing.T) {
	v := onVolume(t, 16<<20, nil)
	v.c.ended = v.clock
	for pos := spool.Pos(1); len(v.sealed) == 0; pos++ {
		v.mustAppend(t, batchOf(pos, 200<<10))
	}
	v.sealed[0].bytes = 1 // whatever it holds
	if at, _ := v.c.due(); at.After(v.clock) {
		t.Errorf("a sealed group waits until %v", at.Sub(v.clock))
	}
}

// TestGroupsFitTheEngine: a group is no larger than what has the effect of one
// commit, whatever else is allowed.
func TestGroupsFitTheEngine(t *testing.T) {
	v := onVolume(t, 1<<40, func(o *Options) { o.StageBytesMax, o.CommitBytesMax = 1<<30, 1<<30 })
	v.out.max.changes = 20
	if got := v.groupMaxLocked(); got > v.out.writable() {
		t.Errorf("groups of %d bytes, the engine takes %d", got, v.out.writable())
	}
}

// TestBallastIsKeptForWhatItHelps: it is given up for a commit that fits then, and
// not for one that does not fit even so.
func TestBallastIsKeptForWhatItHelps(t *testing.T) {
	v := onVolume(t, 16<<20, nil)
	held := ballastHeld(v.opts.on, v.opts.Dir)
	if free, _, _ := v.d.volume(""); held == 0 || v.space.free != free {
		t.Fatalf("ballast of %d, %d bytes are free and %d are taken for that", held, free, v.space.free)
	}
	v.spareFor(1 << 20)
	if err := v.mayWrite(8 << 20); !errors.Is(err, errNoSpace) || ballastHeld(v.opts.on, v.opts.Dir) != held {
		t.Errorf("too much: %v, a ballast of %d is left", err, ballastHeld(v.opts.on, v.opts.Dir))
	}
	if err := v.mayWrite(1<<20 + held/4); err != nil || ballastHeld(v.opts.on, v.opts.Dir) != 0 {
		t.Errorf("what fits in its place: %v, a ballast of %d is left", err, ballastHeld(v.opts.on, v.opts.Dir))
	}
}

// TestTablesCanAlwaysBeCompacted: nothing more enters when tables could hardly be
// compacted, although the volume has its reserve; one table later they still can.
func TestTablesCanAlwaysBeCompacted(t *testing.T) {
	const step = 64 << 10
	for _, tables := range []int64{0, 2 << 20, 4 << 20, 6 << 20} {
		v := onVolume(t, 24<<20, nil)
		v.d.tables = tables
		for v.gate(); !v.Full(); v.gate() {
			v.d.others += step
		}
		v.d.tables += v.opts.MemTableSize - step
		v.d.others += v.opts.MemTableSize - step
		c := committer{Store: v.Store}
		if wait, err := c.cramped(); wait || err != nil {
			free, total, _ := v.d.volume("")
			t.Errorf("full with %d bytes of tables, and %d of %d bytes free: a compaction waits (%v)", tables, free, total, err)
		}
	}
}

// TestValueLogsFitTheVolume: otherwise what is dead in the last one could be most
// of a small volume, for good.
func TestValueLogsFitTheVolume(t *testing.T) {
	for _, c := range []struct{ total, want int64 }{
		{20 << 20, valueLogLeast}, {300 << 20, 300 << 20 / valueLogShare}, {1 << 30, Small().ValueLogFileSize},
	} {
		v := onVolume(t, c.total, func(o *Options) { o.ValueLogFileSize = Small().ValueLogFileSize })
		if got := v.opts.ValueLogFileSize; got != c.want {
			t.Errorf("on %d bytes: value logs of %d, want %d", c.total, got, c.want)
		}
	}
}

// TestRoomTellsWhenSpaceIsUsedUp: publishers are asked to wait when what waits
// has used up the space, and may go on after the commit.
func TestRoomTellsWhenSpaceIsUsedUp(t *testing.T) {
	v := onVolume(t, 16<<20, func(o *Options) { o.StageBytesMax = 64 << 20 })
	v.spareFor(1 << 20)
	v.gate()
	if v.Room() != nil {
		t.Fatal("there is no room")
	}
	v.mustAppend(t, batchOf(1, 1000<<10))
	room := v.Room()
	if room == nil {
		t.Fatal("there is still room")
	}
	v.d.others = 0
	v.turn(t)
	select {
	case <-room:
	default:
		t.Error("nobody was told that there is room again")
	}
}

// TestWantedSpaceIsWonBackSoon: where only a large batch does not fit the store is
// not full, and yet the writer hurries.
func TestWantedSpaceIsWonBackSoon(t *testing.T) {
	reclaims := func(v *tight) bool {
		for range 2 {
			v.turn(t)
		}
		return v.c.janitor.freed == 0
	}
	for _, ask := range []bool{false, true} {
		v := onVolume(t, 16<<20, nil)
		v.mustAppend(t, batchOf(1, 100<<10, 100<<10))
		v.turn(t)
		v.mustAppend(t, &spool.Batch{Leaves: []spool.Leave{{Queue: 1, Pos: 1, Size: 100 << 10}, {Queue: 1, Pos: 2, Size: 100 << 10}}})
		v.turn(t)
		v.spareFor(1 << 20)
		v.gate()
		select {
		case <-v.wake: // of what was appended
		default:
		}
		if ask {
			if _, err := v.Append(batchOf(3, 2<<20)); !errors.Is(err, spool.ErrFull) {
				t.Fatalf("Append = %v, want ErrFull", err)
			}
			select {
			case <-v.wake:
			default:
				t.Error("the writer sleeps on")
			}
			if shares := v.shares(); shares[len(shares)-1] != shareFull {
				t.Errorf("value logs are swept from %v of dead bytes on", shares)
			}
		}
		if got := reclaims(v); got != ask || v.Full() {
			t.Errorf("asked for: %v, won back: %v, full: %v", ask, got, v.Full())
		}
		if before := v.c.janitor.last; ask {
			for range reclaimMin/time.Second + 2 { // somebody may have held it the first time
				_, _ = v.Append(batchOf(3, 2<<20))
				v.turn(t)
			}
			if !v.c.janitor.last.After(before) {
				t.Error("it was tried once")
			}
			for range wantedFor/time.Second + 1 {
				v.turn(t)
			}
			if v.wanted.bytes > 0 {
				t.Error("nobody asks any more, and the writer still hurries")
			}
			_, _ = v.Append(batchOf(3, 2<<20))
			v.d.others = 0
			if v.gate(); v.wanted.bytes > 0 {
				t.Error("there is space, and the writer still hurries")
			}
		}
	}
}
