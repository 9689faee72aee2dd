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
