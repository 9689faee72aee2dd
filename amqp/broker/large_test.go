package broker

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// sized makes persistent messages of the nameless exchange with bodies of some
// sizes.
func sized(key string, headers amqp.Table, sizes ...int) []Publish {
	props := amqp.PropertyList{DeliveryMode: 2, Headers: headers}
	ps := make([]Publish, len(sizes))
	for i, n := range sizes {
		ps[i].Msg = &amqp.Message{Key: key, Props: props.Encode(), Body: bytes.Repeat([]byte("x"), n)}
	}
	return ps
}

func isTooLarge(err error, most string) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Code == amqp.PreconditionFailed && strings.Contains(e.Text, "too large") && strings.Contains(e.Text, most)
}

// TestMessageTooLargeForTheLog: it alone is refused, with the sizes, and those
// that only together are too much for the log go into it one after the other.
func TestMessageTooLargeForTheLog(t *testing.T) {
	log := mem.New()
	x := newScene(t, log, Limits{})
	x.queue("q")
	log.SetMost(1000)
	ps := sized("q", nil, 300, 600, 400, 2000, 500)
	n, err := x.s.Publish(0, ps)
	if n != 3 || !isTooLarge(err, "1000") {
		t.Fatalf("Publish = %d, %v; want 3 and a refusal", n, err)
	}
	for i := range ps[:3] {
		if ps[i].LSN == 0 || !ps[i].Routed {
			t.Errorf("receipt of message %d: %+v", i, ps[i])
		}
	}
	if n, err := x.s.Publish(0, ps[4:]); n != 1 || err != nil {
		t.Fatalf("Publish of the rest = %d, %v", n, err)
	}
	log.Commit()
	x = newScene(t, log.Crash(), Limits{})
	if got := x.ready("q"); got != 4 {
		t.Errorf("%d are in the queue, want 4", got)
	}
}

// TestRetainedValueTooLargeForTheLog: a value is part of its message's change.
func TestRetainedValueTooLargeForTheLog(t *testing.T) {
	log := mem.New().Auto()
	x := newScene(t, log, Limits{})
	log.SetMost(1000)
	p := sized("k", nil, 2000)
	p[0].Msg.Exchange, p[0].Retain = "amq.topic", true
	if n, err := x.s.Publish(0, p); n != 0 || !isTooLarge(err, "1000") {
		t.Fatalf("Publish = %d, %v", n, err)
	}
	if got := x.c.Retained("#"); len(got) > 0 {
		t.Errorf("%d values are kept of a refused message", len(got))
	}
}

// TestBindingBringsTooMuchForTheLog: the values that a binding brings are one
// change, and what is refused has changed nothing.
func TestBindingBringsTooMuchForTheLog(t *testing.T) {
	log := mem.New().Auto()
	x := newScene(t, log, Limits{})
	x.queue("q")
	for i := range 4 {
		p := sized(fmt.Sprint("k.", i), nil, 400)
		p[0].Msg.Exchange, p[0].Retain = "amq.topic", true
		if _, err := x.s.Publish(0, p); err != nil {
			t.Fatal(err)
		}
	}
	log.SetMost(1000)
	bring := amqp.Table{{Key: ArgRetained, Value: true}}
	if _, err := x.c.BindQueue("q", "amq.topic", "#", bring); !isTooLarge(err, "1000") {
		t.Fatalf("BindQueue = %v", err)
	}
	if _, err := x.c.BindQueue("q", "amq.topic", "k.1", bring); err != nil {
		t.Fatal(err)
	}
	if got := x.ready("q"); got != 1 {
		t.Errorf("%d values came, want 1", got)
	}
}

// TestTransactionTooLargeForTheLog: it is refused as a whole, and for what its
// rejections would bring to a dead letter queue too.
func TestTransactionTooLargeForTheLog(t *testing.T) {
	for _, c := range []struct {
		name    string
		publish []int
		reject  int
		refused bool
	}{
		{"fits", []int{300, 300}, 0, false},
		{"messages", []int{400, 400, 400}, 0, true},
		{"deaths", nil, 3, true},
		{"deaths that fit", nil, 1, false},
		{"both", []int{300}, 2, true},
	} {
		log := mem.New().Auto()
		x := newScene(t, log, Limits{})
		x.queue("q", amqp.Field{Key: "x-dead-letter-exchange", Value: ""}, amqp.Field{Key: "x-dead-letter-routing-key", Value: "grave"})
		x.queue("grave")
		if n, err := x.s.Publish(0, sized("q", nil, 300, 300, 300)); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		log.SetMost(1000)
		tx := x.s.Begin()
		for i := range 3 {
			d, _, _, err := x.s.Get("q", false)
			if err != nil {
				t.Fatal(err)
			}
			if i < c.reject {
				if err := tx.Settle([]Settlement{{Tag: d.Tag, Outcome: Rejected}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := tx.Publish(sized("q", nil, c.publish...)); err != nil {
			t.Fatal(err)
		}
		_, lsn, err := tx.Commit(0)
		if c.refused {
			if !isTooLarge(err, "1000") || lsn != 0 || x.ready("q") != 0 || x.ready("grave") != 0 || x.s.unsettled() != 3 {
				t.Errorf("%s: %v at %d; q has %d, grave %d, unsettled %d", c.name, err, lsn, x.ready("q"), x.ready("grave"), x.s.unsettled())
			}
		} else if err != nil || x.ready("q") != len(c.publish) || x.ready("grave") != c.reject {
			t.Errorf("%s: %v; q has %d, grave %d", c.name, err, x.ready("q"), x.ready("grave"))
		}
		// What is left can be settled, and a smaller transaction is taken.
		if err := x.s.Settle([]Settlement{{Multiple: true, Outcome: Accepted}}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := x.s.Commit(0, sized("q", nil, 300), nil); err != nil {
			t.Errorf("%s: the next transaction: %v", c.name, err)
		}
	}
}

// widest is a log that notes its largest batch.
type widest struct {
	*mem.Log
	bytes int
}

func (l *widest) Append(b *spool.Batch) (spool.LSN, error) {
	n := 0
	for i := range b.Enters {
		n += b.Enters[i].Record.Size()
	}
	l.bytes = max(l.bytes, n)
	return l.Log.Append(b)
}

// TestManyDeathsAreManyChanges: when a lot of messages die or move at once, each
// is one change with its leaving, and no change is larger than the log can take.
func TestManyDeathsAreManyChanges(t *testing.T) {
	const n, size, most = 40, 100 << 10, changesBytesMax + 2*100<<10
	now := amqp.Instant(1)
	get := func(x *scene) {
		for range n {
			if _, _, ok, err := x.s.Get("q", false); err != nil || !ok {
				x.t.Fatalf("Get = %v, %v", ok, err)
			}
		}
	}
	limit := func(x *scene, name string, value any) {
		if _, err := x.b.SetPolicy(DefaultVHost, Policy{Name: "p", Pattern: "^q$", ApplyTo: "queues", Definition: amqp.Table{{Key: name, Value: value}}}); err != nil {
			x.t.Fatal(err)
		}
	}
	settle := func(x *scene, ops ...Settlement) {
		if err := x.s.Settle(ops); err != nil {
			x.t.Fatal(err)
		}
	}
	for name, die := range map[string]func(*scene){
		"rejected": func(x *scene) { get(x); settle(x, Settlement{Multiple: true, Outcome: Rejected}) },
		"rejected one by one": func(x *scene) {
			get(x)
			var ops []Settlement
			for tag := range uint64(n) {
				ops = append(ops, Settlement{Tag: tag + 1, Outcome: Rejected})
			}
			settle(x, ops...)
		},
		"with marks": func(x *scene) {
			get(x)
			_, err := x.s.SettleMarking([]Settlement{{Multiple: true, Outcome: Rejected}}, []Mark{{Queue: "q", Number: 7}})
			if err != nil {
				x.t.Fatal(err)
			}
			if marks, err := x.c.Marks("q"); err != nil || len(marks) != 1 {
				x.t.Errorf("marks %v, %v", marks, err)
			}
		},
		"came back too often": func(x *scene) { get(x); x.s.Recover() },
		"session closed":      func(x *scene) { get(x); x.s.Close(); x.s = x.c.Open() },
		"expired":             func(x *scene) { limit(x, "message-ttl", int64(1)); now += amqp.Instant(time.Second); x.b.Tick() },
		"too many":            func(x *scene) { limit(x, "max-length", int64(0)) },
		"thinned": func(x *scene) {
			if _, err := x.b.SetPolicy(DefaultVHost, Policy{Name: "p", Pattern: "^q$", ApplyTo: "queues", Definition: amqp.Table{
				{Key: "max-length", Value: int64(0)}, {Key: "overflow", Value: "thin"},
			}}); err != nil {
				x.t.Fatal(err)
			}
		},
		"lapsed": func(x *scene) {
			get(x)
			now += amqp.Instant(time.Hour)
			x.b.Tick()
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := &widest{Log: mem.New()}
			b, err := Open(Options{
				Log: log, Limits: Limits{WindowMessages: n, WindowBytes: n * size}, Now: func() amqp.Instant { return now },
				Boot: BootRecord{Base: time.Unix(1_700_000_000, 0), Synchronised: true},
			})
			if err != nil {
				t.Fatal(err)
			}
			x := &scene{t: t, b: b}
			x.c, _ = b.Connect(DefaultVHost, Identity{}, func() {})
			x.s = x.c.Open()
			args := []amqp.Field{
				{Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: "grave"},
				{Key: "x-consumer-timeout", Value: int64(60_000)}, {Key: "x-delivery-limit", Value: int64(0)},
			}
			x.queue("q", args...)
			x.queue("grave")
			log.SetMost(most)
			for i := range n {
				if _, err := x.s.Publish(now, sized("q", nil, size+i)); err != nil {
					t.Fatal(err)
				}
			}
			die(x)
			if got := x.ready("grave"); got != n || x.ready("q") != 0 {
				t.Errorf("%d are in the dead letter queue and %d in the old one, want %d and 0", got, x.ready("q"), n)
			}
			if log.bytes < most/2 || log.bytes > most {
				t.Errorf("the largest change has %d bytes, want at most %d", log.bytes, most)
			}
			log.Commit()
			x = newScene(t, log.Crash(), Limits{})
			if got := x.ready("grave"); got != n || x.ready("q") != 0 {
				t.Errorf("after a start %d are in the dead letter queue and %d in the old one", got, x.ready("q"))
			}
		})
	}
}

// parts is a log that counts its batches.
type parts struct {
	*mem.Log
	n int
}

func (l *parts) Append(b *spool.Batch) (spool.LSN, error) {
	if !b.Empty() {
		l.n++
	}
	return l.Log.Append(b)
}

// TestOneChangeStaysWhole: a transaction and what is settled with marks are never
// cut, and who asks for the LSN of what was cut gets one.
func TestOneChangeStaysWhole(t *testing.T) {
	log := &parts{Log: mem.New().Auto()}
	x := newScene(t, log, Limits{changesMax: 1})
	x.queue("q", amqp.Field{Key: "x-dead-letter-exchange", Value: ""}, amqp.Field{Key: "x-dead-letter-routing-key", Value: "grave"},
		amqp.Field{Key: "x-delivery-limit", Value: int64(0)})
	x.queue("grave")
	log.n = 0
	if _, err := x.s.Commit(0, sized("q", nil, 10, 10, 10, 10, 10, 10), nil); err != nil || log.n != 1 {
		t.Errorf("a transaction is %d changes, %v", log.n, err)
	}
	for range 6 {
		if _, _, ok, err := x.s.Get("q", false); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	log.n = 0
	_, err := x.s.SettleMarking([]Settlement{{Tag: 1}, {Tag: 2}, {Tag: 3}}, []Mark{{Queue: "q", Number: 7}})
	if err != nil || log.n != 1 {
		t.Errorf("what is settled with a mark is %d changes, %v", log.n, err)
	}
	if lsn := x.s.Close(); lsn == 0 || x.ready("grave") != 3 {
		t.Errorf("%d messages died, durable at %d", x.ready("grave"), lsn)
	}
}
