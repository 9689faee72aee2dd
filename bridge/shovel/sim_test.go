package shovel

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/bridge"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "play only this seed of the simulation")
	simSeeds = flag.Int("sim.seeds", 25, "how many seeds of each weather the simulation plays")
)

// weather is what a far side does to a shovel in the simulation.
type weather struct {
	name     string
	cut      float64 // chance of losing the link, at each message
	stall    float64 // of answering nothing more
	refuse   float64 // of not taking a message
	shuffled bool    // confirms come in any order
}

// TestSimulation sends random traffic through random weather and checks, once
// the weather has cleared, that every message is there with its id, that the
// order is kept, and that exactly those were sent twice whose confirm was lost.
func TestSimulation(t *testing.T) {
	weathers := []weather{
		{name: "flapping", cut: 0.03},
		{name: "flapping and shuffled", cut: 0.03, shuffled: true},
		{name: "stalling", cut: 0.005, stall: 0.005, shuffled: true},
		{name: "refusing", refuse: 0.02},
		{name: "everything", cut: 0.02, stall: 0.002, refuse: 0.02, shuffled: true},
	}
	first, n := uint64(1), *simSeeds
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	for _, w := range weathers {
		t.Run(w.name, func(t *testing.T) {
			for seed := first; seed < first+uint64(n) && !t.Failed(); seed++ {
				synctest.Test(t, func(t *testing.T) { simulate(t, w, seed) })
			}
		})
	}
}

// storm is the far side of one simulation.
type storm struct {
	weather
	rng     *rand.Rand
	until   time.Time // then the weather is good
	lost    int       // confirms that were lost
	refused int
}

func simulate(t *testing.T, w weather, seed uint64) {
	s := &storm{weather: w, rng: rand.New(rand.NewPCG(seed, 11)), until: time.Now().Add(20 * time.Minute)}
	rng := rand.New(rand.NewPCG(seed, 12)) // the publisher's own: links run beside it
	k := newBench(t, &farSide{serve: s.serve}, func(o *Options) {
		o.Messages = 1 + rng.IntN(40)
		o.Backoff.Rand = rand.New(rand.NewPCG(seed, 13)).Float64
	})
	window := k.shovel.o.Messages
	defer k.run()()
	for range 100 {
		k.publish(1 + rng.IntN(8))
		time.Sleep(time.Duration(rng.IntN(12)) * time.Second)
	}
	time.Sleep(40 * time.Minute)
	if st := k.shovel.Status(); st.Lag != 0 || st.State != Live {
		t.Errorf("the queue was not emptied: %+v", st)
	}
	s.check(t, k, window)
	if t.Failed() {
		t.Logf("window %d, replay: go test ./bridge/shovel -run 'TestSimulation/%s' -sim.seed=%d", window, w.name, seed)
	}
}

// serve is one link in that weather.
func (s *storm) serve(l *fakeLink) error {
	var owed []uint64 // taken, not yet answered
	for n := uint64(1); ; n++ {
		m, ok := l.receive()
		if !ok {
			s.lost += len(owed)
			return nil
		}
		bad := time.Now().Before(s.until)
		switch {
		case bad && s.rng.Float64() < s.cut:
			if s.rng.IntN(2) == 0 { // taken, but nobody will know
				l.far.take(m)
				s.lost++
			}
			s.lost += len(owed)
			return errDown
		case bad && s.rng.Float64() < s.stall:
			s.lost += len(owed)
			return deaf(l)
		case bad && s.rng.Float64() < s.refuse:
			s.refused++
			l.answer(n, bridge.Refused, "not in this weather")
			continue
		}
		time.Sleep(time.Duration(s.rng.IntN(20)) * time.Millisecond)
		l.far.take(m)
		owed = append(owed, n)
		if s.rng.IntN(3) == 0 || len(l.inbox) == 0 {
			owed = s.confirm(l, owed)
		}
	}
}

// confirm answers what is owed. Confirms that are given while our side closes
// the link are read all the same, so they are not lost.
func (s *storm) confirm(l *fakeLink, owed []uint64) []uint64 {
	if s.shuffled {
		s.rng.Shuffle(len(owed), func(i, j int) { owed[i], owed[j] = owed[j], owed[i] })
	}
	for _, n := range owed {
		l.answer(n, bridge.Confirmed, "")
	}
	return owed[:0]
}

func (s *storm) check(t *testing.T, k *bench, window int) {
	ids := map[int]string{}
	var firsts, lasts []int
	for _, m := range k.far.took {
		n, err := strconv.Atoi(string(m.Body))
		if err != nil {
			t.Fatalf("body %q came", m.Body)
		}
		id, again := ids[n]
		_, marked := m.Props.Headers.Get(bridge.HeaderRedelivered)
		switch {
		case !again:
			ids[n] = m.Props.MessageID
			firsts = append(firsts, n)
		case id != m.Props.MessageID:
			t.Errorf("message %d came as %q and as %q", n, id, m.Props.MessageID)
		case !marked:
			t.Errorf("message %d came again without its mark", n)
		}
		lasts = append(slices.DeleteFunc(lasts, func(x int) bool { return x == n }), n)
	}
	if len(firsts) != k.next {
		t.Errorf("%d of %d messages came", len(firsts), k.next)
	}
	twice := len(k.far.took) - len(firsts)
	if s.refused == 0 && twice != s.lost {
		t.Errorf("%d messages came twice, %d confirms were lost", twice, s.lost)
	}
	if links := k.far.links; twice > window*links {
		t.Errorf("%d messages came twice over %d links with a window of %d", twice, links, window)
	}
	if s.refused == 0 && !slices.IsSorted(firsts) {
		t.Errorf("out of order: %v", firsts)
	}
	if !s.shuffled && !slices.IsSorted(lasts) {
		t.Errorf("out of order at their last coming: %v", lasts)
	}
}

// TestFlightAgainstModel plays random launches and answers against the plain
// rule: a message is settled, once, when it was confirmed and none before it
// was refused by then.
func TestFlightAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 17))
		f := newFlight(1+rng.IntN(10), 1<<20)
		settled := map[uint64]bool{}
		var open, want []uint64
		next, refusedAt := uint64(1), ^uint64(0)
		for range 200 {
			if rng.IntN(2) == 0 && f.tryLaunch(&bridge.Message{Tag: next * 3, Props: amqp.PropertyList{}}) {
				open = append(open, next)
				next++
				continue
			}
			if len(open) == 0 {
				continue
			}
			i := rng.IntN(len(open))
			a := bridge.Answer{Number: open[i]}
			open = slices.Delete(open, i, i+1)
			if rng.IntN(20) == 0 {
				a.Outcome = bridge.Refused
				refusedAt = min(refusedAt, a.Number)
			} else if a.Number < refusedAt {
				want = append(want, a.Number)
			}
			l, err := f.land([]bridge.Answer{a})
			if err != nil {
				t.Fatalf("seed %d: land(%+v) = %v", seed, a, err)
			}
			if !settle(settled, l.acks, next) {
				t.Fatalf("seed %d: land(%+v) settles a tag twice: %+v", seed, a, l.acks)
			}
		}
		for _, n := range want {
			if !settled[n] {
				t.Fatalf("seed %d: message %d was confirmed and not settled", seed, n)
			}
		}
		if len(settled) != len(want) {
			t.Fatalf("seed %d: %d messages settled, want %d", seed, len(settled), len(want))
		}
	}
}

// settle does with tags, which are three times the number, what a source does;
// it answers false for a tag that is settled already.
func settle(settled map[uint64]bool, acks []bridge.Ack, next uint64) bool {
	for _, a := range acks {
		if settled[a.Tag/3] {
			return false
		}
		for n := uint64(1); n < next; n++ {
			if 3*n == a.Tag || a.Multiple && 3*n <= a.Tag {
				settled[n] = true
			}
		}
	}
	return true
}
