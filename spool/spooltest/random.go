package spooltest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"leveret/spool"
)

const (
	randomQueues = 6
	randomSteps  = 400
)

// random drives a log and a model side by side by one seed.
type random struct {
	*Harness
	t    testing.TB
	rng  *rand.Rand
	now  *model               // with everything appended
	past map[spool.LSN]*model // since the last LSN known to be durable
	next [randomQueues + 1]spool.Pos
	last spool.LSN
}

func testRandom(t *testing.T, h *Harness) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	Random(t, h, seed)
}

// Random runs the random test by a seed, to find a failure again.
func Random(t testing.TB, h *Harness, seed uint64) {
	r := &random{Harness: h, t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: newModel()}
	r.opened(true)
	for step := range randomSteps {
		switch k := r.rng.IntN(100); {
		case k < 70:
			r.batch()
		case k < 85:
			r.look()
		case k < 94:
			r.Sync(t)
			r.durable()
		case k < 97:
			r.Reopen(t)
			r.now.reopen()
			r.opened(false)
		default:
			r.crash(step)
		}
		if t.Failed() {
			t.Fatalf("seed %#x, step %d", seed, step)
		}
	}
	r.Reopen(t)
	r.now.reopen()
	r.opened(false)
}

// opened starts the bookkeeping of one life of the log.
func (r *random) opened(fresh bool) {
	l := r.load(r.t)
	if err := r.now.differs(r.t, r.Harness, l, randomQueues); err != nil {
		r.t.Fatalf("after an open: %v", err)
	}
	r.begin()
}

func (r *random) begin() {
	r.past = map[spool.LSN]*model{0: r.now.clone()}
	r.last = 0
	for q := range r.next {
		r.next[q] = 0
		for p := range r.now.queues[spool.QueueID(q)] {
			r.next[q] = max(r.next[q], p+1)
		}
	}
}

// durable forgets the states that a crash cannot lead back to.
func (r *random) durable() {
	upTo, _, err := r.Log.Durable()
	if err != nil {
		r.t.Fatalf("Durable: %v", err)
	}
	maps.DeleteFunc(r.past, func(l spool.LSN, _ *model) bool { return l < upTo })
}

// crash accepts the state at any LSN from the watermark on: each batch as a
// whole or not at all, in order.
func (r *random) crash(step int) {
	r.durable()
	r.Crash(r.t)
	l := r.load(r.t)
	var why error
	for _, lsn := range slices.Sorted(maps.Keys(r.past)) {
		m := r.past[lsn].reopen()
		if err := m.differs(r.t, r.Harness, l, randomQueues); err != nil {
			why = fmt.Errorf("as of %d: %w", lsn, err)
			continue
		}
		r.now = m
		r.begin()
		return
	}
	r.t.Fatalf("step %d: after a crash the log is in no state it was ever in; %v", step, why)
}

func (r *random) look() {
	q := spool.QueueID(1 + r.rng.IntN(randomQueues))
	from := spool.Pos(0)
	if r.next[q] > 0 {
		from = spool.Pos(r.rng.Uint64N(uint64(r.next[q])))
	}
	window := 1 + r.rng.IntN(40)
	if got, want := r.read(r.t, q, from, window), r.now.list(q, from); !slices.Equal(got, want) {
		r.t.Errorf("queue %d from %d by %d: %s, want %s", q, from, window, short(got), short(want))
	}
	places := 0
	for _, msgs := range r.now.queues {
		places += len(msgs)
	}
	if q == 1 {
		r.Sync(r.t)
		if got := r.Log.Stats().Records; got != int64(places) {
			r.t.Errorf("Records = %d, want %d", got, places)
		}
	}
}

func (r *random) batch() {
	var b spool.Batch
	for range r.rng.IntN(8) {
		b.Enters = append(b.Enters, r.enter())
	}
	for range r.rng.IntN(10) {
		if l, ok := r.leave(&b); ok {
			b.Leaves = append(b.Leaves, l)
		}
	}
	for range r.rng.IntN(3) {
		p := spool.Put{Key: fmt.Sprint("key ", r.rng.IntN(8))}
		if r.rng.IntN(3) > 0 {
			p.Value = []byte(fmt.Sprint("value ", r.rng.IntN(1000)))
		}
		b.Puts = append(b.Puts, p)
	}
	if r.rng.IntN(25) == 0 {
		b.Purges = append(b.Purges, r.purge())
	}
	if b.Empty() {
		return
	}
	r.now.apply(&b)
	r.last = r.append(r.t, b)
	r.past[r.last] = r.now.clone()
}

func (r *random) enter() spool.Enter {
	e := spool.Enter{Volatile: r.rng.IntN(6) == 0}
	for q := 1; q <= randomQueues; q++ {
		if r.rng.IntN(randomQueues) < 2 {
			if r.rng.IntN(5) == 0 {
				r.next[q] += spool.Pos(r.rng.IntN(20)) // a gap
			}
			e.To = append(e.To, spool.Dest{Queue: spool.QueueID(q), Pos: r.next[q]})
			r.next[q]++
		}
	}
	n := r.rng.IntN(200)
	if r.rng.IntN(50) == 0 {
		n = r.rng.IntN(100_000)
	}
	body := fmt.Sprintf("%x", r.rng.Uint64())
	for len(body) < n {
		body += body
	}
	e.Record, e.Size = text(body), len(body)
	return e
}

// leave picks a message, stored or staged, or one of this very batch.
func (r *random) leave(b *spool.Batch) (spool.Leave, bool) {
	if len(b.Enters) > 0 && r.rng.IntN(3) == 0 {
		e := b.Enters[r.rng.IntN(len(b.Enters))]
		if len(e.To) > 0 {
			d := e.To[r.rng.IntN(len(e.To))]
			return spool.Leave{Queue: d.Queue, Pos: d.Pos, Size: e.Size}, true
		}
	}
	q := spool.QueueID(1 + r.rng.IntN(randomQueues))
	list := slices.Sorted(maps.Keys(r.now.queues[q]))
	if len(list) == 0 {
		return spool.Leave{}, false
	}
	p := list[0] // mostly in order
	if r.rng.IntN(3) == 0 {
		p = list[r.rng.IntN(len(list))]
	}
	for _, l := range b.Leaves {
		if l.Queue == q && l.Pos == p {
			return spool.Leave{}, false
		}
	}
	return spool.Leave{Queue: q, Pos: p, Size: len(r.now.queues[q][p].body)}, true
}

func (r *random) purge() spool.Purge {
	q := 1 + r.rng.IntN(randomQueues)
	p := spool.Purge{Queue: spool.QueueID(q), To: spool.MaxPos}
	if n := r.next[q]; n > 0 && r.rng.IntN(3) > 0 {
		a, b := spool.Pos(r.rng.Uint64N(uint64(n))), spool.Pos(r.rng.Uint64N(uint64(n)))
		p.From, p.To = min(a, b), max(a, b)
	}
	return p
}
