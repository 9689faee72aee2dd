package disk

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leveret/spool"
)

var simSeed = flag.Uint64("sim.seed", 0, "play only this seed of the simulation")

// simSeeds is how many seeds are played; SIM_SEEDS asks for more, from a random
// one on.
func simSeeds(t *testing.T) (first, n uint64) {
	if *simSeed != 0 {
		return *simSeed, 1
	}
	if s := os.Getenv("SIM_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatalf("SIM_SEEDS=%s: %v", s, err)
		}
		return rand.Uint64(), n
	}
	if raced {
		return 1, 1000
	}
	return 1, 10_000
}

// TestSimulation plays lives of a store, each ended by a stop, a kill, a failed
// write or a power cut in some operation, that of a repair too, against a model so
// simple that it is plainly right: a map for each queue. A store that was opened
// must hold what the model held at the last durable change or at the end of the
// group that was being written, nothing else and nothing less, and count it right.
func TestSimulation(t *testing.T) {
	first, n := simSeeds(t)
	for seed := first; seed != first+n; seed++ {
		s := newSim(seed)
		if err := s.play(); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./spool/disk -run TestSimulation -sim.seed=%d\n%s",
				seed, err, seed, strings.Join(s.story[max(0, len(s.story)-60):], "\n"))
		}
	}
}

const (
	simQueues = 4
	simLives  = 5
	simSteps  = 30
)

// simModel is what a log holds.
type simModel struct {
	queues [simQueues]map[spool.Pos]simMsg
	defs   map[string]string
}

type simMsg struct {
	body     string
	volatile bool
}

func (m *simModel) clone() *simModel {
	c := &simModel{defs: maps.Clone(m.defs)}
	for q := range m.queues {
		c.queues[q] = maps.Clone(m.queues[q])
	}
	return c
}

// reopened is what is left of it by an open.
func (m *simModel) reopened() *simModel {
	c := m.clone()
	for q := range c.queues {
		maps.DeleteFunc(c.queues[q], func(_ spool.Pos, m simMsg) bool { return m.volatile })
	}
	return c
}

func (m *simModel) places() (n int64) {
	for q := range m.queues {
		n += int64(len(m.queues[q]))
	}
	return n
}

type sim struct {
	rng   *rand.Rand
	d     *twin
	s     *Store
	c     *committer
	clock time.Time
	opts  Options

	now    *simModel   // with everything appended
	past   []*simModel // as of each LSN
	safe   *simModel   // as of what is durable
	flight *simModel   // as of the group that may be on the disk
	group  spool.LSN   // up to which that one goes
	next   [simQueues]spool.Pos
	id     int
	story  []string
}

func newSim(seed uint64) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 11)), clock: time.Unix(1_700_000_000, 0)}
	s.d = newTwin(s.rng)
	s.now = &simModel{defs: make(map[string]string)}
	for q := range s.now.queues {
		s.now.queues[q] = make(map[spool.Pos]simMsg)
	}
	s.safe, s.flight = s.now.clone(), s.now.clone()
	s.opts = Tiny()
	s.opts.Dir, s.opts.on, s.opts.NoCompression = "/spool", s.d, s.rng.IntN(10) > 0
	s.opts.BudgetBytes = 1 << 30
	// Chunks are small or sparse all the time.
	s.opts.ValueThreshold, s.opts.MergeChunks, s.opts.ReclaimBytes = 256, 2+s.rng.IntN(8), 4<<10
	s.opts.CommitWindow, s.opts.CommitsPerSecond = time.Millisecond, 0
	if s.rng.IntN(2) == 0 { // most batches are groups of their own
		s.opts.CommitBytesMax = 1 << 10
	}
	s.opts.Now = func() time.Time { return s.clock }
	s.opts.Trouble = func(name, text string) { s.tell("trouble: %s: %s", name, text) }
	s.opts.Log = slog.New(slog.DiscardHandler)
	return s
}

func (s *sim) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf(format, args...))
}

func (s *sim) play() error {
	for life := range simLives {
		s.tell("life %d", life)
		if err := s.open(); err != nil {
			return err
		}
		if err := s.live(); err != nil {
			return err
		}
	}
	return s.open()
}

// open opens the store; the power may go meanwhile, again and again.
func (s *sim) open() error {
	for try := 0; ; try++ {
		if try < 3 && s.rng.IntN(3) == 0 {
			s.d.cutAt = s.d.steps + 1 + s.rng.IntN(25)
		}
		var err error
		if s.s, err = Open(s.opts); err == nil {
			break
		}
		if !s.d.off {
			return fmt.Errorf("open: %w", err)
		}
		s.tell("the power goes while it opens: %v", err)
		s.d.reboot(true)
	}
	s.c = &committer{Store: s.s, ended: s.clock, settled: s.clock.Add(settledAfter)}
	s.c.janitor.store, s.c.janitor.passes = s.s, 1
	return s.compare()
}

// compare finds the state that the store is in.
func (s *sim) compare() error {
	var why [2]error
	defs, depths := make(map[string]string), make(map[spool.QueueID]spool.Depth)
	err := s.s.Load(func(k string, v []byte) error { defs[k] = string(v); return nil },
		func(d spool.Depth) error { depths[d.Queue] = d; return nil })
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for i, m := range []*simModel{s.safe, s.flight} {
		m = m.reopened()
		if why[i] = s.differs(m, defs, depths); why[i] == nil {
			s.now, s.safe, s.flight = m, m.clone(), m.clone()
			s.past, s.group = []*simModel{m}, 0
			for q := range s.next {
				s.next[q] = 0
				for p := range m.queues[q] {
					s.next[q] = max(s.next[q], p+1)
				}
			}
			return nil
		}
	}
	return fmt.Errorf("as of what is durable: %w; or of the group under way: %w", why[0], why[1])
}

func (s *sim) differs(m *simModel, defs map[string]string, depths map[spool.QueueID]spool.Depth) error {
	if !maps.Equal(defs, m.defs) {
		return fmt.Errorf("definitions %v, want %v", defs, m.defs)
	}
	for q := range m.queues {
		want := spool.Depth{Queue: spool.QueueID(q), Count: len(m.queues[q])}
		for i, p := range slices.Sorted(maps.Keys(m.queues[q])) {
			want.Bytes += int64(len(m.queues[q][p].body))
			if want.Last = p; i == 0 {
				want.First = p
			}
		}
		got := depths[spool.QueueID(q)]
		got.Queue = spool.QueueID(q)
		if want.Count > 0 && got.Last < want.Last || got.First > want.First ||
			got.Count != want.Count || got.Bytes != want.Bytes || want.Count == 0 && got.Last > 0 {
			return fmt.Errorf("depth %+v, want %+v: %v", got, want, s.read(m, spool.QueueID(q), 0))
		}
		if err := s.read(m, spool.QueueID(q), 0); err != nil {
			return err
		}
	}
	st := s.s.Stats()
	if st.Records != m.places() || st.Corrupt > 0 || st.Lost > 0 || st.Quarantined > 0 {
		return fmt.Errorf("stats %+v, want %d records and no damage", st, m.places())
	}
	return s.recount()
}

// recount compares what the writer knows with what is stored.
func (s *sim) recount() error {
	chunks, refs := make(map[uint64]bool), make(map[uint64]uint32)
	var entries []*entry
	for _, p := range s.d.keys {
		switch p.key[0] {
		case classChunk:
			chunks[be.Uint64(p.key[1:9])] = true
		case classEntry:
			e, err := decodeEntry(p.key, p.value)
			if err != nil {
				return err
			}
			refs[e.chunk]++
			entries = append(entries, e)
		case classRedo, classPurge:
			return fmt.Errorf("key %q was left behind", p.key)
		}
	}
	for id := range chunks {
		if refs[id] == 0 || s.s.index.refs.get(id)&refCount != refs[id] {
			return fmt.Errorf("chunk %d has %d entries and counts %d", id, refs[id], s.s.index.refs.get(id)&refCount)
		}
	}
	if len(refs) != len(chunks) {
		return fmt.Errorf("%d chunks for entries of %d", len(chunks), len(refs))
	}
	return inOrder(entries)
}

// inOrder reports whether the chunks of some entries, in the order of their keys,
// can be read so that the messages of every queue come in order.
func inOrder(entries []*entry) error {
	var ids []uint64
	for _, e := range entries {
		ids = append(ids, e.chunk)
	}
	slices.Sort(ids)
	place := make(map[uint64]int)
	for i, id := range orderOf(entries).sort(slices.Compact(ids)) {
		place[id] = i
	}
	for i, e := range entries {
		if i > 0 && entries[i-1].queue == e.queue && place[entries[i-1].chunk] >= place[e.chunk] {
			return fmt.Errorf("chunk %d of queue %d is read before chunk %d", e.chunk, e.queue, entries[i-1].chunk)
		}
	}
	return nil
}

// read compares a queue from a position on with the model.
func (s *sim) read(m *simModel, q spool.QueueID, from spool.Pos) error {
	items := make([]spool.Item, 1+s.rng.IntN(12))
	want := slices.Sorted(maps.Keys(m.queues[q]))
	want = slices.DeleteFunc(want, func(p spool.Pos) bool { return p < from })
	for {
		n, err := s.s.Read(q, from, items, 1+s.rng.IntN(2000))
		if err != nil {
			return fmt.Errorf("read queue %d from %d: %w", q, from, err)
		}
		if n == 0 {
			break
		}
		for _, it := range items[:n] {
			body := string(it.Data)
			if it.Live != nil {
				body = string(it.Live.AppendTo(nil))
			}
			if len(want) == 0 || it.Pos != want[0] || it.Err != nil || body != m.queues[q][it.Pos].body {
				return fmt.Errorf("queue %d gave %d %.20q (%v), want %v", q, it.Pos, body, it.Err, want)
			}
			want, from = want[1:], it.Pos+1
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("queue %d lost %v", q, want)
	}
	return nil
}

// live uses the store until its life ends.
func (s *sim) live() error {
	for range simSteps {
		switch k := s.rng.IntN(100); {
		case k < 55:
			if err := s.batch(); err != nil {
				return err
			}
		case k < 80:
			s.clock = s.clock.Add(time.Duration(s.rng.IntN(50)) * time.Millisecond)
			if again, err := s.turn(false); !again {
				return err
			}
		case k < 88:
			q := spool.QueueID(s.rng.IntN(simQueues))
			if err := s.read(s.now, q, spool.Pos(s.rng.Uint64N(uint64(s.next[q])+1))); err != nil {
				return err
			}
			if got := s.s.Stats().Records; len(s.s.purging) == 0 && !s.waits() && got != s.now.places() {
				return fmt.Errorf("%d records, want %d", got, s.now.places())
			}
		case k < 90: // the wall clock jumps, perhaps back
			s.clock = s.clock.Add(time.Duration(s.rng.Int64N(int64(200*time.Hour))) - 100*time.Hour)
		case k < 92:
			s.d.used = s.opts.BudgetBytes * int64(s.rng.IntN(2)) // spent, or not
			s.s.gate()
		case k < 94:
			s.d.free = 1 << (20 + 20*s.rng.IntN(2)) // the volume is full, or not
		case k < 97:
			s.d.cutAt = s.d.steps + 1 + s.rng.IntN(12)
		case k < 98:
			s.d.failAt = s.d.steps + 1 + s.rng.IntN(12)
		default:
			return s.end()
		}
	}
	return s.end()
}

// end ends a life that nothing has ended: by a stop, a kill or a cut.
func (s *sim) end() error {
	how := s.rng.IntN(3)
	s.tell("end %d", how)
	if how == 0 {
		s.d.free = 1 << 40
		for {
			staged := s.s.nextLocked().last > 0
			if again, err := s.turn(true); !again {
				return err
			}
			if !staged {
				break
			}
		}
		if s.durable(); s.safe.places() != s.now.places() {
			return errors.New("a clean stop left something behind")
		}
		_ = s.s.Close() // a cut in it is one more cut
		s.d.reboot(s.d.off || s.rng.IntN(2) == 0)
		return nil
	}
	s.d.reboot(how == 1)
	return nil
}

// turn lets the writer do one thing. It answers false when the life is over.
func (s *sim) turn(ends bool) (bool, error) {
	due, staged := s.c.due()
	begins := staged && (ends || !due.After(s.clock)) && s.d.free > 1<<30
	if begins {
		s.group = s.s.nextLocked().last
		s.flight = s.past[s.group]
	}
	_, _, err := s.c.turn(ends)
	if s.c.janitor.done != nil {
		<-s.c.janitor.done
		err = errors.Join(err, s.c.janitor.compacted())
	}
	if err != nil {
		if !errors.Is(err, errOff) && !errors.Is(err, errIll) {
			return false, fmt.Errorf("turn: %w", err)
		}
		s.tell("the writer fails: %v", err)
		s.s.fail(err)
		if _, err := s.s.Append(&spool.Batch{Puts: []spool.Put{{Key: "late"}}}); !errors.Is(err, spool.ErrFailed) {
			return false, fmt.Errorf("append to a failed store: %w", err)
		}
		s.durable()
		s.d.reboot(s.d.off)
		return false, nil
	}
	s.durable()
	if s.s.durable == s.s.last && len(s.c.index.purging) == 0 {
		return true, s.recount()
	}
	return true, nil
}

// durable takes note of what is promised.
func (s *sim) durable() {
	upTo, _, _ := s.s.Durable()
	if s.safe = s.past[upTo]; upTo >= s.group {
		s.flight = s.safe // nothing is under way
	}
}

// waits reports whether something that is stored, or in another group, is to
// leave.
func (s *sim) waits() bool {
	return slices.ContainsFunc(s.s.groupsLocked(), func(g *group) bool { return g.purges > 0 || g.leaves > 0 })
}

func (s *sim) batch() error {
	var b spool.Batch
	m := s.now.clone()
	for range s.rng.IntN(6) {
		b.Enters = append(b.Enters, s.enter(m))
	}
	for range s.rng.IntN(8) {
		if l, ok := s.leave(m); ok {
			b.Leaves = append(b.Leaves, l)
			delete(m.queues[l.Queue], l.Pos)
		}
	}
	for range s.rng.IntN(2) * s.rng.IntN(12) { // many are more than one transaction
		p := spool.Put{Key: fmt.Sprint("key ", s.rng.IntN(20))}
		if delete(m.defs, p.Key); s.rng.IntN(3) > 0 {
			p.Value = []byte(strings.Repeat("v", s.rng.IntN(100)))
			m.defs[p.Key] = string(p.Value)
		}
		b.Puts = append(b.Puts, p)
	}
	next := s.next
	if s.rng.IntN(10) == 0 {
		p := s.purge()
		b.Purges = append(b.Purges, p)
		maps.DeleteFunc(m.queues[p.Queue], func(at spool.Pos, _ simMsg) bool { return p.From <= at && at <= p.To })
		if p.To == spool.MaxPos && p.From == 0 && s.rng.IntN(2) == 0 {
			s.next[p.Queue] = 0 // positions begin anew
		}
	}
	if s.rng.IntN(8) == 0 {
		b.Moves = true
	}
	lsn, err := s.s.Append(&b)
	for _, e := range b.Enters {
		s.tell("  enter %v volatile %v size %d", e.To, e.Volatile, e.Size)
	}
	s.tell("  leave %v, purge %v", b.Leaves, b.Purges)
	s.tell("append %d: %d enter %d leave %d puts %d purges (%v)", lsn, len(b.Enters), len(b.Leaves), len(b.Puts), len(b.Purges), err)
	if errors.Is(err, spool.ErrFull) {
		if s.d.used == 0 && s.d.free > 1<<30 && s.s.level.floor == 0 || len(b.Enters) == 0 || b.Moves {
			return fmt.Errorf("refused: %w", err)
		}
		s.next = next
		return nil
	}
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if s.now = m; !b.Empty() {
		s.past = append(s.past, m)
	}
	if int(lsn) != len(s.past)-1 {
		return fmt.Errorf("batch %d has the LSN %d", len(s.past)-1, lsn)
	}
	return nil
}

func (s *sim) enter(m *simModel) spool.Enter {
	s.id++
	body := fmt.Sprint("message ", s.id, strings.Repeat(".", s.rng.IntN(40)))
	if s.rng.IntN(10) == 0 {
		body += strings.Repeat("!", s.rng.IntN(3000))
	}
	e := spool.Enter{Record: text(body), Size: len(body), Volatile: s.rng.IntN(6) == 0, Priority: uint8(s.rng.IntN(10) * s.rng.IntN(2))}
	for q := range simQueues {
		if s.rng.IntN(simQueues) < 2 {
			if s.rng.IntN(5) == 0 {
				s.next[q] += spool.Pos(s.rng.IntN(10))
			}
			e.To = append(e.To, spool.Dest{Queue: spool.QueueID(q), Pos: s.next[q]})
			m.queues[q][s.next[q]] = simMsg{body, e.Volatile}
			s.next[q]++
		}
	}
	return e
}

func (s *sim) leave(m *simModel) (spool.Leave, bool) {
	q := s.rng.IntN(simQueues)
	list := slices.Sorted(maps.Keys(m.queues[q]))
	if len(list) == 0 {
		return spool.Leave{}, false
	}
	p := list[0]
	if s.rng.IntN(3) == 0 {
		p = list[s.rng.IntN(len(list))]
	}
	return spool.Leave{Queue: spool.QueueID(q), Pos: p, Size: len(m.queues[q][p].body)}, true
}

func (s *sim) purge() spool.Purge {
	q := s.rng.IntN(simQueues)
	p := spool.Purge{Queue: spool.QueueID(q), To: spool.MaxPos}
	if n := s.next[q]; n > 0 && s.rng.IntN(3) > 0 {
		a, b := spool.Pos(s.rng.Uint64N(uint64(n))), spool.Pos(s.rng.Uint64N(uint64(n)))
		p.From, p.To = min(a, b), max(a, b)
	}
	return p
}
