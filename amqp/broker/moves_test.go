package broker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/spool/mem"
)

// TestMovesLoseNothing lets messages be held back by an exchange, expire, be too
// many, be rejected and come back too often in a queue that dead-letters to
// another, with power cuts: each message that was safe and that nobody settled
// for good is in exactly one of the three places.
func TestMovesLoseNothing(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		if err := newMoves(seed).play(300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

type moves struct {
	rng     *rand.Rand
	log     *mem.Log
	b       *Broker
	conn    *Conn
	session *Session
	now     amqp.Instant
	nextID  int
	held    []uint64       // unsettled tags
	ids     map[uint64]int // of unsettled tags
	alive   map[int]bool   // published and not accepted by a consumer
	safe    map[int]bool   // of those, at the last commit
}

func newMoves(seed uint64) *moves {
	m := &moves{rng: rand.New(rand.NewPCG(seed, 1)), log: mem.New(), alive: map[int]bool{}, safe: map[int]bool{}}
	m.start()
	return m
}

func (m *moves) start() {
	b, err := Open(Options{
		Log: m.log, Limits: Limits{WindowMessages: 3, WindowBytes: 4 * messageOverhead, changesMax: m.rng.IntN(4)},
		Boot: BootRecord{Base: time.Unix(1_700_000_000, 0), Synchronised: true},
		Now:  func() amqp.Instant { return m.now },
	})
	if err != nil {
		panic(err)
	}
	m.b, m.held, m.ids = b, nil, map[uint64]int{}
	m.conn, _ = b.Connect(DefaultVHost, Identity{}, func() {})
	m.session = m.conn.Open()
	for _, q := range []QueueSpec{{Name: "grave", Durable: true}, {Name: "box", Durable: true, Args: amqp.Table{
		{Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: "grave"},
		{Key: "x-max-length", Value: int64(6)}, {Key: "x-message-ttl", Value: int64(50)},
		{Key: "x-delivery-limit", Value: int64(2)}, {Key: "x-max-priority", Value: int64(2)},
	}}} {
		if _, _, err := m.conn.DeclareQueue(q); err != nil {
			panic(err)
		}
	}
	if _, err := m.conn.DeclareExchange(ExchangeSpec{Name: "later", Type: typeDelayed, Durable: true, Args: amqp.Table{
		{Key: argDelayedType, Value: "fanout"},
	}}); err != nil {
		panic(err)
	}
	if _, err := m.conn.BindQueue("box", "later", "", nil); err != nil {
		panic(err)
	}
	m.log.Commit()
}

func (m *moves) play(steps int) error {
	for range steps {
		switch n := m.rng.IntN(100); {
		case n < 40:
			m.publish()
		case n < 60:
			m.get()
		case n < 80:
			m.settle()
		case n < 85:
			m.now += amqp.Instant(20 * time.Millisecond)
		case n < 92:
			m.b.Tick()
		case n < 97:
			m.commit()
		default:
			m.log = m.log.Crash()
			m.alive = copySet(m.safe)
			m.start()
		}
		if err := m.check(); err != nil {
			return err
		}
	}
	return nil
}

func copySet(s map[int]bool) map[int]bool {
	c := make(map[int]bool, len(s))
	for k := range s {
		c[k] = true
	}
	return c
}

func (m *moves) publish() {
	props := amqp.PropertyList{DeliveryMode: 2, Priority: uint8(m.rng.IntN(4))}
	ps := make([]Publish, 1+m.rng.IntN(4))
	for i := range ps {
		ps[i].Msg = &amqp.Message{Key: "box", Props: props.Encode(), Body: fmt.Append(nil, m.nextID)}
		if m.rng.IntN(3) == 0 {
			later := props
			later.Headers = amqp.Table{{Key: delayHeader, Value: int32(m.rng.IntN(60))}}
			ps[i].Msg.Exchange, ps[i].Msg.Props = "later", later.Encode()
		}
		m.alive[m.nextID] = true
		m.nextID++
	}
	if n, err := m.session.Publish(m.now, ps); n != len(ps) || err != nil {
		panic(fmt.Sprint(n, err))
	}
}

func (m *moves) get() {
	d, _, ok, err := m.session.Get([]string{"box", "grave"}[m.rng.IntN(2)], false)
	if err != nil {
		panic(err)
	}
	if ok {
		id := 0
		fmt.Sscan(string(d.Msg.Body), &id)
		m.held, m.ids[d.Tag] = append(m.held, d.Tag), id
	}
}

func (m *moves) settle() {
	if len(m.held) == 0 {
		return
	}
	i := m.rng.IntN(len(m.held))
	tag := m.held[i]
	m.held = append(m.held[:i], m.held[i+1:]...)
	outcome := Outcome(m.rng.IntN(3))
	u := m.session.find(tag)
	if gone := outcome == Accepted || outcome == Rejected && u.lane.q.name == "grave"; gone {
		delete(m.alive, m.ids[tag])
	}
	if err := m.session.Settle([]Settlement{{Tag: tag, Outcome: outcome}}); err != nil {
		panic(err)
	}
}

func (m *moves) commit() {
	m.log.Commit()
	m.safe = copySet(m.alive)
}

// check counts where each message is: in a lane's memory, cold, or unsettled.
func (m *moves) check() error {
	waiting, unsettled := m.b.Status().Held, len(m.held)
	for _, name := range []string{"box", "grave"} {
		st, _ := m.b.QueueStatus(DefaultVHost, name)
		waiting += st.Ready
	}
	if waiting+unsettled != len(m.alive) {
		return fmt.Errorf("%d wait and %d are unsettled, want %d in all", waiting, unsettled, len(m.alive))
	}
	if n := m.log.Stats().Records; n != int64(len(m.alive)) {
		return fmt.Errorf("the spool holds %d, want %d", n, len(m.alive))
	}
	return nil
}
