package shovel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/spool/mem"
)

// farSide is a target whose links follow a script. It remembers over all links
// what it took.
type farSide struct {
	// dial is asked at each attempt, which count from 1; nil lets all through.
	dial func(attempt int) error
	// serve is one link's life in a goroutine: it ends when the link is to be
	// lost, with the reason.
	serve func(l *fakeLink) error

	mu       sync.Mutex // protects the fields below
	attempts []time.Time
	links    int
	took     []bridge.Message
}

func (f *farSide) String() string { return "fake://far" }

func (f *farSide) Dial(ctx context.Context, window int) (bridge.Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, time.Now())
	if f.dial != nil {
		if err := f.dial(len(f.attempts)); err != nil {
			return nil, err
		}
	}
	f.links++
	l := &fakeLink{
		far: f, link: f.links, inbox: make(chan bridge.Message, window), answers: make(chan bridge.Answer, window),
		closed: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		l.err = f.serve(l)
		close(l.ended)
		close(l.answers)
	}()
	return l, nil
}

// take remembers a message as safe on the far side.
func (f *farSide) take(m bridge.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = append(f.took, m)
}

func (f *farSide) bodies() (bodies []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.took {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

func (f *farSide) dials() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.attempts
}

// fakeLink is one link of a farSide.
type fakeLink struct {
	far     *farSide
	link    int // from 1
	inbox   chan bridge.Message
	answers chan bridge.Answer
	closed  chan struct{} // our side closed it
	ended   chan struct{} // the far side ended it
	err     error
	once    sync.Once

	mu   sync.Mutex // protects held
	held string
}

var errDown = errors.New("link is down")

func (l *fakeLink) Send(m *bridge.Message) error {
	select {
	case l.inbox <- *m:
		return nil
	case <-l.closed:
	case <-l.ended:
	}
	return errDown
}

func (l *fakeLink) Answers() <-chan bridge.Answer { return l.answers }
func (l *fakeLink) Err() error                    { return l.err }

func (l *fakeLink) Held() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *fakeLink) hold(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = why
}

func (l *fakeLink) Close() {
	l.once.Do(func() { close(l.closed) })
	<-l.ended
}

// receive is the next message, unless the link is closed.
func (l *fakeLink) receive() (bridge.Message, bool) {
	select {
	case m := <-l.inbox:
		return m, true
	case <-l.closed:
		return bridge.Message{}, false
	}
}

func (l *fakeLink) answer(number uint64, outcome bridge.Outcome, reason string) {
	l.answers <- bridge.Answer{Number: number, Outcome: outcome, Reason: reason}
}

// honest takes and confirms everything at once.
func honest(l *fakeLink) error {
	for n := uint64(1); ; n++ {
		m, ok := l.receive()
		if !ok {
			return nil
		}
		l.far.take(m)
		l.answer(n, bridge.Confirmed, "")
	}
}

// deaf receives nothing.
func deaf(l *fakeLink) error {
	<-l.closed
	return nil
}

// bench is a broker with the queue "q", and a shovel that empties it.
type bench struct {
	t       *testing.T
	b       *broker.Broker
	conn    *broker.Conn
	session *broker.Session
	far     *farSide
	logged  bytes.Buffer
	shovel  *Shovel
	next    int
	ended   chan struct{}
}

var bootBase = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// newBench makes a bench within a synctest bubble.
func newBench(t *testing.T, far *farSide, change func(*Options)) *bench {
	t.Helper()
	b, err := broker.Open(broker.Options{
		Log: mem.New().Auto(), Boot: broker.BootRecord{Base: bootBase, Synchronised: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	k := &bench{t: t, b: b, far: far, ended: make(chan struct{})}
	if k.conn, err = b.Connect("/", broker.Identity{}, func() {}); err != nil {
		t.Fatal(err)
	}
	k.session = k.conn.Open()
	if _, _, err := k.conn.DeclareQueue(broker.QueueSpec{Name: "q", Durable: true}); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Name: "up", Target: far,
		Source: &LocalQueue{Broker: b, VHost: "/", Queue: "q", Node: "box", Name: "up"},
		Log:    slog.New(slog.NewTextHandler(&k.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	k.shovel = New(o)
	return k
}

// publish puts n numbered messages into the queue.
func (k *bench) publish(n int) {
	k.t.Helper()
	for range n {
		k.put(&amqp.Message{Body: fmt.Appendf(nil, "%d", k.next)})
		k.next++
	}
}

func (k *bench) put(m *amqp.Message) {
	k.t.Helper()
	m.Key = "q"
	p := []broker.Publish{{Msg: m}}
	if _, err := k.session.Publish(0, p); err != nil || !p[0].Routed {
		k.t.Fatalf("Publish = %v, routed %v", err, p[0].Routed)
	}
}

// run starts the shovel; the returned func stops it and waits.
func (k *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(k.ended)
		if err := k.shovel.Run(ctx); err != nil {
			k.t.Errorf("Run = %v", err)
		}
	}()
	return func() {
		cancel()
		<-k.ended
		synctest.Wait()
	}
}

// queue is what the broker says of the queue.
func (k *bench) queue() broker.QueueStatus {
	st, _ := k.b.QueueStatus("/", "q")
	return st
}

// numbers is the texts of lo, lo+1, ... hi-1.
func numbers(lo, hi int) (texts []string) {
	for i := lo; i < hi; i++ {
		texts = append(texts, fmt.Sprint(i))
	}
	return texts
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 19)) }
