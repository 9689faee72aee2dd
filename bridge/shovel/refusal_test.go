package shovel

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/spool/mem"
)

// picky takes everything but bodies that are a multiple of three, which it
// refuses.
func picky(l *fakeLink) error {
	for n := uint64(1); ; n++ {
		m, ok := l.receive()
		if !ok {
			return nil
		}
		var number int
		if _, err := fmt.Sscan(string(m.Body), &number); err == nil && number%3 == 0 {
			l.answer(n, bridge.Refused, "not by threes")
			continue
		}
		l.far.take(m)
		l.answer(n, bridge.Confirmed, "")
	}
}

// notByThrees is what picky takes of n messages.
func notByThrees(n int) (texts []string) {
	for i := range n {
		if i%3 != 0 {
			texts = append(texts, fmt.Sprint(i))
		}
	}
	return texts
}

// firsts leaves repetitions out.
func firsts(texts []string) (once []string) {
	for _, s := range texts {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// notebook keeps what was told.
type notebook struct {
	mu    sync.Mutex // protects texts
	texts []string
}

func (n *notebook) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts = append(n.texts, text)
}

func (n *notebook) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.texts)
}

// graveyard gives the bench's queue a dead letter exchange with a queue.
func (k *bench) graveyard() {
	k.t.Helper()
	if _, _, err := k.conn.DeclareQueue(broker.QueueSpec{Name: "grave", Durable: true}); err != nil {
		k.t.Fatal(err)
	}
	policy := broker.Policy{Name: "dead", Pattern: "^q$", ApplyTo: "queues", Definition: amqp.Table{
		{Key: "dead-letter-exchange", Value: ""}, {Key: "dead-letter-routing-key", Value: "grave"}}}
	if _, err := k.b.SetPolicy("/", policy); err != nil {
		k.t.Fatal(err)
	}
}

func TestWhatIsNeverTakenIsDeadLettered(t *testing.T) {
	for _, tries := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			k := newBench(t, &farSide{serve: picky}, func(o *Options) { o.RefusalTries = tries })
			k.graveyard()
			k.publish(30)
			defer k.run()()
			time.Sleep(10 * time.Minute)
			st := k.shovel.Status()
			if st.Buried != 10 || st.Lag != 0 || st.State != Live || st.Confirmed != 20 {
				t.Errorf("with %d tries: %+v", tries, st)
			}
			if tries == 1 && st.Links != 1 {
				t.Errorf("with one try a link was given up: %+v", st)
			}
			if got := firsts(k.far.bodies()); tries == 1 && !slices.Equal(got, notByThrees(30)) {
				t.Errorf("far side took %v", got)
			}
			if q, _ := k.b.QueueStatus("/", "grave"); q.Ready != 10 {
				t.Errorf("%d messages are in the grave", q.Ready)
			}
			d, _, _, err := k.session.Get("grave", true)
			if err != nil {
				t.Fatal(err)
			}
			if why, _ := d.Msg.Props.Header(broker.HeaderRefused); string(d.Msg.Body) != "0" || why != "refused: not by threes" {
				t.Errorf("message %s is there for %q", d.Msg.Body, why)
			}
			if told := strings.Count(k.logged.String(), "message is dead-lettered"); told < 1 || told > 10 {
				t.Errorf("told %d times", told)
			}
		})
	}
}

func TestWithoutAGraveItIsHeldAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notebook
		var taken atomic.Bool
		far := &farSide{}
		far.serve = func(l *fakeLink) error {
			if taken.Load() {
				return honest(l)
			}
			return picky(l)
		}
		k := newBench(t, far, func(o *Options) { o.Trouble = told.add })
		k.publish(6)
		stop := k.run()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.Buried+st.Dropped+st.Confirmed != 0 || st.Lag != 6 {
			t.Errorf("while refused: %+v", st)
		}
		if troubles := told.all(); len(troubles) == 0 || !strings.Contains(troubles[0], "not by threes") || !strings.Contains(troubles[0], "10 times") {
			t.Errorf("told %q", troubles)
		}
		taken.Store(true)
		time.Sleep(3 * time.Minute)
		stop()
		if st := k.shovel.Status(); st.Confirmed != 6 || st.Lag != 0 {
			t.Errorf("when taken: %+v", st)
		}
		if troubles := told.all(); troubles[len(troubles)-1] != "" {
			t.Errorf("the trouble is not over: %q", troubles)
		}
	})
}

func TestDropThrowsItAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(t, &farSide{serve: picky}, func(o *Options) { o.OnRefusal, o.RefusalTries = Drop, 2 })
		k.publish(9)
		defer k.run()()
		time.Sleep(5 * time.Minute)
		if st := k.shovel.Status(); st.Dropped != 3 || st.Confirmed != 6 || st.Lag != 0 || st.State != Live {
			t.Errorf("%+v", st)
		}
	})
}

// TestAnotherMessageCountsAnew: tries are of one message.
func TestAnotherMessageCountsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{}
		far.serve = func(l *fakeLink) error { // each link refuses its second message only
			l.receive()
			l.answer(1, bridge.Confirmed, "")
			l.receive()
			l.answer(2, bridge.Refused, "once")
			return deaf(l)
		}
		k := newBench(t, far, func(o *Options) { o.RefusalTries = 2 })
		k.graveyard()
		k.publish(20)
		defer k.run()()
		time.Sleep(10 * time.Minute)
		if st := k.shovel.Status(); st.Buried != 0 || st.Confirmed != 20 {
			t.Errorf("%+v", st)
		}
	})
}

// TestABusyFarSideIsWaitedFor: no room is not the message's fault.
func TestABusyFarSideIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(t, &farSide{serve: func(l *fakeLink) error {
			l.receive()
			l.answer(1, bridge.Busy, "quota exceeded")
			return deaf(l)
		}}, func(o *Options) { o.OnRefusal, o.RefusalTries = Drop, 1 })
		k.publish(3)
		defer k.run()()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.Dropped != 0 || st.Lag != 3 || st.Busy < 50 || st.Busy > 400 {
			t.Errorf("%+v", st)
		}
	})
}

// TestAnUnwelcomeLinkComesBackSeldom: two of a name that take each other's place
// must not do so at full speed, though messages pass each time.
func TestAnUnwelcomeLinkComesBackSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{serve: func(l *fakeLink) error {
			l.receive()
			l.answer(1, bridge.Confirmed, "")
			return fmt.Errorf("taken over: %w", bridge.ErrUnwelcome)
		}}
		k := newBench(t, far, nil)
		k.publish(1000)
		defer k.run()()
		time.Sleep(time.Hour)
		if n := len(far.dials()); n > 60*4 {
			t.Errorf("dialled %d times in an hour", n)
		}
	})
}

// TestInboundSimulation: random sources and commits, with the process lost in
// between. Everything that the source was told to forget is in the queue, and
// the last coming of each message is in order.
func TestInboundSimulation(t *testing.T) {
	for seed := range uint64(*simSeeds) {
		synctest.Test(t, func(t *testing.T) { simulateInbound(t, seed+1) })
	}
}

func simulateInbound(t *testing.T, seed uint64) {
	rng := newRand(seed)
	source := newElsewhere(numbers(0, 200))
	source.life = 1 + rng.IntN(60)
	log := mem.New()
	for life := 0; source.left() > 0; life++ {
		if life > 400 {
			t.Fatalf("seed %d: %d messages are still at the source", seed, source.left())
		}
		k := newInbound(t, log, source, func(k *inbound, o *Options) { o.Messages = 1 + rng.IntN(40) })
		stop := k.run()
		for range rng.IntN(12) {
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			log.SetFull(rng.IntN(5) == 0)
			log.Commit()
		}
		log.SetFull(false)
		stop()
		log = log.Crash()
	}
	k := newInbound(t, log, source, nil)
	got := k.bodies("in")
	if once := firsts(got); len(once) != 200 || !slices.Equal(once, numbers(0, 200)) {
		t.Errorf("seed %d: %d messages came, in order %v", seed, len(once), slices.Equal(once, numbers(0, 200)))
	}
}
