package broker

import (
	"errors"
	"fmt"
	"testing"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// tornLog gives every stored message back as damaged, or fails to read.
type tornLog struct {
	*mem.Log
	damaged, failing bool
	reads            int
}

func (l *tornLog) Read(q spool.QueueID, from spool.Pos, items []spool.Item, bytesMax int) (int, error) {
	l.reads++
	if l.failing {
		return 0, errors.New("input/output error")
	}
	n, err := l.Log.Read(q, from, items, bytesMax)
	for i := range items[:n] {
		if l.damaged {
			items[i] = spool.Item{Pos: items[i].Pos, Err: spool.ErrCorrupt}
		}
	}
	return n, err
}

func overfull(t *testing.T, log *tornLog, overflow string) *scene {
	t.Helper()
	x := newScene(t, log, Limits{WindowMessages: 4})
	x.queue("q")
	x.publish("q", amqp.PropertyList{DeliveryMode: 2}, 2000)
	if _, err := x.b.SetPolicy(DefaultVHost, Policy{Name: "p", Pattern: "^q$", ApplyTo: "queues", Definition: amqp.Table{
		{Key: "max-length", Value: int64(3)}, {Key: "overflow", Value: overflow},
	}}); err != nil {
		t.Fatal(err)
	}
	return x
}

// TestDamagedMessagesDoNotHoldThinningUp: what cannot be read is told and taken
// out, so that the queue becomes as short as it shall be.
func TestDamagedMessagesDoNotHoldThinningUp(t *testing.T) {
	log := &tornLog{Log: mem.New().Auto(), damaged: true}
	x := overfull(t, log, "thin")
	for range 20 {
		x.b.Tick()
	}
	if n := x.ready("q"); n > 3 {
		t.Errorf("%d messages, want at most 3", n)
	}
	if x.b.Status().Damaged == 0 {
		t.Error("nobody was told")
	}
}

// TestATickEndsWhenTheDiskDoesNotRead: it tries again later, and not at once.
func TestATickEndsWhenTheDiskDoesNotRead(t *testing.T) {
	for _, overflow := range []string{"thin", "drop-head"} {
		log := &tornLog{Log: mem.New().Auto(), failing: true}
		x := overfull(t, log, overflow)
		x.b.Tick()
		if log.reads > readsMax+1 {
			t.Errorf("%s: %d reads in one tick", overflow, log.reads)
		}
	}
}

// TestReadsSurviveDiscards: messages of a keep-last queue are superseded while
// the disk reads them; what was read is used all the same.
func TestReadsSurviveDiscards(t *testing.T) {
	log := &slowLog{Log: mem.New().Auto()}
	x := newScene(t, log, Limits{WindowMessages: 4})
	x.queue("q", amqp.Field{Key: "x-overflow", Value: "keep-last"})
	publish := func(key string) {
		m := &amqp.Message{Exchange: "amq.fanout", Key: key, Props: amqp.PropertyList{DeliveryMode: 2}.Encode(), Body: []byte("x")}
		if _, err := x.s.Publish(0, []Publish{{Msg: m}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.c.BindQueue("q", "amq.fanout", "", nil); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		publish(fmt.Sprint("k", i))
	}
	other, _ := x.b.Connect(DefaultVHost, Identity{}, func() {})
	consumer, err := other.Open().Consume("q", ConsumerSpec{NoAck: true})
	if err != nil {
		t.Fatal(err)
	}
	n := 39
	log.during = func() { // one of those that are just being read goes
		if n > 20 {
			publish(fmt.Sprint("k", n))
			n--
		}
	}
	consumer.Start()
	seen := make(map[string]int)
	for range 30 {
		for _, d := range other.Take(nil) {
			seen[d.Msg.Key]++
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d keys arrived, want 40", len(seen))
	}
	if x.ready("q") != 0 {
		t.Errorf("%d messages are left", x.ready("q"))
	}
}

// slowLog lets something happen while it reads.
type slowLog struct {
	*mem.Log
	during func()
	reads  int
}

func (l *slowLog) Read(q spool.QueueID, from spool.Pos, items []spool.Item, bytesMax int) (int, error) {
	l.reads++
	n, err := l.Log.Read(q, from, items, bytesMax)
	if l.during != nil {
		l.during()
	}
	return n, err
}

// TestLargeValuesAreNotRetained: they are delivered, counted, and nothing ends.
func TestLargeValuesAreNotRetained(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{RetainedBytesMax: 64 << 20})
	for _, size := range []int{valueBytesMax - 1024, valueBytesMax} {
		m := &amqp.Message{Exchange: "amq.topic", Key: fmt.Sprint("k", size), Body: make([]byte, size)}
		if n, err := x.s.Publish(0, []Publish{{Msg: m, Retain: true}}); n != 1 || err != nil {
			t.Fatalf("publish: %d, %v", n, err)
		}
	}
	if st := x.b.Status(); st.Retained != 1 || st.Unretained != 1 {
		t.Errorf("retained %d, not retained %d, want 1 and 1", st.Retained, st.Unretained)
	}
}

// TestTransactionsDoNotHoldMessagesForEver: the consumer timeout takes back what
// an open transaction would settle, too, and what one that was rolled back had.
func TestTransactionsDoNotHoldMessagesForEver(t *testing.T) {
	for _, rollback := range []bool{false, true} {
		now := amqp.Instant(1)
		b, err := Open(Options{Log: mem.New().Auto(), Now: func() amqp.Instant { return now }})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := b.Connect(DefaultVHost, Identity{}, func() {})
		x := &scene{t: t, b: b, c: c, s: c.Open()}
		x.queue("q", amqp.Field{Key: "x-consumer-timeout", Value: int64(1000)})
		x.publish("q", amqp.PropertyList{}, 1)
		if _, _, ok, err := x.s.Get("q", false); !ok || err != nil {
			t.Fatal(ok, err)
		}
		tx := x.s.Begin()
		if err := tx.Settle([]Settlement{{Tag: 1}}); err != nil {
			t.Fatal(err)
		}
		if rollback {
			tx.Rollback()
		}
		now += 1_000_000_001
		b.Tick()
		if n := x.ready("q"); n != 1 {
			t.Errorf("rolled back %v: %d ready after the timeout, want 1", rollback, n)
		}
		if _, _, err := tx.Commit(now); err != nil {
			t.Errorf("commit after the timeout: %v", err)
		}
		if n := x.ready("q"); n != 1 {
			t.Errorf("rolled back %v: %d ready after the late commit, want 1", rollback, n)
		}
	}
}

// TestAConnectionHoldsABoundedNumberOfBytes: its consumers wait, whatever channel
// they are on, and a get is refused, until something is settled on any channel.
func TestAConnectionHoldsABoundedNumberOfBytes(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{UnackedBytesMax: 10, ConnUnackedBytesMax: 25})
	x.queue("q")
	props := amqp.PropertyList{DeliveryMode: 2}.Encode()
	for range 20 {
		m := &amqp.Message{Key: "q", Props: props, Body: make([]byte, 5)}
		if _, err := x.s.Publish(0, []Publish{{Msg: m}}); err != nil {
			t.Fatal(err)
		}
	}
	var sessions []*Session
	for range 6 {
		s := x.c.Open()
		consumer, err := s.Consume("q", ConsumerSpec{})
		if err != nil {
			t.Fatal(err)
		}
		consumer.Start()
		sessions = append(sessions, s)
	}
	for _, step := range []struct {
		does string
		do   func()
		want int // deliveries
	}{
		{"consume", func() {}, 5},
		{"settle one", func() { _ = sessions[0].Settle([]Settlement{{Tag: 1}}) }, 1},
		{"close a channel", func() { sessions[1].Close() }, 2}, // what it had goes to others
	} {
		step.do()
		if got := len(x.c.Take(nil)); got != step.want || x.c.unackedBytes != 25 {
			t.Errorf("%s: %d deliveries, want %d; %d bytes are unsettled", step.does, got, step.want, x.c.unackedBytes)
		}
	}
	_, _, _, err := x.s.Get("q", false)
	if want := "PRECONDITION_FAILED - limit of 25 bytes of unacknowledged messages is reached"; err == nil || err.Error() != want {
		t.Errorf("Get = %v, want %s", err, want)
	}
	for _, s := range sessions {
		s.Close()
	}
	if x.c.unackedBytes != 0 || x.c.strained {
		t.Errorf("%d bytes are unsettled after all channels were closed, strained %v", x.c.unackedBytes, x.c.strained)
	}
	if n := x.ready("q"); n != 19 {
		t.Errorf("%d are ready, want 19", n)
	}
}

// TestGetsAreCounted: messages that came by get count for the bound of what a
// channel may have unsettled, and are free again when they are.
func TestGetsAreCounted(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{UnackedMax: 3})
	x.queue("q")
	x.publish("q", amqp.PropertyList{}, 5)
	get := func() error {
		_, _, _, err := x.s.Get("q", false)
		return err
	}
	for range 3 {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}
	const want = "PRECONDITION_FAILED - limit of 3 unacknowledged messages is reached"
	if err := get(); err == nil || err.Error() != want {
		t.Errorf("Get = %v, want %s", err, want)
	}
	if err := x.s.Settle([]Settlement{{Tag: 2}}); err != nil {
		t.Fatal(err)
	}
	if err := get(); err != nil {
		t.Error(err)
	}
	if x.s.Recover(); x.s.held != 0 {
		t.Errorf("%d are held after recover", x.s.held)
	}
}

// TestTransactionsOfAConnectionAreBounded together, and what they hold is free
// after a commit, a rollback and the end of their channel.
func TestTransactionsOfAConnectionAreBounded(t *testing.T) {
	x := newScene(t, mem.New().Auto(), Limits{UnackedBytesMax: 10, ConnUnackedBytesMax: 20})
	x.queue("q")
	message := func(n int) []Publish {
		return []Publish{{Msg: &amqp.Message{Key: "q", Body: make([]byte, n)}}}
	}
	refused := func(tx *Tx, n int, want string) {
		t.Helper()
		if _, err := tx.Publish(message(n)); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("Publish of %d bytes = %v, want %q", n, err, want)
		}
	}
	const all = "PRECONDITION_FAILED - transactions on this connection are larger than 20 bytes"
	s := []*Session{x.c.Open(), x.c.Open(), x.c.Open()}
	a, b, c := s[0].Begin(), s[1].Begin(), s[2].Begin()
	refused(a, 11, "PRECONDITION_FAILED - transaction is larger than 65536 messages or 10 bytes")
	refused(a, 10, "")
	refused(b, 9, "")
	refused(c, 2, all)
	if _, _, err := a.Commit(0); err != nil {
		t.Fatal(err)
	}
	refused(c, 10, "")
	refused(a, 2, all)
	b.Rollback()
	refused(a, 9, "")
	s[2].Close()
	if x.c.txBytes != 9 {
		t.Errorf("%d bytes are in transactions, want 9", x.c.txBytes)
	}
}

// TestEveryCountHasABound: one more than the limit is refused, in the words of
// RabbitMQ where it has such a limit.
func TestEveryCountHasABound(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto(), Limits: Limits{
		QueuesMax: 2, ExchangesMax: len(predeclared) + 1, BindingsMax: 2, ConsumersMax: 2,
	}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect(DefaultVHost, Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Open()
	for _, tt := range []struct {
		what string
		add  func(name string) error
		most int
		want string
	}{
		{"exchanges", func(name string) error {
			_, err := c.DeclareExchange(ExchangeSpec{Name: name, Type: "fanout"})
			return err
		}, 1, "406 PRECONDITION_FAILED - cannot declare exchange 'n1' in vhost '/': exchange limit of 8 is reached"},
		{"queues", func(name string) error {
			_, _, err := c.DeclareQueue(QueueSpec{Name: name})
			return err
		}, 2, "406 PRECONDITION_FAILED - cannot declare queue 'n2': queue limit in vhost '/' (2) is reached"},
		{"bindings", func(name string) error {
			_, err := c.BindQueue("n0", "amq.topic", name, nil)
			return err
		}, 2, "406 PRECONDITION_FAILED - limit of 2 bindings is reached"},
		{"consumers", func(name string) error {
			_, err := s.Consume("n0", ConsumerSpec{Tag: name})
			return err
		}, 2, "530 NOT_ALLOWED - reached maximum (2) of consumers per channel"},
	} {
		for i := range tt.most {
			if err := tt.add(fmt.Sprint("n", i)); err != nil {
				t.Fatalf("%s: number %d: %v", tt.what, i, err)
			}
		}
		if got := said(tt.add(fmt.Sprint("n", tt.most))); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: one too many: %v, want %s", tt.what, got, tt.want)
		}
	}
}
