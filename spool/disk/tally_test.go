package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/badger/v4/pb"

	"leveret/spool"
)

// made and gone are changes of a manifest.
func made(level uint32, ids ...uint64) (set []*pb.ManifestChange) {
	for _, id := range ids {
		set = append(set, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, Level: level, EncryptionAlgo: pb.EncryptionAlgo_aes})
	}
	return set
}

func ended(ids ...uint64) (set []*pb.ManifestChange) {
	for _, id := range ids {
		set = append(set, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
	}
	return set
}

func compaction(into, from []uint64) []*pb.ManifestChange {
	return append(made(6, into...), ended(from...)...)
}

// writeSets makes a manifest of change sets.
func writeSets(t *testing.T, path string, sets ...[]*pb.ManifestChange) {
	t.Helper()
	b := manifestHeader()
	for _, set := range sets {
		one, err := (&manifest{}).encodeSet(set)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, one...)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTally: what a compaction announced has to be named.
func TestTally(t *testing.T) {
	before := [][]*pb.ManifestChange{made(0, 1), made(0, 2)}
	for _, c := range []struct {
		name      string
		announced int
		sets      [][]*pb.ManifestChange
		word, bad bool
	}{
		{"a flush", 0, [][]*pb.ManifestChange{made(0, 3)}, false, false},
		{"a compaction", 1, [][]*pb.ManifestChange{made(0, 3), compaction([]uint64{4}, []uint64{1, 2, 3})}, true, false},
		{"one table of two", 2, [][]*pb.ManifestChange{compaction([]uint64{4}, []uint64{1, 2})}, true, true},
		{"none of one", 1, [][]*pb.ManifestChange{ended(1, 2)}, true, true},
		{"everything was deleted", 0, [][]*pb.ManifestChange{ended(1, 2)}, true, false},
		{"two in a row", 3, [][]*pb.ManifestChange{compaction([]uint64{4, 5}, []uint64{1, 2}), compaction([]uint64{6}, []uint64{4, 5})}, true, false},
		{"the second of two in a row", 3, [][]*pb.ManifestChange{compaction([]uint64{4, 5}, []uint64{1, 2}), ended(4, 5)}, true, true},
		{"begun and not put in place", 1, nil, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, manifestName)
			writeSets(t, path, before...)
			y := tally{dir: dir}
			if err := y.begin(); err != nil {
				t.Fatal(err)
			}
			for range c.announced {
				y.announce()
			}
			writeSets(t, path, append(slices.Clone(before), c.sets...)...)
			if word, _, err := y.open(); word != c.word || err != nil {
				t.Errorf("open = %t, %v, want %t", word, err, c.word)
			}
			if err := y.prove(); (err != nil) != c.bad {
				t.Errorf("prove = %v, bad: %t", err, c.bad)
			}
			if word, _, _ := y.open(); word != (c.bad && c.word) {
				t.Errorf("open after the proof = %t", word)
			}
		})
	}
}

// TestTallyOfNewManifest: when it has grown too long, Badger writes its manifest
// anew, as tables that were all made at once. It may do so at a flush, too.
func TestTallyOfNewManifest(t *testing.T) {
	for announced, sets := range map[int][][]*pb.ManifestChange{
		0: {append(made(6, 4), made(0, 5)...)},
		2: {append(made(6, 4, 6, 7), made(0, 5)...)},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, manifestName)
		writeSets(t, path, made(0, 1), made(0, 2), compaction([]uint64{4}, []uint64{1, 2}))
		y := tally{dir: dir}
		if err := y.begin(); err != nil {
			t.Fatal(err)
		}
		for range announced {
			y.announce()
		}
		writeSets(t, path, sets...)
		if word, _, err := y.open(); !word || err != nil {
			t.Errorf("%d announced: open = %t, %v", announced, word, err)
		}
		if err := y.prove(); err != nil {
			t.Errorf("%d announced: %v", announced, err)
		}
	}
}

// TestManifestGoesBack: compactions that nobody counted are taken back when all is
// there that they replaced.
func TestManifestGoesBack(t *testing.T) {
	first := made(6, 1, 2)
	for _, c := range []struct {
		name  string
		copy  [][]*pb.ManifestChange
		now   [][]*pb.ManifestChange
		there []uint64
		want  []uint64 // nil: it stays
	}{
		{"nothing was compacted", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{first, made(0, 3)}, []uint64{1, 2, 3}, nil},
		{"not counted", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{first, compaction([]uint64{4}, []uint64{1, 2})}, []uint64{1, 2, 4}, []uint64{1, 2}},
		{"with what was flushed since", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{first, made(0, 3), compaction([]uint64{5}, []uint64{1}), made(0, 6)},
			[]uint64{1, 2, 3, 5, 6}, []uint64{1, 2, 3, 6}},
		{"and compacted as well", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{first, made(0, 3), compaction([]uint64{5}, []uint64{1, 2, 3})},
			[]uint64{1, 2, 3, 5}, []uint64{1, 2, 3}},
		{"whose log is there instead", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{first, made(0, 3), compaction([]uint64{5}, []uint64{1, 2, 3})},
			[]uint64{1, 2, 5}, []uint64{1, 2}},
		{"it was counted", [][]*pb.ManifestChange{made(6, 4)}, [][]*pb.ManifestChange{first, compaction([]uint64{4}, []uint64{1, 2})}, []uint64{1, 2, 4}, nil},
		{"what was replaced has begun to go", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{first, compaction([]uint64{4}, []uint64{1, 2})}, []uint64{1, 4}, nil},
		{"a manifest that knows nothing", [][]*pb.ManifestChange{first}, [][]*pb.ManifestChange{made(6, 4)}, []uint64{1, 2, 4}, nil},
		{"no copy", nil, [][]*pb.ManifestChange{first, compaction([]uint64{4}, []uint64{1, 2})}, []uint64{1, 2, 4}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeSets(t, filepath.Join(dir, "now"), c.now...)
			if c.copy != nil {
				writeSets(t, filepath.Join(dir, "old"), c.copy...)
			}
			now, err := readManifest(filepath.Join(dir, "now"))
			if err != nil {
				t.Fatal(err)
			}
			old, err := readManifest(filepath.Join(dir, "old"))
			if err != nil {
				t.Fatal(err)
			}
			there := make(map[uint64]bool)
			for _, id := range c.there {
				there[id] = true
			}
			want := c.want
			if want == nil {
				want = now.tables()
			}
			if back := now.back(old, there); back != (c.want != nil) || !slices.Equal(now.tables(), want) {
				t.Errorf("back = %t, tables %v, want %v", back, now.tables(), want)
			}
			if c.want != nil && judge(now, old, there) != trust {
				t.Errorf("judge = %v", judge(now, old, there))
			}
		})
	}
}

// TestCommitWaitsForTheProof: nothing is written between a compaction's word in the
// manifest and its end.
func TestCommitWaitsForTheProof(t *testing.T) {
	for _, c := range []struct {
		name      string
		announced int
		fails     bool
	}{{"nothing is missing", 1, false}, {"a table is", 2, true}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, manifestName)
			writeSets(t, path, made(0, 1, 2))
			synctest.Test(t, func(t *testing.T) {
				e := &badgerEngine{latch: &latch{log: slog.New(slog.DiscardHandler), tally: tally{dir: dir}},
					files: &folder{compacting: true, anchor: &anchor{}}, compacted: make(chan struct{})}
				if err := e.latch.tally.begin(); err != nil {
					t.Fatal(err)
				}
				if err := e.sound(); err != nil {
					t.Fatalf("sound = %v before anything happened", err)
				}
				for range c.announced {
					e.latch.Debugf(logTable+" Skipped", 1, uint64(7))
				}
				e.latch.Debugf(logTable+" Skipped", 1, uint64(0)) // no table is made of nothing
				writeSets(t, path, made(0, 1, 2), compaction([]uint64{3}, []uint64{1, 2}))
				var sound error
				done := false
				go func() { sound, done = e.sound(), true }()
				synctest.Wait()
				if done {
					t.Fatalf("a commit went on: %v", sound)
				}
				e.latch.Debugf(logEnded, 1, 0)
				synctest.Wait()
				if !done && c.fails {
					close(e.compacted) // as compact does in the end
					synctest.Wait()
				}
				if !done || (sound != nil) != c.fails {
					t.Errorf("went on: %t, %v", done, sound)
				}
			})
		})
	}
}

// ledger is what a test has confirmed.
type ledger struct {
	t    *testing.T
	o    Options
	s    *Store
	c    *committer
	next spool.Pos
	want map[spool.Pos]string
	// unsure are those that a commit would have changed that failed: it may
	// be there or not.
	unsure []spool.Pos
}

func newLedger(t *testing.T) *ledger {
	o := Tiny()
	o.Dir = leftFolder(t)
	o.MemTableSize, o.BaseTableSize, o.ValueLogFileSize, o.ValueThreshold = 1<<20, 1<<20, 1<<20, 4<<10
	o.NumL0Tables, o.MergeChunks, o.NoCompression = 1, -1, true
	o.Trouble = func(name, text string) {
		if name != TroubleBudget {
			t.Errorf("trouble: %s: %s", name, text)
		}
	}
	return &ledger{t: t, o: o, want: make(map[spool.Pos]string)}
}

// leftFolder is one that Badger may still write to when the test has ended: it is
// left behind where it cannot end.
func leftFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for late := time.Now().Add(time.Minute); os.RemoveAll(dir) != nil && time.Now().Before(late); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	return dir
}

func (l *ledger) open() {
	l.t.Helper()
	var err error
	if l.s, err = Open(l.o); err != nil {
		l.t.Fatal(err)
	}
	l.c = &committer{Store: l.s}
	l.c.janitor.store = l.s
}

// commit confirms a batch of small messages, and takes some others out.
func (l *ledger) commit(bytes int, leave int) error {
	var b spool.Batch
	body := fmt.Sprintf("%d %s", l.next, strings.Repeat("x", bytes))
	b.Enters = []spool.Enter{{Record: text(body), Size: len(body), To: []spool.Dest{{Queue: 1, Pos: l.next}}}}
	var left []spool.Pos
	for _, pos := range slices.Sorted(maps.Keys(l.want)) {
		if len(left) == leave {
			break
		}
		left = append(left, pos)
		b.Leaves = append(b.Leaves, spool.Leave{Queue: 1, Pos: pos, Size: len(l.want[pos])})
	}
	if _, err := l.s.Append(&b); err != nil {
		return err
	}
	if err := l.c.commit(); err != nil {
		l.unsure = append(left, l.next)
		l.next++
		return err
	}
	for _, pos := range left {
		delete(l.want, pos)
	}
	l.want[l.next] = body
	l.next++
	return nil
}

// die leaves the folder as it is at this moment, as after a kill, and goes on with a
// copy of it.
func (l *ledger) die() {
	l.t.Helper()
	to := leftFolder(l.t)
	lose(l.t, l.o.Dir, to, "")
	l.s.fail(errors.New("killed"))
	l.c.janitor.wait(errors.New("killed"))
	l.s.Close() // what it says is of no interest
	l.o.Dir = to
}

// check compares what is stored with what was confirmed.
func (l *ledger) check() {
	l.t.Helper()
	got := make(map[spool.Pos]string)
	items := make([]spool.Item, 100)
	for from := spool.Pos(0); ; {
		n, err := l.s.Read(1, from, items, 1<<20)
		if err != nil {
			l.t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for _, it := range items[:n] {
			if it.Err != nil {
				l.t.Errorf("message %d: %v", it.Pos, it.Err)
			}
			got[it.Pos], from = string(it.Data), it.Pos+1
		}
	}
	for _, pos := range l.unsure {
		if body, ok := got[pos]; ok {
			l.want[pos] = body
		} else {
			delete(l.want, pos)
		}
	}
	l.unsure = nil
	if !maps.Equal(got, l.want) {
		lost, risen := 0, 0
		for pos, body := range l.want {
			if got[pos] != body {
				lost++
			}
		}
		for pos := range got {
			if _, ok := l.want[pos]; !ok {
				risen++
			}
		}
		l.t.Fatalf("of %d confirmed messages %d are lost, and %d that had left are back", len(l.want), lost, risen)
	}
}

// block lets Badger fail at the table with a number from now on: it makes no file
// where there is one.
func (l *ledger) block(ahead uint64) {
	l.t.Helper()
	m, err := readManifest(filepath.Join(l.o.Dir, manifestName))
	if err != nil {
		l.t.Fatal(err)
	}
	for id := m.state().last + 1 + ahead; ; id++ {
		f, err := os.OpenFile(filepath.Join(l.o.Dir, tableName(id)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) { // Badger was faster
			continue
		}
		if err == nil {
			_, err = f.WriteString("in the way")
		}
		if err := errors.Join(err, f.Close()); err != nil {
			l.t.Fatal(err)
		}
		return
	}
}

// crowd commits until tables lie over each other and Badger is at rest.
func (l *ledger) crowd() {
	l.t.Helper()
	e := l.s.engine.(*badgerEngine)
	logs := func() int {
		e.files.anchor.cast() // the last one may still hold a log
		if err := e.settled(0); err != nil {
			l.t.Fatal(err)
		}
		mems, err := logsIn(l.o.Dir, ".mem")
		if err != nil {
			l.t.Fatal(err)
		}
		return len(mems)
	}
	for !l.s.engine.crowded() || logs() > 1 {
		if err := l.commit(3000, 0); err != nil {
			l.t.Fatal(err)
		}
		var b spool.Batch // which fills the memtable faster than messages
		for i := range 40 {
			b.Puts = append(b.Puts, spool.Put{Key: fmt.Sprint("d", l.next, " ", i), Value: make([]byte, 3000)})
		}
		if _, err := l.s.Append(&b); err != nil {
			l.t.Fatal(err)
		}
		if err := l.c.commit(); err != nil {
			l.t.Fatal(err)
		}
		if _, err := l.s.engine.rest(time.Now().Add(time.Hour)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// TestLostTable: a compaction that could not write a table ends the store, and the
// next start has everything; also where the process was killed before it knew.
func TestLostTable(t *testing.T) {
	for name, kill := range map[string]bool{"noticed": false, "killed before": true} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.open()
			l.crowd()
			l.block(0)
			if err := l.c.janitor.start(); err != nil {
				t.Fatal(err)
			}
			<-l.c.janitor.done
			if kill {
				l.die()
			} else {
				if err := l.commit(10, 0); err == nil || !strings.Contains(err.Error(), "began") {
					t.Fatalf("a commit after the loss = %v", err)
				}
				if err := l.c.follow(); err == nil {
					t.Fatal("nobody noticed")
				}
				l.s.fail(errors.New("a table is lost"))
				l.s.Close()
			}
			l.open()
			l.check()
			for range 3 { // and it goes on
				l.crowd()
				if err := l.c.janitor.start(); err != nil {
					t.Fatal(err)
				}
				if err := l.c.janitor.wait(nil); err != nil {
					t.Fatal(err)
				}
			}
			l.check()
			if err := l.s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestNothingGoesBeforeTheProof: files are looked at while a compaction that lost a
// table has put the others in their place, and has not come to its end.
func TestNothingGoesBeforeTheProof(t *testing.T) {
	l := newLedger(t)
	l.open()
	l.crowd()
	l.block(0)
	e := l.s.engine.(*badgerEngine)
	if err := e.hold(); err != nil {
		t.Fatal(err)
	}
	e.latch.tally.moved = nil // nobody counts yet
	if err := e.db.Flatten(1); err != nil {
		t.Fatal(err)
	}
	if err := e.settled(measureEvery); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- e.commit([]change{{[]byte("d"), []byte("decided by what is hidden")}}) }()
	select {
	case err := <-written:
		t.Errorf("something was written meanwhile (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	e.latch.tally.mu.Lock()
	e.latch.tally.moved = make(chan struct{})
	e.latch.tally.mu.Unlock()
	close(e.compacted)
	if err := <-written; err == nil {
		t.Error("a table is missing, and something was written all the same")
	}
	l.die()
	l.open()
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAnchorsDoNotPileUp: a compaction that takes too long is waited for.
func TestAnchorsDoNotPileUp(t *testing.T) {
	l := newLedger(t)
	l.open()
	e := l.s.engine.(*badgerEngine)
	if err := e.hold(); err != nil {
		t.Fatal(err)
	}
	for len(e.files.anchor.held) <= heldMax {
		if err := l.commit(10, 0); err != nil {
			t.Fatal(err)
		}
		e.files.anchor.cast() // as for a new file
	}
	written := make(chan error, 1)
	go func() { written <- l.commit(10, 0) }()
	select {
	case err := <-written:
		t.Errorf("one more was cast (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(e.compacted)
	if err := errors.Join(<-written, e.prove()); err != nil {
		t.Fatal(err)
	}
	if n := len(e.files.anchor.held); n != 1 {
		t.Errorf("%d anchors are held at the end", n)
	}
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLostTableOfAFlush is the same where the writer flushes: the table that was
// made of the memtable is compacted at once.
func TestLostTableOfAFlush(t *testing.T) {
	l := newLedger(t)
	l.open()
	for range 50 {
		if err := l.commit(1000, 0); err != nil {
			t.Fatal(err)
		}
	}
	l.block(1) // the next one is the memtable's
	if err := l.c.reclaim(); err == nil || !strings.Contains(err.Error(), "wrote 0 tables and began 1") {
		t.Fatalf("reclaim = %v", err)
	}
	l.die()
	l.open()
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLostTables mixes commits, flushes, compactions, tables that cannot be written,
// kills and clean stops, by seed.
func TestLostTables(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			l := newLedger(t)
			lost := 0
			for range 6 {
				l.open()
				l.check()
				failed := error(nil)
				for step := 0; step < 150 && failed == nil; step++ {
					switch r := rnd.IntN(100); {
					case r < 80:
						failed = l.commit([]int{10, 1000, 3900, 6000, 40_000}[rnd.IntN(5)], rnd.IntN(3))
					case r < 81:
						l.block(rnd.Uint64N(3))
					case r < 92 && l.c.janitor.done == nil:
						failed = l.c.reclaim()
					case r < 96 && l.c.janitor.done == nil:
						failed = l.c.janitor.start()
					default:
						if _, failed = l.s.engine.rest(time.Now().Add(time.Hour)); failed == nil {
							failed = l.c.follow()
						}
						if failed == nil {
							_, failed = l.c.janitor.sweep()
						}
					}
				}
				if l.c.janitor.done != nil {
					<-l.c.janitor.done // copying while files go would be no moment
				}
				switch {
				case failed != nil:
					lost++
					l.die()
				case rnd.IntN(2) == 0:
					l.die()
				default:
					if l.c.janitor.wait(nil) != nil || l.s.Close() != nil {
						lost++
					}
				}
			}
			t.Logf("%d lives ended early", lost)
		})
	}
}

// TestAnchorStaysWhileCompacted: what a reader kept from being deleted before a
// compaction began is not deleted while it goes on: the anchor that would have to be
// lifted is all that holds the replaced tables.
func TestAnchorStaysWhileCompacted(t *testing.T) {
	l := newLedger(t)
	l.open()
	l.crowd()
	e := l.s.engine.(*badgerEngine)
	if err := e.hold(); err != nil {
		t.Fatal(err)
	}
	before, err := tablesIn(l.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	e.files.anchor.dead = true // a value log that a reader's iterator held until now
	if err := e.db.Flatten(1); err != nil {
		t.Fatal(err)
	}
	// The names of the new tables are as if there were none: it made nothing, or
	// they were seen in the moment before they were put in place.
	if _, err := e.files.names.look(e.files.d); err != nil {
		t.Fatal(err)
	}
	e.files.names.safe()
	if err := e.settled(0); err != nil {
		t.Fatal(err)
	}
	after, err := tablesIn(l.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for id := range before {
		if !after[id] {
			t.Errorf("table %d went before the proof", id)
		}
	}
	close(e.compacted)
	if err := e.prove(); err != nil {
		t.Fatal(err)
	}
	l.check()
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}
