package shovel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/spool/mem"
)

// elsewhere is a remote source that remembers what was settled. Each link
// begins at the oldest message that is not.
type elsewhere struct {
	mu      sync.Mutex // protects the fields below
	bodies  []string
	settled map[int]bool
	opened  int
	buried  []string
	grave   bool // it can bury
	// life is how many messages a link lets out before it is lost; 0 is all.
	life    int
	waiting int // what it says is in it; 0 is not to know
	wake    chan struct{}
}

func newElsewhere(bodies []string) *elsewhere {
	return &elsewhere{bodies: bodies, settled: map[int]bool{}, wake: make(chan struct{})}
}

func (e *elsewhere) String() string       { return "fake://elsewhere" }
func (e *elsewhere) Backlog() (int, bool) { return e.waiting, e.waiting > 0 }

func (e *elsewhere) Open(_ context.Context, prefetch int) (bridge.Reader, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opened++
	return &elsewhereReader{e: e, prefetch: prefetch, again: e.opened > 1}, nil
}

func (e *elsewhere) left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.bodies) - len(e.settled)
}

type elsewhereReader struct {
	e        *elsewhere
	prefetch int
	next     int // index of the next body
	out      int // handed out
	again    bool
}

func (r *elsewhereReader) Take(ctx context.Context) ([]bridge.Message, error) {
	r.e.mu.Lock()
	var ms []bridge.Message
	for ; r.next < len(r.e.bodies) && len(ms) < r.prefetch; r.next++ {
		if r.e.settled[r.next] {
			continue
		}
		if r.e.life > 0 && r.out >= r.e.life {
			break
		}
		r.out++
		ms = append(ms, bridge.Message{
			Tag: uint64(r.next + 1), Key: "k." + r.e.bodies[r.next], Body: []byte(r.e.bodies[r.next]), Redelivered: r.again,
			Props: amqp.PropertyList{DeliveryMode: 2, MessageID: fmt.Sprint("id-", r.next)},
		})
	}
	lost := r.e.life > 0 && r.out >= r.e.life
	r.e.mu.Unlock()
	switch {
	case len(ms) > 0:
		return ms, nil
	case lost:
		return nil, errors.New("the source was lost")
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (r *elsewhereReader) Settle(acks []bridge.Ack) error {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	for _, a := range acks {
		for i := range r.e.bodies {
			if tag := uint64(i + 1); tag == a.Tag || a.Multiple && tag < a.Tag {
				r.e.settled[i] = true
			}
		}
	}
	return nil
}

func (r *elsewhereReader) Bury(tag uint64, why string) (bool, error) {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	if r.e.grave {
		r.e.settled[int(tag-1)] = true
		r.e.buried = append(r.e.buried, fmt.Sprint(tag-1, " ", why))
	}
	return r.e.grave, nil
}

func (r *elsewhereReader) Close() {}

// inbound is a broker with the queue "in" bound to amq.topic with k.#, and a
// shovel that fills it.
type inbound struct {
	t      *testing.T
	log    *mem.Log
	b      *broker.Broker
	conn   *broker.Conn
	source *elsewhere
	target *LocalExchange
	shovel *Shovel
}

func newInbound(t *testing.T, log *mem.Log, source *elsewhere, change func(*inbound, *Options)) *inbound {
	t.Helper()
	b, err := broker.Open(broker.Options{Log: log, Limits: broker.Limits{MessageBytesMax: 100}})
	if err != nil {
		t.Fatal(err)
	}
	k := &inbound{t: t, log: log, b: b, source: source}
	if k.conn, err = b.Connect("/", broker.Identity{}, func() {}); err != nil {
		t.Fatal(err)
	}
	k.queue("in", nil)
	if _, err := k.conn.BindQueue("in", "amq.topic", "k.#", nil); err != nil {
		t.Fatal(err)
	}
	log.Commit()
	k.target = &LocalExchange{Broker: b, VHost: "/", Exchange: "amq.topic", Now: func() amqp.Instant { return 0 }, Name: "in"}
	o := Options{Name: "in", Source: source, Target: k.target}
	if change != nil {
		change(k, &o)
	}
	k.shovel = New(o)
	return k
}

func (k *inbound) queue(name string, args amqp.Table) {
	k.t.Helper()
	if _, _, err := k.conn.DeclareQueue(broker.QueueSpec{Name: name, Durable: true, Args: args}); err != nil {
		k.t.Fatal(err)
	}
}

// bodies empties a queue.
func (k *inbound) bodies(queue string) (got []string) {
	k.t.Helper()
	s := k.conn.Open()
	defer s.Close()
	for {
		d, _, ok, err := s.Get(queue, true)
		if err != nil {
			k.t.Fatal(err)
		}
		if !ok {
			return got
		}
		got = append(got, string(d.Msg.Body))
	}
}

func (k *inbound) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = k.shovel.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestARemoteSourceIsSettledWhenTheMessageIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := mem.New()
		k := newInbound(t, log, newElsewhere(numbers(0, 50)), nil)
		defer k.run()()
		synctest.Wait()
		if left, st := k.source.left(), k.shovel.Status(); left != 50 || st.Confirmed != 0 {
			t.Errorf("before the commit %d are unsettled, %+v", left, st)
		}
		for range 3 { // the first goes alone
			log.Commit()
			synctest.Wait()
		}
		if left := k.source.left(); left != 0 {
			t.Errorf("%d messages are not settled", left)
		}
		if st := k.shovel.Status(); st.State != Live || st.Confirmed != 50 || st.Source != "fake://elsewhere" || st.Target != "exchange amq.topic" {
			t.Errorf("in the end: %+v", st)
		}
		if got := k.bodies("in"); !slices.Equal(got, numbers(0, 50)) {
			t.Errorf("the queue has %v", got)
		}
	})
}

func TestWhatACrashTakesIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := mem.New()
		source := newElsewhere(numbers(0, 20))
		k := newInbound(t, log, source, nil)
		stop := k.run()
		synctest.Wait()
		log.Commit() // the first, which went alone
		synctest.Wait()
		stop() // the others are published and not durable
		if left := source.left(); left != 19 {
			t.Fatalf("%d are unsettled, want 19", left)
		}
		after := newInbound(t, log.Crash().Auto(), source, nil)
		defer after.run()()
		synctest.Wait()
		if got := after.bodies("in"); !slices.Equal(got, numbers(0, 20)) {
			t.Errorf("the queue has %v", got)
		}
	})
}

func TestAFullSpoolHoldsTheShovel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := mem.New().Auto()
		k := newInbound(t, log, newElsewhere(numbers(0, 20)), nil)
		log.SetFull(true)
		defer k.run()()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.Held == "" || st.Links != 1 || st.Failures != 0 {
			t.Errorf("while full: %+v", st)
		}
		log.SetFull(false)
		time.Sleep(time.Second)
		if st := k.shovel.Status(); st.Held != "" || st.Confirmed != 20 {
			t.Errorf("afterwards: %+v", st)
		}
		if got := k.bodies("in"); !slices.Equal(got, numbers(0, 20)) {
			t.Errorf("the queue has %v", got)
		}
	})
}

// TestLagIsToldAsFarAsItIsKnown: a source that cannot tell how much waits in it
// is not one in which nothing waits.
func TestLagIsToldAsFarAsItIsKnown(t *testing.T) {
	for _, waiting := range []int{0, 20} {
		synctest.Test(t, func(t *testing.T) {
			source := newElsewhere(numbers(0, 8))
			source.waiting = waiting
			k := newInbound(t, mem.New().Auto(), source, nil)
			defer k.run()()
			time.Sleep(time.Minute)
			want := map[bool]State{false: Live, true: Draining}[waiting > 0]
			if st := k.shovel.Status(); st.LagKnown != (waiting > 0) || st.Lag != waiting || st.State != want || st.Confirmed != 8 {
				t.Errorf("%d waiting: %+v", waiting, st)
			}
		})
	}
}

func TestALostSourceIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newElsewhere(numbers(0, 95))
		source.life = 10
		k := newInbound(t, mem.New().Auto(), source, nil)
		defer k.run()()
		time.Sleep(10 * time.Minute)
		if got := k.bodies("in"); !slices.Equal(got, numbers(0, 95)) {
			t.Errorf("the queue has %v", got)
		}
		if st := k.shovel.Status(); st.Links < 10 || st.Links > 400 || !strings.Contains(st.LastError, "the source was lost") {
			t.Errorf("%+v", st)
		}
	})
}

func TestWhatNoQueueTakes(t *testing.T) {
	for _, mandatory := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			source := newElsewhere(numbers(0, 5))
			k := newInbound(t, mem.New().Auto(), source, func(k *inbound, o *Options) {
				k.target.Key, k.target.Mandatory = "elsewhere", mandatory
				o.OnRefusal = Hold
			})
			defer k.run()()
			time.Sleep(time.Minute)
			st := k.shovel.Status()
			if !mandatory && (st.Confirmed != 5 || source.left() != 0) {
				t.Errorf("not mandatory: %+v", st)
			}
			if mandatory && (st.Confirmed != 0 || source.left() != 5 || !strings.Contains(st.LastError, `no queue is bound for key elsewhere`)) {
				t.Errorf("mandatory: %+v", st)
			}
		})
	}
}

func TestAMissingExchangeIsNoMessagesFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newElsewhere(numbers(0, 5))
		source.grave = true
		k := newInbound(t, mem.New().Auto(), source, func(k *inbound, o *Options) { k.target.Exchange = "gone" })
		defer k.run()()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.State != Down || st.Buried != 0 || !strings.Contains(st.LastError, "no exchange 'gone'") {
			t.Errorf("%+v", st)
		}
	})
}

// TestAFullQueueIsWaitedFor: a queue that refuses more is no reason to put
// messages aside.
func TestAFullQueueIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newElsewhere(numbers(0, 6))
		source.grave = true
		k := newInbound(t, mem.New().Auto(), source, func(k *inbound, o *Options) {
			k.queue("small", amqp.Table{{Key: "x-max-length", Value: int32(3)}, {Key: "x-overflow", Value: "reject-publish"}})
			k.target.Exchange, k.target.Key = "", "small"
		})
		defer k.run()()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.Confirmed != 3 || st.Buried != 0 || st.Busy == 0 {
			t.Errorf("while full: %+v", st)
		}
		got := k.bodies("small")
		time.Sleep(2 * time.Minute)
		if got = append(got, k.bodies("small")...); !slices.Equal(got, numbers(0, 6)) {
			t.Errorf("the queue had %v", got)
		}
	})
}

// TestMessagesTooLargeForTheSpool: what the spool here can never take is put aside
// with the reason, and the others go on.
func TestMessagesTooLargeForTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := mem.New().Auto()
		source := newElsewhere([]string{"a", strings.Repeat("x", 90), "c"})
		source.grave = true
		k := newInbound(t, log, source, nil)
		log.SetMost(140)
		defer k.run()()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.Confirmed != 2 || st.Buried != 1 || source.left() != 0 {
			t.Errorf("%+v, %d are unsettled", st, source.left())
		}
		// What was under way with it comes again, as after any refusal.
		if got := slices.Compact(k.bodies("in")); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("the queue has %v", got)
		}
		if len(source.buried) != 1 || !strings.Contains(source.buried[0], "1 refused: message is too large") || !strings.Contains(source.buried[0], "140 are possible") {
			t.Errorf("buried: %q", source.buried)
		}
	})
}
