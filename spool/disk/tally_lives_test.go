package disk

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/spool"
)

// spot is where a message lies.
type spot struct {
	queue spool.QueueID
	pos   spool.Pos
}

// lives is a spool that many things happen to, and what it must hold.
type lives struct {
	*ledger
	rnd    *rand.Rand
	all    map[spot]string
	doubt  map[spot]string // what the commit that failed would have taken or brought
	frozen bool            // the copy of the manifest cannot be written
	reader func()          // ends one that holds an iterator
}

const livesQueues = 3

// change confirms a batch: messages that come to some queues and leave some, or a
// purge of one.
func (l *lives) change() error {
	var b spool.Batch
	came, left := make(map[spot]string), make(map[spot]string)
	if l.rnd.IntN(60) == 0 {
		q := spool.QueueID(1 + l.rnd.IntN(livesQueues))
		b.Purges = []spool.Purge{{Queue: q, From: 0, To: l.next}}
		for p, body := range l.all {
			if p.queue == q {
				left[p] = body
			}
		}
	}
	size := []int{10, 300, 1000, 3900, 6000, 40_000}[l.rnd.IntN(6)]
	for range 1 + l.rnd.IntN(3) {
		l.next++
		body := fmt.Sprintf("%d %s", l.next, strings.Repeat("x", size))
		e := spool.Enter{Record: text(body), Size: len(body)}
		for q := spool.QueueID(1); q <= livesQueues; q++ {
			if l.rnd.IntN(2) == 0 || q == livesQueues && len(e.To) == 0 {
				e.To = append(e.To, spool.Dest{Queue: q, Pos: l.next})
				came[spot{q, l.next}] = body
			}
		}
		b.Enters = append(b.Enters, e)
	}
	stored := slices.SortedFunc(maps.Keys(l.all), func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.pos, b.pos), cmp.Compare(a.queue, b.queue))
	})
	for n := l.rnd.IntN(6); n > 0 && len(stored) > 0; n-- {
		p := stored[l.rnd.IntN(len(stored))]
		if _, gone := left[p]; !gone {
			left[p] = l.all[p]
			b.Leaves = append(b.Leaves, spool.Leave{Queue: p.queue, Pos: p.pos, Size: len(l.all[p])})
		}
	}
	if _, err := l.s.Append(&b); err != nil {
		return err
	}
	if err := l.c.commit(); err != nil {
		maps.Copy(l.doubt, came)
		maps.Copy(l.doubt, left)
		return err
	}
	for p := range left {
		delete(l.all, p)
	}
	maps.Copy(l.all, came)
	return nil
}

// compare is what a start must find: all that was confirmed, and nothing else.
func (l *lives) compare() {
	l.t.Helper()
	got := make(map[spot]string)
	items := make([]spool.Item, 100)
	for q := spool.QueueID(1); q <= livesQueues; q++ {
		for from := spool.Pos(0); ; {
			n, err := l.s.Read(q, from, items, 1<<20)
			if err != nil {
				l.t.Fatal(err)
			}
			if n == 0 {
				break
			}
			for _, it := range items[:n] {
				if it.Err != nil {
					l.t.Errorf("queue %d, message %d: %v", q, it.Pos, it.Err)
				}
				got[spot{q, it.Pos}], from = string(it.Data), it.Pos+1
			}
		}
	}
	for p, body := range l.doubt {
		delete(l.all, p)
		if got[p] == body {
			l.all[p] = body
		}
	}
	clear(l.doubt)
	if maps.Equal(got, l.all) {
		return
	}
	var lost, risen []string
	for p, body := range l.all {
		if got[p] != body {
			lost = append(lost, fmt.Sprint(p))
		}
	}
	for p := range got {
		if _, ok := l.all[p]; !ok {
			risen = append(risen, fmt.Sprint(p))
		}
	}
	slices.Sort(lost)
	slices.Sort(risen)
	l.t.Fatalf("of %d confirmed messages %d are lost %.200v, and %d that had left are back %.200v", len(l.all), len(lost), lost, len(risen), risen)
}

// freeze has the copy of the manifest meet a full volume, or thaws it.
func (l *lives) freeze(on bool) {
	l.t.Helper()
	path := guardFile(l.o.Dir, manifestName) + ".new"
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if on && err == nil {
		err = os.Symlink("/dev/full", path)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.frozen = on
}

// read begins a reader that holds an iterator for some steps, or ends it.
func (l *lives) read() {
	if l.reader != nil {
		l.reader()
		l.reader = nil
		return
	}
	snap, err := l.s.acquire()
	if err != nil {
		return
	}
	it := snap.at.back([]byte{classEntry})
	l.reader = func() {
		it.close()
		l.s.release(snap)
	}
}

func (l *lives) merge() error {
	l.c.merges(time.Now(), func(time.Time) {})
	for {
		if more, err := l.c.merge(); !more || err != nil {
			return err
		}
	}
}

// step does one thing.
func (l *lives) step() (err error) {
	j := &l.c.janitor
	switch r := l.rnd.IntN(100); {
	case r < 70:
		return l.change()
	case r < 71:
		l.block(l.rnd.Uint64N(3))
	case r < 73:
		l.freeze(!l.frozen)
	case r < 76:
		l.read()
	case r < 79:
		return l.merge()
	case r < 86 && j.done == nil:
		return l.c.reclaim()
	case r < 90 && j.done == nil:
		return j.start()
	case r < 95:
		for more := true; more && err == nil; {
			more, err = j.sweep()
		}
		if j.rewrote && err == nil {
			j.rewrote = false
			l.c.strays.begin()
			_, err = l.c.dropStrays()
		}
	default:
		if _, err = l.s.engine.rest(time.Now().Add(time.Hour)); err == nil {
			j.passes = 4
			err = l.c.follow()
		}
	}
	return err
}

// end ends a life.
func (l *lives) end(failed error) {
	l.t.Helper()
	if l.c.janitor.done != nil {
		<-l.c.janitor.done // copying while files go would be no moment
	}
	if l.reader != nil {
		l.read()
	}
	l.freeze(false)
	switch {
	case failed != nil, l.rnd.IntN(2) == 0:
		l.die()
	default:
		if err := l.c.janitor.wait(nil); err != nil {
			l.s.fail(err)
		}
		l.s.Close() // a table may be lost just then
	}
}

// sizes lets the next life have another profile.
func (l *lives) sizes() {
	l.o.MemTableSize = []int64{1 << 20, 2 << 20}[l.rnd.IntN(2)]
	l.o.NumL0Tables, l.o.NumMemtables = 1+l.rnd.IntN(3), 1+l.rnd.IntN(2)
	l.o.ValueThreshold = []int64{2 << 10, 4 << 10}[l.rnd.IntN(2)]
}

// TestManyLives mixes all that the writer and the janitor do with tables that cannot
// be written, a copy of the manifest that has no room, readers, kills, clean stops
// and other sizes, by seed.
func TestManyLives(t *testing.T) {
	first, count := uint64(0), uint64(4)
	if s := os.Getenv("LEVERET_LIVES"); s != "" {
		fmt.Sscan(s, &first, &count)
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &lives{ledger: newLedger(t), rnd: rand.New(rand.NewPCG(seed, 11)),
				all: make(map[spot]string), doubt: make(map[spot]string)}
			l.o.MergeChunks = 16
			for range 6 {
				l.sizes()
				l.open()
				l.compare()
				var failed error
				for n := 0; n < 200 && failed == nil; n++ {
					failed = l.step()
				}
				l.end(failed)
			}
		})
	}
}
