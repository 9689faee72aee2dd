package broker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// scene is a broker on a log in memory, with one connection and session.
type scene struct {
	t *testing.T
	b *Broker
	c *Conn
	s *Session
}

func newScene(t *testing.T, log spool.Log, limits Limits) *scene {
	t.Helper()
	b, err := Open(Options{
		Log: log, Limits: limits, Now: func() amqp.Instant { return 1 },
		Boot: BootRecord{Base: time.Unix(1_700_000_000, 0), Synchronised: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	x := &scene{t: t, b: b}
	if x.c, err = b.Connect(DefaultVHost, Identity{}, func() {}); err != nil {
		t.Fatal(err)
	}
	x.s = x.c.Open()
	return x
}

func (x *scene) queue(name string, args ...amqp.Field) {
	x.t.Helper()
	if _, _, err := x.c.DeclareQueue(QueueSpec{Name: name, Durable: true, Args: args}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *scene) publish(key string, props amqp.PropertyList, n int) []Publish {
	x.t.Helper()
	ps := make([]Publish, n)
	for i := range ps {
		ps[i].Msg = &amqp.Message{Key: key, Props: props.Encode(), Body: []byte("x")}
	}
	if taken, err := x.s.Publish(0, ps); taken != n || err != nil {
		x.t.Fatalf("Publish = %d, %v", taken, err)
	}
	return ps
}

func (x *scene) ready(name string) int {
	st, _ := x.b.QueueStatus(DefaultVHost, name)
	return st.Ready
}

func TestRefusedBatchFindsTheSameRoutesAgain(t *testing.T) {
	log := mem.New()
	x := newScene(t, log, Limits{})
	x.queue("a")
	x.queue("b")
	props := amqp.PropertyList{DeliveryMode: 2, Headers: amqp.Table{{Key: "BCC", Value: amqp.Array{"b"}}}}
	ps := []Publish{{Msg: &amqp.Message{Key: "a", Props: props.Encode()}}}
	log.SetFull(true)
	if _, err := x.s.Publish(0, ps); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("Publish = %v, want ErrFull", err)
	}
	log.SetFull(false)
	if _, err := x.s.Publish(0, ps); err != nil || x.ready("a") != 1 || x.ready("b") != 1 {
		t.Errorf("second try: %v, a has %d, b has %d", err, x.ready("a"), x.ready("b"))
	}
}

func TestUncountedReturnsAreNoAttempts(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{})
	x.queue("q", amqp.Field{Key: "x-delivery-limit", Value: int64(2)})
	x.publish("q", amqp.PropertyList{DeliveryMode: 2}, 5)
	for range 10 {
		s := x.c.Open()
		consumer, err := s.Consume("q", ConsumerSpec{Uncounted: true})
		if err != nil {
			t.Fatal(err)
		}
		consumer.Start()
		if got := len(x.c.Take(nil)); got != 5 {
			t.Fatalf("%d deliveries, want 5", got)
		}
		s.Close()
	}
	if x.ready("q") != 5 {
		t.Errorf("%d are left of 5", x.ready("q"))
	}
}

func TestWhatWasNotTakenIsNotRedelivered(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{})
	x.queue("q", amqp.Field{Key: "x-delivery-limit", Value: int64(0)})
	x.publish("q", amqp.PropertyList{DeliveryMode: 2}, 1)
	s := x.c.Open()
	consumer, err := s.Consume("q", ConsumerSpec{})
	if err != nil {
		t.Fatal(err)
	}
	consumer.Start()
	s.Close() // before the writer came
	d, _, ok, err := x.s.Get("q", true)
	if err != nil || !ok || d.Redelivered {
		t.Errorf("Get = %v, %v, redelivered %v", ok, err, d.Redelivered)
	}
}

func TestMadeUpDeathsDoNotGoRound(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{})
	x.queue("q", amqp.Field{Key: "x-message-ttl", Value: int64(0)},
		amqp.Field{Key: "x-dead-letter-exchange", Value: ""}, amqp.Field{Key: "x-dead-letter-routing-key", Value: "q"})
	forged := amqp.Array{amqp.Table{{Key: "queue", Value: "q"}, {Key: "reason", Value: "rejected"}, {Key: "count", Value: int64(1)}}}
	x.publish("q", amqp.PropertyList{Headers: amqp.Table{{Key: "x-death", Value: forged}}}, 1)
	if x.ready("q") != 0 {
		t.Errorf("%d are ready in a queue whose time is 0", x.ready("q"))
	}
}

func TestSessionAtItsBoundServesAllQueuesAgain(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{UnackedMax: 4})
	for _, name := range []string{"a", "b"} {
		x.queue(name)
		consumer, err := x.s.Consume(name, ConsumerSpec{})
		if err != nil {
			t.Fatal(err)
		}
		consumer.Start()
	}
	x.publish("a", amqp.PropertyList{}, 4)
	x.publish("b", amqp.PropertyList{}, 1)
	if got := len(x.c.Take(nil)); got != 4 {
		t.Fatalf("%d deliveries, want the bound of 4", got)
	}
	if err := x.s.Settle([]Settlement{{Multiple: true}}); err != nil {
		t.Fatal(err)
	}
	if got := x.c.Take(nil); len(got) != 1 || got[0].Consumer.Queue != "b" {
		t.Errorf("%d deliveries after everything was settled, want the one of b", len(got))
	}
}

func TestOneLongJobDoesNotStopTheOthers(t *testing.T) {
	const bound = 2048
	x := newScene(t, mem.New().Auto(), Limits{UnackedMax: bound})
	x.queue("q")
	consumer, err := x.s.Consume("q", ConsumerSpec{Prefetch: 2})
	if err != nil {
		t.Fatal(err)
	}
	consumer.Start()
	for i := range 4 * bound {
		x.publish("q", amqp.PropertyList{}, 1)
		if i == 0 {
			x.c.Take(nil)
			continue // this one is worked on for a long time
		}
		ds := x.c.Take(nil)
		if len(ds) != 1 {
			t.Fatalf("message %d was not delivered", i)
		}
		if err := x.s.Settle([]Settlement{{Tag: ds[0].Tag}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := x.s.unacked.len(); n > 2*trimMin {
		t.Errorf("%d places are kept for 1 unsettled delivery", n)
	}
	if err := x.s.Settle([]Settlement{{Tag: 1}}); err != nil {
		t.Error(err)
	}
}

func TestConsumersComeBeforeLimits(t *testing.T) {
	for _, overflow := range []string{"drop-head", "reject-publish"} {
		x := newScene(t, mem.New().Auto(), Limits{})
		x.queue("q", amqp.Field{Key: "x-max-length", Value: int64(10)}, amqp.Field{Key: "x-overflow", Value: overflow})
		consumer, err := x.s.Consume("q", ConsumerSpec{Prefetch: 1000})
		if err != nil {
			t.Fatal(err)
		}
		consumer.Start()
		refused := 0
		for _, p := range x.publish("q", amqp.PropertyList{}, 100) {
			if p.Refused {
				refused++
			}
		}
		if got := len(x.c.Take(nil)); got != 100 || refused != 0 {
			t.Errorf("%s: %d of 100 were delivered to a ready consumer, %d refused", overflow, got, refused)
		}
	}
}

// only allows what it names.
type only map[string]bool

func (o only) Allows(a Action, resource string) bool { return o[a.String()+" "+resource] }

func TestOtherExchangesGiveNoRights(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{})
	low, err := x.b.Connect(DefaultVHost, Identity{User: "low", Access: only{"configure mine": true, "read mine": true, "write mine": true}}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if e, ok := errors.AsType[*amqp.Error](err); !ok || e.Code != amqp.AccessRefused {
			t.Errorf("%s: %v, want 403", what, err)
		}
	}
	_, _, err = low.DeclareQueue(QueueSpec{Name: "mine", Args: amqp.Table{{Key: "x-dead-letter-exchange", Value: "amq.topic"}}})
	refused("a dead letter exchange without write", err)
	_, err = low.DeclareExchange(ExchangeSpec{Name: "mine", Type: "direct", Args: amqp.Table{{Key: "alternate-exchange", Value: "amq.topic"}}})
	refused("an alternate exchange without write", err)
}

// priorities notes what the core says of the messages that it stores.
type priorities struct {
	*mem.Log
	seen []uint8
}

func (p *priorities) Append(b *spool.Batch) (spool.LSN, error) {
	for _, e := range b.Enters {
		p.seen = append(p.seen, e.Priority)
	}
	return p.Log.Append(b)
}

func TestAlarmsAreWorthMoreThanTelemetry(t *testing.T) {
	log := &priorities{Log: mem.New().Auto()}
	x := newScene(t, log, Limits{})
	x.queue("telemetry")
	x.queue("alarms", amqp.Field{Key: "x-spool-priority", Value: int64(9)})
	x.publish("telemetry", amqp.PropertyList{DeliveryMode: 2}, 1)
	x.publish("alarms", amqp.PropertyList{DeliveryMode: 2}, 1)
	if !slices.Equal(log.seen, []uint8{0, 9}) {
		t.Errorf("priorities %v, want 0 and 9", log.seen)
	}
}
