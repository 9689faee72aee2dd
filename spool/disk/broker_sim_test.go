package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
)

var brokerSeeds = flag.Int("sim.seeds", 500, "how many seeds the simulation of the broker plays")

// TestBroker plays lives of a broker on a store on the simulated disk, each ended
// by a stop, a kill, a failed write or a power cut, against a model of lists. What
// is durable must be there at the next start, in order, with its queues and
// bindings, and marked when it was delivered before; what left durably must not.
// Messages die when their time is over by a clock that is always right, in one
// move, however the wall clock stands or jumps.
func TestBroker(t *testing.T) {
	first, n := uint64(1), *brokerSeeds
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	for seed := first; seed < first+uint64(n); seed++ {
		s := newBrokerSim(seed)
		if err := s.play(); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./spool/disk -run TestBroker -sim.seed=%d\n%s",
				seed, err, seed, strings.Join(s.story[max(0, len(s.story)-60):], "\n"))
		}
	}
}

const (
	brokerLives = 5
	brokerSteps = 80
)

type brokerSim struct {
	rng   *rand.Rand
	d     *twin
	opts  Options
	clock time.Time // the store's

	s     *Store
	c     *committer
	b     *broker.Broker
	conn  *broker.Conn
	ses   [2]*broker.Session
	held  []brokerHeld
	tags  [2][]string // of consumers
	wrong []string    // what the broker told as trouble

	// Time as it really is: when the machine started, and how long ago that was.
	base time.Time
	now  amqp.Instant

	known  bool // the wall clock was right from this start on
	model  *brokerModel
	safe   *brokerModel // as of what is durable
	flight *brokerModel // as of the group that may be on the disk
	id     int
	story  []string
}

// brokerHeld is a delivery that is not settled.
type brokerHeld struct {
	session int
	tag     uint64
	queue   string
	id      int
}

func newBrokerSim(seed uint64) *brokerSim {
	s := &brokerSim{rng: rand.New(rand.NewPCG(seed, 13)), clock: time.Unix(1_700_000_000, 0), base: time.Unix(1_700_000_000, 0)}
	s.d = newTwin(s.rng)
	s.model = &brokerModel{queues: make(map[string]*modelQueue), clocks: make(map[amqp.Boot]bool)}
	s.safe, s.flight = s.model.clone(), s.model.clone()
	s.opts = Tiny()
	s.opts.Dir, s.opts.on, s.opts.NoCompression = "/spool", s.d, true
	s.opts.BudgetBytes = 1 << 30
	s.opts.CommitWindow, s.opts.CommitsPerSecond = time.Millisecond, 0
	s.opts.Now = func() time.Time { return s.clock }
	s.opts.Trouble = func(name, text string) { s.tell("trouble: %s: %s", name, text) }
	s.opts.Log = slog.New(slog.DiscardHandler)
	return s
}

func (s *brokerSim) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf(format, args...))
}

func (s *brokerSim) play() error {
	for life := range brokerLives {
		s.tell("life %d", life)
		if err := s.start(); err != nil {
			return err
		}
		again, err := true, error(nil)
		for range brokerSteps {
			if again, err = s.step(); !again || err != nil {
				break
			}
			if err := s.follow(false); err != nil {
				return err
			}
		}
		if err == nil && again {
			err = s.end()
		}
		if err != nil {
			return err
		}
	}
	return s.start()
}

// start opens the store, in whose start the power may go, looks at what a copy of
// it holds, and starts the broker.
func (s *brokerSim) start() error {
	for try := 0; ; try++ {
		if try < 2 && s.rng.IntN(4) == 0 {
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
	if err := s.look(); err != nil {
		return err
	}
	// Without power for a moment, or for weeks.
	s.base = s.base.Add(time.Duration(s.now) + time.Duration(s.rng.IntN(100))*time.Millisecond)
	if s.rng.IntN(4) == 0 {
		s.base = s.base.Add(time.Duration(s.rng.IntN(30*24)) * time.Hour)
	}
	wall := s.base
	if s.known = s.rng.IntN(2) == 0; !s.known {
		wall = wall.Add(time.Duration(s.rng.Int64N(2*jumpMax) - jumpMax))
	}
	s.now, s.held, s.tags = 1, nil, [2][]string{}
	b, err := s.openBroker(s.s, broker.BootRecord{Base: wall, Synchronised: s.known}, func() amqp.Instant { return s.now })
	if err != nil {
		return err
	}
	s.b = b
	s.model.clocks[b.Boot()] = s.known
	s.tell("start %d: the clock is known: %v, it is %v", b.Boot(), s.known, s.base)
	if s.conn, err = b.Connect(broker.DefaultVHost, broker.Identity{}, func() {}); err != nil {
		return err
	}
	s.ses = [2]*broker.Session{s.conn.Open(), s.conn.Open()}
	return s.follow(false)
}

const jumpMax = int64(50 * 365 * 24 * time.Hour)

func (s *brokerSim) openBroker(log spool.Log, boot broker.BootRecord, now func() amqp.Instant) (*broker.Broker, error) {
	return broker.Open(broker.Options{
		Log: movesOnly{log, s}, Boot: boot, Now: now,
		Limits:  broker.Limits{WindowMessages: 4, OutboxMessages: 5, TransientBytesMax: 2000},
		Trouble: func(msg string, facts ...any) { s.wrong = append(s.wrong, fmt.Sprint(msg, facts)) },
	})
}

// movesOnly watches that the dead move in one batch: the writer of the simulation
// takes whole calls of the broker, and would not see two.
type movesOnly struct {
	spool.Log
	s *brokerSim
}

func (l movesOnly) Append(b *spool.Batch) (spool.LSN, error) {
	dead := 0
	for _, e := range b.Enters {
		if !e.Volatile && bytes.Contains(e.Record.AppendTo(nil), []byte("x-death")) {
			dead++
		}
	}
	if q := l.s.model.queues[mortal]; q != nil && q.durable && dead > len(b.Leaves) {
		l.s.wrong = append(l.s.wrong, fmt.Sprintf("%d come into the grave in one batch, %d leave", dead, len(b.Leaves)))
	}
	return l.Log.Append(b)
}

// look empties a copy and finds the state that it was in. Its clock is not known
// and stands still: nothing may die there.
func (s *brokerSim) look() error {
	o := s.opts
	o.on = s.d.copy()
	store, err := Open(o)
	if err != nil {
		return fmt.Errorf("open copy: %w", err)
	}
	b, err := s.openBroker(store, broker.BootRecord{Base: s.base.Add(time.Duration(jumpMax))}, func() amqp.Instant { return 1 })
	if err != nil {
		return err
	}
	seen, err := contents(b)
	if err != nil {
		return err
	}
	if st := b.Status(); st.Damaged > 0 || st.Missing > 0 || len(s.wrong) > 0 {
		return fmt.Errorf("%d damaged, %d missing, %q", st.Damaged, st.Missing, s.wrong)
	}
	var why [2]error
	for i, m := range []*brokerModel{s.safe, s.flight} {
		m = m.restarted()
		if why[i] = m.differs(seen); why[i] == nil {
			s.model, s.safe, s.flight = m, m.clone(), m.clone()
			return nil
		}
	}
	return fmt.Errorf("as of what is durable: %w; or of the group under way: %w", why[0], why[1])
}

// contents takes everything out of a broker.
func contents(b *broker.Broker) (map[string]*seenQueue, error) {
	conn, err := b.Connect(broker.DefaultVHost, broker.Identity{}, func() {})
	if err != nil {
		return nil, err
	}
	ses, seen := conn.Open(), make(map[string]*seenQueue)
	for _, st := range b.Status().Queues {
		seen[st.Name] = new(seenQueue)
	}
	for _, l := range b.AllBindings() {
		if l.Source != "" {
			seen[l.Destination].keys = append(seen[l.Destination].keys, l.Key)
		}
	}
	for name, q := range seen {
		for {
			d, _, ok, err := ses.Get(name, true)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			q.ids, q.marked = append(q.ids, bodyOf(d.Msg)), append(q.marked, d.Redelivered)
		}
	}
	return seen, nil
}

func bodyOf(m *amqp.Message) (id int) {
	fmt.Sscan(string(m.Body), &id)
	return id
}

// copy is another machine with the same disk.
func (d *twin) copy() *twin {
	c := newTwin(nil) // whose power nobody cuts
	c.keys, c.starts, c.max = d.keys, d.starts, d.max
	moved := make(map[*twinFile]*twinFile)
	for to, from := range map[*map[string]*twinFile]map[string]*twinFile{&c.names: d.names, &c.safe: d.safe} {
		for path, f := range from {
			if moved[f] == nil {
				moved[f] = &twinFile{f.now, f.synced}
			}
			(*to)[path] = moved[f]
		}
	}
	return c
}

// end ends a life that nothing has ended.
func (s *brokerSim) end() error {
	how := s.rng.IntN(3)
	s.tell("end %d", how)
	if how > 0 {
		s.d.reboot(how == 1)
		return nil
	}
	s.d.free = 1 << 40
	for n := range s.ses {
		s.closeSession(n)
		if err := s.follow(false); err != nil {
			return err
		}
	}
	s.conn.Close()
	for staged := true; staged; {
		staged = s.s.nextLocked().last > 0
		if again, err := s.turn(true); !again {
			return err
		}
	}
	if s.durable(); s.s.durable != s.s.last {
		return errors.New("a clean stop left something behind")
	}
	_ = s.s.Close() // a cut in it is one more cut
	s.d.reboot(s.d.off || s.rng.IntN(2) == 0)
	return nil
}

// turn lets the writer do one thing. It answers false when the life is over.
func (s *brokerSim) turn(ends bool) (bool, error) {
	if due, staged := s.c.due(); staged && (ends || !due.After(s.clock)) && s.d.free > 1<<30 {
		s.flight = s.model.clone()
	}
	_, _, err := s.c.turn(ends)
	if s.c.janitor.done != nil {
		<-s.c.janitor.done
		err = errors.Join(err, s.c.janitor.compacted())
	}
	if err == nil {
		s.durable()
		return true, nil
	}
	if !errors.Is(err, errOff) && !errors.Is(err, errIll) {
		return false, fmt.Errorf("turn: %w", err)
	}
	s.tell("the writer fails: %v", err)
	s.s.fail(err)
	p := []broker.Publish{{Msg: &amqp.Message{Key: "a", Props: amqp.PropertyList{DeliveryMode: 2}.Encode()}}}
	_, err = s.ses[0].Publish(s.now, p)
	if q := s.model.queues["a"]; q != nil && q.durable && !errors.Is(err, spool.ErrFailed) {
		return false, fmt.Errorf("a failed log took a message: %v", err)
	}
	s.durable()
	s.d.reboot(s.d.off)
	return false, nil
}

// durable takes note of what is promised.
func (s *brokerSim) durable() {
	if upTo, _, _ := s.s.Durable(); upTo == s.s.last {
		s.safe, s.flight = s.model.clone(), s.model.clone()
	}
}

// age is how long ago a message came in, really.
func (s *brokerSim) age(m *modelMsg) time.Duration {
	return s.base.Add(time.Duration(s.now)).Sub(m.born)
}

// overdue reports whether a message's time is over by all that the broker can
// know: the time of an earlier start counts only where both clocks were right.
func (s *brokerSim) overdue(m *modelMsg) bool {
	if m.boot == s.b.Boot() || s.known && s.model.clocks[m.boot] {
		return s.age(m) > ttl
	}
	return time.Duration(s.now) > ttl
}

// follow takes what was delivered, and buries in the model what has died; that
// may have been delivered from the grave already.
func (s *brokerSim) follow(ticked bool) error {
	list := s.take()
	if err := s.arrivals(list, func(name string) bool { return name == mortal }); err != nil {
		return err
	}
	if err := s.bury(ticked); err != nil {
		return err
	}
	if err := s.arrivals(list, func(name string) bool { return name != mortal }); err != nil {
		return err
	}
	for _, name := range modelNames {
		q := s.model.queues[name]
		st, ok := s.b.QueueStatus(broker.DefaultVHost, name)
		if ok != (q != nil) {
			return fmt.Errorf("%s is there: %v", name, ok)
		}
		if q != nil && len(q.msgs) != st.Ready+st.Unacked {
			return fmt.Errorf("%s holds %d ready and %d unsettled, want %d", name, st.Ready, st.Unacked, len(q.msgs))
		}
	}
	if len(s.wrong) > 0 {
		return fmt.Errorf("trouble: %q", s.wrong)
	}
	return nil
}

func (s *brokerSim) bury(ticked bool) error {
	q := s.model.queues[mortal]
	if q == nil {
		return nil
	}
	st, _ := s.b.QueueStatus(broker.DefaultVHost, mortal)
	for len(q.msgs) > st.Ready+st.Unacked {
		i := s.next(q)
		if i < 0 || s.age(&q.msgs[i]) < ttl {
			return fmt.Errorf("%d ready and %d unsettled of %d: one died too early", st.Ready, st.Unacked, len(q.msgs))
		}
		s.tell("  %d dies", q.msgs[i].id)
		s.model.die(mortal, i)
	}
	if i := s.next(q); ticked && i >= 0 && s.overdue(&q.msgs[i]) {
		return fmt.Errorf("%d is held after its time", q.msgs[i].id)
	}
	return nil
}

// next is the place of the message that is delivered next, -1 if none.
func (s *brokerSim) next(q *modelQueue) int {
	return slices.IndexFunc(q.msgs, func(m modelMsg) bool { return !m.held })
}

// take takes everything from the outbox.
func (s *brokerSim) take() (all []broker.Delivery) {
	for {
		list := s.conn.Take(nil)
		if len(list) == 0 {
			return all
		}
		all = append(all, list...)
	}
}

func (s *brokerSim) arrivals(list []broker.Delivery, of func(name string) bool) error {
	for _, d := range list {
		if d.Msg == nil || !of(d.Consumer.Queue) {
			continue
		}
		if err := s.arrived(d, d.Consumer.Queue); err != nil {
			return err
		}
	}
	return nil
}

// arrived notes a delivery: it must be the next one of its queue; those before
// it have died.
func (s *brokerSim) arrived(d broker.Delivery, name string) error {
	id, q := bodyOf(d.Msg), s.model.queues[name]
	s.tell("  got %d of %s, redelivered %v", id, name, d.Redelivered)
	if q == nil {
		return fmt.Errorf("%d came from %s, which is deleted", id, name)
	}
	for i := range q.msgs {
		m := &q.msgs[i]
		switch {
		case m.held && m.id == id:
			return fmt.Errorf("%d of %s was delivered twice", id, name)
		case m.held:
		case m.id != id && (name != mortal || s.age(m) < ttl):
			return fmt.Errorf("%d of %s was delivered before %d", id, name, m.id)
		case m.id != id:
		case m.given && !d.Redelivered:
			return fmt.Errorf("%d of %s comes again without the mark", id, name)
		case !m.given && d.Redelivered && m.boot == s.b.Boot():
			return fmt.Errorf("%d of %s is marked and nobody had it", id, name)
		default:
			m.held, m.given = true, true
			session := slices.Index(s.ses[:], d.Session)
			s.held = append(s.held, brokerHeld{session, d.Tag, name, id})
			return nil
		}
	}
	return fmt.Errorf("%s gave %d, which it should not have", name, id)
}
