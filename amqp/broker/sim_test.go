package broker

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "play only this seed of the simulation")
	simSeeds = flag.Int("sim.seeds", 300, "how many seeds the simulation plays")
)

// TestSimulation plays random conversations with power cuts against a model so
// simple that it is plainly right: lists of messages. It checks after each step
// that nothing arrives that the model does not have waiting, in the end of
// each life that exactly what the model has is there, that what was delivered
// before is marked, and after a cut that nothing is lost whose LSN was durable.
func TestSimulation(t *testing.T) {
	first, n := uint64(1), *simSeeds
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	for seed := first; seed < first+uint64(n); seed++ {
		s := newSim(seed)
		if err := s.play(400); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./amqp/broker -run TestSimulation -sim.seed=%d\n%s", seed, err, seed, s.tail())
		}
	}
}

// simQueue is a queue in the model: what is in it and not settled, in order.
type simQueue struct {
	durable bool
	msgs    []simMsg
}

type simMsg struct {
	id     int
	stored bool
	held   bool // delivered and not settled
	given  bool // delivered at some time: it must be marked when it comes again
}

// simHeld is a delivery in the model.
type simHeld struct {
	tag   uint64
	queue string
	id    int
}

type sim struct {
	rng      *rand.Rand
	log      *mem.Log
	b        *Broker
	conn     *Conn
	sessions []*Session
	held     map[*Session][]simHeld
	queues   map[string]*simQueue
	safe     map[string]*simQueue // as of the last commit
	nextID   int
	story    []string
}

func newSim(seed uint64) *sim {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 7)), log: mem.New(),
		queues: make(map[string]*simQueue), safe: make(map[string]*simQueue),
	}
	s.start()
	return s
}

func (s *sim) start() {
	b, err := Open(Options{Log: s.log, Limits: Limits{
		WindowMessages: 4, OutboxMessages: 5, TransientBytesMax: 6 * messageOverhead,
		changesMax: s.rng.IntN(4), // 0: all that a call changes at once
	}})
	if err != nil {
		panic(err)
	}
	s.b, s.held = b, make(map[*Session][]simHeld)
	s.conn, _ = b.Connect(DefaultVHost, Identity{}, func() {})
	s.sessions = []*Session{s.conn.Open(), s.conn.Open()}
}

func (s *sim) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf(format, args...))
}

func (s *sim) tail() string {
	return strings.Join(s.story[max(0, len(s.story)-40):], "\n")
}

func (s *sim) play(steps int) error {
	for range steps {
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.drain()
}

func (s *sim) step() error {
	ses := s.sessions[s.rng.IntN(len(s.sessions))]
	switch n := s.rng.IntN(100); {
	case n < 30:
		return s.publish(ses)
	case n < 50:
		return s.take()
	case n < 72:
		return s.settle(ses)
	case n < 78:
		return s.consume(ses)
	case n < 81:
		s.cancel(ses)
	case n < 85:
		return s.get(ses)
	case n < 88:
		s.declare()
	case n < 90:
		return s.purgeOrDelete()
	case n < 92:
		s.closeSession(ses)
	case n < 97:
		s.tell("commit")
		s.log.Commit()
		s.safe = copyModel(s.queues)
	default:
		s.crash()
	}
	return nil
}

var simNames = []string{"a", "b", "c"}

func (s *sim) declare() {
	name, durable := simNames[s.rng.IntN(3)], s.rng.IntN(4) > 0
	if s.queues[name] != nil {
		return
	}
	s.tell("declare %s durable=%v", name, durable)
	if _, _, err := s.conn.DeclareQueue(QueueSpec{Name: name, Durable: durable}); err != nil {
		panic(err)
	}
	s.queues[name] = &simQueue{durable: durable}
	if _, err := s.conn.BindQueue(name, "amq.fanout", "", nil); err != nil {
		panic(err)
	}
}

func (s *sim) publish(ses *Session) error {
	exchange, key := "amq.fanout", ""
	if s.rng.IntN(2) == 0 {
		exchange, key = "", simNames[s.rng.IntN(3)]
	}
	persistent := s.rng.IntN(3) > 0
	props := amqp.PropertyList{}
	if persistent {
		props.DeliveryMode = 2
	}
	ps := make([]Publish, 1+s.rng.IntN(6))
	for i := range ps {
		ps[i].Msg = &amqp.Message{Exchange: exchange, Key: key, Props: props.Encode(), Body: fmt.Append(nil, s.nextID+i)}
	}
	s.tell("publish %d.. (%d) to %q %q persistent=%v", s.nextID, len(ps), exchange, key, persistent)
	full := s.rng.IntN(8) == 0
	s.log.SetFull(full)
	n, err := ses.Publish(0, ps)
	s.log.SetFull(false)
	if err != nil && !(err == spool.ErrFull && full && n < len(ps)) || err == nil && n != len(ps) {
		return fmt.Errorf("publish: %d, %w", n, err)
	}
	for range n {
		for name, q := range s.queues {
			if exchange != "" || name == key {
				q.msgs = append(q.msgs, simMsg{id: s.nextID, stored: persistent && q.durable})
			}
		}
		s.nextID++
	}
	return nil
}

func (s *sim) consume(ses *Session) error {
	name := simNames[s.rng.IntN(3)]
	if s.queues[name] == nil {
		return nil
	}
	c, err := ses.Consume(name, ConsumerSpec{Prefetch: s.rng.IntN(6), Priority: s.rng.IntN(2)})
	if err != nil {
		return err
	}
	s.tell("consume %s", name)
	c.Start()
	return nil
}

func (s *sim) cancel(ses *Session) {
	for tag := range ses.consumers {
		s.tell("cancel")
		ses.Cancel(tag)
		return
	}
}

// arrived notes a delivery; the model must have that message waiting, and
// nothing older than it waiting unless it was once delivered.
func (s *sim) arrived(d Delivery) error {
	name := d.queueName()
	id := 0
	fmt.Sscan(string(d.Msg.Body), &id)
	s.tell("got %d of %s tag %d redelivered=%v", id, name, d.Tag, d.Redelivered)
	q := s.queues[name]
	if q == nil {
		return nil // deleted while it was in the outbox
	}
	for i := range q.msgs {
		if m := &q.msgs[i]; m.id == id {
			if m.held {
				return fmt.Errorf("%d was delivered twice", id)
			}
			if m.given && !d.Redelivered {
				return fmt.Errorf("%d comes again without the mark", id)
			}
			m.held, m.given = true, true
			s.held[d.Session] = append(s.held[d.Session], simHeld{d.Tag, name, id})
			return nil
		}
	}
	return fmt.Errorf("phantom %d from %s", id, name)
}

func (d *Delivery) queueName() string {
	for _, u := range []int{d.Session.unacked.len()} {
		for i := range u {
			if x := d.Session.unacked.at(i); x.tag == d.Tag && x.lane != nil {
				return x.lane.q.name
			}
		}
	}
	return ""
}

func (s *sim) take() error {
	for _, d := range s.conn.Take(nil) {
		if d.Msg == nil {
			continue
		}
		if err := s.arrived(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *sim) get(ses *Session) error {
	name := simNames[s.rng.IntN(3)]
	if s.queues[name] == nil {
		return nil
	}
	d, _, ok, err := ses.Get(name, false)
	if err != nil || !ok {
		return err
	}
	return s.arrived(d)
}

func (s *sim) settle(ses *Session) error {
	held := s.held[ses]
	if len(held) == 0 {
		return nil
	}
	i := s.rng.IntN(len(held))
	op := Settlement{Tag: held[i].tag, Multiple: s.rng.IntN(3) == 0, Outcome: Outcome(s.rng.IntN(3))}
	s.tell("settle %+v", op)
	if op.Multiple { // the outbox may hold older tags that did not arrive yet
		if err := s.take(); err != nil {
			return err
		}
	}
	if err := ses.Settle([]Settlement{op}); err != nil {
		if s.queues[held[i].queue] == nil {
			return nil
		}
		return err
	}
	s.held[ses] = slices.DeleteFunc(s.held[ses], func(h simHeld) bool {
		if h.tag != op.Tag && !(op.Multiple && h.tag < op.Tag) {
			return false
		}
		s.queues[h.queue].settle(h.id, op.Outcome != Returned)
		return true
	})
	return nil
}

func (q *simQueue) settle(id int, gone bool) {
	if q == nil {
		return
	}
	i := slices.IndexFunc(q.msgs, func(m simMsg) bool { return m.id == id })
	if gone {
		q.msgs = slices.Delete(q.msgs, i, i+1)
	} else {
		q.msgs[i].held = false
	}
}

func (s *sim) closeSession(ses *Session) {
	s.tell("close session")
	ses.Close()
	for _, h := range s.held[ses] {
		s.queues[h.queue].settle(h.id, false)
	}
	delete(s.held, ses)
	i := slices.Index(s.sessions, ses)
	s.sessions[i] = s.conn.Open()
}

func (s *sim) purgeOrDelete() error {
	name := simNames[s.rng.IntN(3)]
	q := s.queues[name]
	if q == nil {
		return nil
	}
	if err := s.take(); err != nil { // so that held is the same for both
		return err
	}
	if len(s.conn.outbox) > 0 {
		return nil
	}
	if s.rng.IntN(3) == 0 {
		s.tell("delete %s", name)
		if _, _, err := s.conn.DeleteQueue(name, false, false); err != nil {
			return err
		}
		delete(s.queues, name)
		for ses := range s.held {
			s.held[ses] = slices.DeleteFunc(s.held[ses], func(h simHeld) bool { return h.queue == name })
		}
		return nil
	}
	s.tell("purge %s", name)
	n, _, err := s.conn.Purge(name)
	if err != nil {
		return err
	}
	before := len(q.msgs)
	q.msgs = slices.DeleteFunc(q.msgs, func(m simMsg) bool { return !m.held })
	if before-len(q.msgs) != n {
		return fmt.Errorf("purge of %s: %d, want %d", name, n, before-len(q.msgs))
	}
	return nil
}

func (s *sim) crash() {
	s.tell("power cut")
	s.log = s.log.Crash()
	s.queues = copyModel(s.safe)
	s.start()
}

// copyModel is what a power cut leaves: durable queues and what was stored.
func copyModel(m map[string]*simQueue) map[string]*simQueue {
	c := make(map[string]*simQueue)
	for name, q := range m {
		if !q.durable {
			continue
		}
		kept := &simQueue{durable: true}
		for _, msg := range q.msgs {
			if msg.stored {
				kept.msgs = append(kept.msgs, simMsg{id: msg.id, stored: true, given: msg.given})
			}
		}
		c[name] = kept
	}
	return c
}

// drain ends all sessions and checks that each queue holds just what the model
// has, in order; then a last cut after a commit must leave the stored part.
func (s *sim) drain() error {
	for i := len(s.sessions) - 1; i >= 0; i-- {
		s.closeSession(s.sessions[i])
	}
	s.log.Commit()
	after := copyModel(s.queues)
	if err := s.compare(s.queues); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	s.log = s.log.Crash()
	s.start()
	for name, q := range after {
		if st, ok := s.b.QueueStatus(DefaultVHost, name); !ok || st.Ready != 0 {
			return fmt.Errorf("%s holds %d after everything was consumed and the power cut, had %d", name, st.Ready, len(q.msgs))
		}
	}
	return nil
}

func (s *sim) compare(model map[string]*simQueue) error {
	for name, q := range model {
		st, _ := s.b.QueueStatus(DefaultVHost, name)
		if st.Ready != len(q.msgs) {
			return fmt.Errorf("%s counts %d, want %d", name, st.Ready, len(q.msgs))
		}
		for i, m := range q.msgs {
			d, left, ok, err := s.sessions[0].Get(name, true)
			if err != nil || !ok {
				return fmt.Errorf("%s: message %d of %d is missing (%v)", name, i, len(q.msgs), err)
			}
			if m.given && !d.Redelivered {
				return fmt.Errorf("%s gave %d again without the mark", name, m.id)
			}
			if want := fmt.Sprint(m.id); string(d.Msg.Body) != want || left != len(q.msgs)-i-1 {
				return fmt.Errorf("%s gave %s (left %d), want %s", name, d.Msg.Body, left, want)
			}
		}
		if st, _ := s.b.QueueStatus(DefaultVHost, name); st.Ready != 0 || st.Bytes != 0 || st.Unacked != 0 {
			return fmt.Errorf("%s is not empty in the end: %+v", name, st)
		}
	}
	if n := s.b.transient.Load(); n != 0 {
		return fmt.Errorf("%d B of transient messages in the end", n)
	}
	s.log.Commit()
	return nil
}
