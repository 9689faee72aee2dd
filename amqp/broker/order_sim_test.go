package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/spool/mem"
)

// TestOrder plays random conversations with one queue of random arguments
// against a model that is a list for each priority. Every delivery must be the
// one that the model has next, to a consumer that may have it; what dies must
// die for the model's reason, in the model's order; and nothing may wait while
// somebody could take it.
func TestOrder(t *testing.T) {
	first, n := uint64(1), *simSeeds
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	for seed := first; seed < first+uint64(n); seed++ {
		o := newOrder(seed)
		if err := o.play(150); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./amqp/broker -run TestOrder -sim.seed=%d\n%s",
				seed, err, seed, strings.Join(o.story[max(0, len(o.story)-40):], "\n"))
		}
	}
}

type orderMsg struct {
	id, prio, attempts int
	deadline, due      amqp.Instant
}

type orderConsumer struct {
	c        *Consumer
	session  int
	priority int
	prefetch int
	held     int
}

type orderHeld struct {
	msg     *orderMsg
	by      *orderConsumer
	session int
	tag     uint64
}

type order struct {
	rng      *rand.Rand
	b        *Broker
	conn     *Conn
	sessions [2]*Session
	now      amqp.Instant
	story    []string

	// What the queue was declared with; -1 is not at all.
	priorities, ttl, maxLength, limit, retry int
	single                                   bool

	// The model.
	lanes     [][]*orderMsg // ready, by age
	resting   []*orderMsg   // by when they may come back
	consumers []*orderConsumer
	active    *orderConsumer
	held      []*orderHeld
	grave     []string
	nextID    int
}

func newOrder(seed uint64) *order {
	o := &order{rng: rand.New(rand.NewPCG(seed, 3)), now: 1, ttl: -1, maxLength: -1, limit: -1}
	b, err := Open(Options{
		Log: mem.New().Auto(), Limits: Limits{WindowMessages: 1 << 10, changesMax: o.rng.IntN(4)},
		Boot: BootRecord{Base: time.Unix(1_700_000_000, 0), Synchronised: true},
		Now:  func() amqp.Instant { return o.now },
	})
	if err != nil {
		panic(err)
	}
	o.b = b
	o.conn, _ = b.Connect(DefaultVHost, Identity{}, func() {})
	o.sessions = [2]*Session{o.conn.Open(), o.conn.Open()}
	o.declare()
	return o
}

func (o *order) declare() {
	args := amqp.Table{{Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: "grave"}}
	some := func(key string, n int) int {
		if o.rng.IntN(2) == 0 {
			return -1
		}
		args = args.With(key, int64(n))
		return n
	}
	o.priorities = max(0, some("x-max-priority", 1+o.rng.IntN(3)))
	o.ttl = some("x-message-ttl", o.rng.IntN(80))
	o.maxLength = some("x-max-length", 3+o.rng.IntN(6))
	o.limit = some("x-delivery-limit", o.rng.IntN(3))
	if o.retry = some("x-delayed-retry-min", 1+o.rng.IntN(40)); o.retry > 0 && o.limit < 0 {
		o.limit = deliveryLimitDefault
	}
	if o.single = o.rng.IntN(2) == 0; o.single {
		args = args.With("x-single-active-consumer", true)
	}
	o.lanes = make([][]*orderMsg, o.priorities+1)
	o.tell("declare %v", args)
	for _, q := range []QueueSpec{{Name: "grave"}, {Name: "box", Durable: true, Args: args}} {
		if _, _, err := o.conn.DeclareQueue(q); err != nil {
			panic(err)
		}
	}
}

func (o *order) tell(format string, args ...any) {
	o.story = append(o.story, fmt.Sprintf(format, args...))
}

func (o *order) play(steps int) error {
	for range steps {
		switch n := o.rng.IntN(100); {
		case n < 35:
			o.publish()
		case n < 65:
			o.settle()
		case n < 78:
			o.wait()
		case n < 88:
			o.consume()
		case n < 94:
			o.cancel()
		case n < 97:
			o.closeSession()
		default:
			o.recover()
		}
		if err := o.check(); err != nil {
			return err
		}
	}
	return o.checkGrave()
}

func (o *order) publish() {
	ps := make([]Publish, 1+o.rng.IntN(4))
	for i := range ps {
		m := &orderMsg{id: o.nextID, prio: o.rng.IntN(5)}
		o.nextID++
		l := amqp.PropertyList{Priority: uint8(m.prio), DeliveryMode: uint8(1 + o.rng.IntN(2))}
		ttl := o.ttl
		if o.rng.IntN(3) == 0 {
			own := o.rng.IntN(100)
			l.Expiration, l.Flags = fmt.Sprint(own), amqp.HasExpiration
			if ttl < 0 || own < ttl {
				ttl = own
			}
		}
		if ttl >= 0 {
			m.deadline = o.now + amqp.Instant(time.Duration(ttl)*time.Millisecond)
		}
		m.prio = min(m.prio, o.priorities)
		o.lanes[m.prio] = append(o.lanes[m.prio], m)
		ps[i].Msg = &amqp.Message{Key: "box", Props: l.Encode(), Body: fmt.Append(nil, m.id)}
		o.tell("publish %d priority %d deadline %d", m.id, m.prio, m.deadline)
	}
	if n, err := o.sessions[0].Publish(o.now, ps); n != len(ps) || err != nil {
		panic(fmt.Sprint(n, err))
	}
}

// shed drops what is too much once consumers had their share.
func (o *order) shed() {
	for o.maxLength >= 0 && o.ready() > o.maxLength {
		i := slices.IndexFunc(o.lanes, func(l []*orderMsg) bool { return len(l) > 0 })
		o.bury(o.pop(i), reasonMaxLen)
	}
}

func (o *order) ready() (n int) {
	for _, l := range o.lanes {
		n += len(l)
	}
	return n
}

func (o *order) pop(lane int) *orderMsg {
	m := o.lanes[lane][0]
	o.lanes[lane] = o.lanes[lane][1:]
	return m
}

func (o *order) bury(m *orderMsg, reason string) {
	o.grave = append(o.grave, fmt.Sprint(m.id, " ", reason))
	o.tell("  %d dies: %s", m.id, reason)
}

// back puts a message that a consumer had at its old place.
func (o *order) back(m *orderMsg) {
	if m.attempts++; o.limit >= 0 && m.attempts > o.limit {
		o.bury(m, reasonLimit)
		return
	}
	if o.retry > 0 {
		m.due = o.now + amqp.Instant(time.Duration(o.retry*m.attempts)*time.Millisecond)
		o.resting = append(o.resting, m)
		return
	}
	o.giveBack(m)
}

// rouse gives back what has rested for long enough.
func (o *order) rouse() {
	o.resting = slices.DeleteFunc(o.resting, func(m *orderMsg) bool {
		if m.due <= o.now {
			o.giveBack(m)
		}
		return m.due <= o.now
	})
}

func (o *order) giveBack(m *orderMsg) {
	l := o.lanes[m.prio]
	i, _ := slices.BinarySearchFunc(l, m.id, func(a *orderMsg, id int) int { return a.id - id })
	o.lanes[m.prio] = slices.Insert(l, i, m)
}

func (o *order) settle() {
	if len(o.held) == 0 {
		return
	}
	h := o.held[o.rng.IntN(len(o.held))]
	op := Settlement{Tag: h.tag, Multiple: o.rng.IntN(4) == 0, Outcome: Outcome(o.rng.IntN(3))}
	o.tell("settle %d of session %d: %+v", h.msg.id, h.session, op)
	if err := o.sessions[h.session].Settle([]Settlement{op}); err != nil {
		panic(err)
	}
	o.release(func(x *orderHeld) bool {
		return x == h || op.Multiple && x.session == h.session && x.tag <= h.tag
	}, op.Outcome)
}

// release settles in the model.
func (o *order) release(which func(*orderHeld) bool, outcome Outcome) {
	o.held = slices.DeleteFunc(o.held, func(h *orderHeld) bool {
		if !which(h) {
			return false
		}
		h.by.held--
		switch outcome {
		case Returned:
			o.back(h.msg)
		case Rejected:
			o.bury(h.msg, reasonRejected)
		}
		return true
	})
}

func (o *order) wait() {
	o.now += amqp.Instant(time.Duration(o.rng.IntN(40)) * time.Millisecond)
	o.tell("wait until %d", o.now)
	o.b.Tick()
}

func (o *order) consume() {
	if len(o.consumers) >= 4 {
		return
	}
	x := &orderConsumer{session: o.rng.IntN(2), priority: o.rng.IntN(2), prefetch: 1 + o.rng.IntN(3)}
	c, err := o.sessions[x.session].Consume("box", ConsumerSpec{Priority: x.priority, Prefetch: x.prefetch})
	if err != nil {
		panic(err)
	}
	x.c = c
	i := len(o.consumers)
	for i > 0 && o.consumers[i-1].priority < x.priority {
		i--
	}
	o.consumers = slices.Insert(o.consumers, i, x)
	if o.active == nil {
		o.active = x
	}
	o.tell("consume by %s: priority %d prefetch %d", c.Tag, x.priority, x.prefetch)
	c.Start()
}

func (o *order) cancel() {
	if len(o.consumers) == 0 {
		return
	}
	x := o.consumers[o.rng.IntN(len(o.consumers))]
	o.tell("cancel %s", x.c.Tag)
	o.sessions[x.session].Cancel(x.c.Tag)
	o.dismiss(func(y *orderConsumer) bool { return x == y })
}

func (o *order) dismiss(which func(*orderConsumer) bool) {
	o.consumers = slices.DeleteFunc(o.consumers, which)
	if o.active != nil && which(o.active) {
		if o.active = nil; len(o.consumers) > 0 {
			o.active = o.consumers[0]
		}
	}
}

func (o *order) closeSession() {
	i := o.rng.IntN(2)
	o.tell("close session %d", i)
	o.sessions[i].Close()
	o.sessions[i] = o.conn.Open()
	o.dismiss(func(x *orderConsumer) bool { return x.session == i })
	o.release(func(h *orderHeld) bool { return h.session == i }, Returned)
}

func (o *order) recover() {
	i := o.rng.IntN(2)
	o.tell("recover session %d", i)
	o.sessions[i].Recover()
	o.release(func(h *orderHeld) bool { return h.session == i }, Returned)
}

// check takes what was delivered and follows it in the model.
func (o *order) check() error {
	o.rouse()
	for _, d := range o.conn.Take(nil) {
		id := 0
		fmt.Sscan(string(d.Msg.Body), &id)
		x := o.byConsumer(d.Consumer)
		o.tell("  %d to %s", id, d.Consumer.Tag)
		lane := o.front()
		switch {
		case lane < 0:
			return fmt.Errorf("%d was delivered, the model has nothing", id)
		case o.lanes[lane][0].id != id:
			return fmt.Errorf("%d was delivered, the model has %d next", id, o.lanes[lane][0].id)
		case x == nil || !o.canTake(x):
			return fmt.Errorf("%d was delivered to %s, which cannot take it", id, d.Consumer.Tag)
		case slices.ContainsFunc(o.consumers, func(y *orderConsumer) bool { return y.priority > x.priority && o.canTake(y) }):
			return fmt.Errorf("%d was delivered to %s, and one of higher priority was ready", id, d.Consumer.Tag)
		case d.Redelivered != (o.lanes[lane][0].attempts > 0):
			return fmt.Errorf("%d is redelivered: %v", id, d.Redelivered)
		}
		x.held++
		o.held = append(o.held, &orderHeld{msg: o.pop(lane), by: x, session: x.session, tag: d.Tag})
	}
	o.front() // what expired on the way
	if slices.ContainsFunc(o.consumers, o.canTake) && o.ready() > 0 {
		return fmt.Errorf("%d wait, and somebody could take one", o.ready())
	}
	o.expire(true)
	o.shed()
	o.expire(true)
	if st, _ := o.b.QueueStatus(DefaultVHost, "box"); st.Ready != o.ready() || st.Unacked != len(o.held) || st.Resting != len(o.resting) {
		return fmt.Errorf("ready %d unacked %d, the model has %d and %d", st.Ready, st.Unacked, o.ready(), len(o.held))
	}
	return nil
}

func (o *order) byConsumer(c *Consumer) *orderConsumer {
	for _, x := range o.consumers {
		if x.c == c {
			return x
		}
	}
	return nil
}

func (o *order) canTake(x *orderConsumer) bool {
	return x.held < x.prefetch && (!o.single || o.active == x)
}

// front is the lane that has the next message, without those whose time is
// over; -1 is none.
func (o *order) front() int {
	for i := len(o.lanes) - 1; i >= 0; i-- {
		o.expireLane(i, false)
		if len(o.lanes[i]) > 0 {
			return i
		}
	}
	return -1
}

func (o *order) expire(alone bool) {
	for i := range o.lanes {
		o.expireLane(i, alone)
	}
}

func (o *order) expireLane(i int, alone bool) {
	for len(o.lanes[i]) > 0 {
		m := o.lanes[i][0]
		if m.deadline == 0 || m.deadline > o.now || m.deadline == o.now && !alone {
			return
		}
		o.bury(o.pop(i), reasonExpired)
	}
}

// checkGrave compares what died, as sets: the model does not know in which
// order lanes expire.
func (o *order) checkGrave() error {
	var got []string
	for {
		d, _, ok, err := o.sessions[0].Get("grave", true)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		reason, _ := deathsOf(d.Msg.Props)[0].(amqp.Table).Get("reason")
		got = append(got, fmt.Sprint(string(d.Msg.Body), " ", reason))
	}
	want := slices.Clone(o.grave)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("dead: %q, want %q", got, want)
	}
	return nil
}
