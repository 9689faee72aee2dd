package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

// retaining is a broker with values at amq.topic, and one elsewhere.
func retaining(t *testing.T, log *mem.Log, keys ...string) (*Broker, *Conn) {
	t.Helper()
	b, err := Open(Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect(DefaultVHost, Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeclareExchange(ExchangeSpec{Name: "other", Type: "topic", Durable: true}); err != nil {
		t.Fatal(err)
	}
	ps := []Publish{{Msg: &amqp.Message{Exchange: "other", Key: "plant.1", Body: []byte("elsewhere")}, Retain: true}}
	for _, key := range keys {
		m := &amqp.Message{Exchange: "amq.topic", Key: key, Body: []byte("of " + key), Props: amqp.PropertyList{DeliveryMode: 2}.Encode()}
		ps = append(ps, Publish{Msg: m, Retain: true})
	}
	if n, err := c.Open().Publish(0, ps); err != nil || n != len(ps) {
		t.Fatal(n, err)
	}
	return b, c
}

func waiting(t *testing.T, c *Conn, queue string) (bodies []string) {
	t.Helper()
	s := c.Open()
	for {
		d, _, ok, err := s.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(d.Msg.Body))
	}
}

var withRetained = amqp.Table{{Key: ArgRetained, Value: true}}

// A binding brings what it matches of its own exchange, then what is published.
func TestBindRetained(t *testing.T) {
	_, c := retaining(t, mem.New().Auto(), "plant.2", "plant.1", "house.1")
	for _, durable := range []bool{false, true} {
		name := fmt.Sprint("q", durable)
		if _, _, err := c.DeclareQueue(QueueSpec{Name: name, Durable: durable}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is there already
			if _, err := c.BindQueue(name, "amq.topic", "plant.*", withRetained); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.BindQueue(name, "amq.topic", "house.#", nil); err != nil { // brings none
			t.Fatal(err)
		}
		fresh := &amqp.Message{Exchange: "amq.topic", Key: "plant.1", Body: []byte("new")}
		if _, err := c.Open().Publish(0, []Publish{{Msg: fresh}}); err != nil {
			t.Fatal(err)
		}
		if got, want := waiting(t, c, name), []string{"of plant.1", "of plant.2", "new"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := c.BindQueue("qtrue", "amq.direct", "plant.1", withRetained); err == nil || !strings.Contains(err.Error(), "only topic exchanges") {
		t.Errorf("bound to a direct exchange: %v", err)
	}
}

// The binding and what it brought are one change: a cut leaves both or neither.
func TestBindRetainedIsOneChange(t *testing.T) {
	log := mem.New()
	_, c := retaining(t, log, "plant.1")
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "q", Durable: true}); err != nil {
		t.Fatal(err)
	}
	log.Commit()
	lsn, err := c.BindQueue("q", "amq.topic", "#", withRetained)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []bool{true, false} {
		if !cut {
			log.Commit()
			if at, _, _ := log.Durable(); at < lsn {
				t.Fatalf("durable up to %d, the binding is %d", at, lsn)
			}
		}
		b, err := Open(Options{Log: log.Crash().Auto()})
		if err != nil {
			t.Fatal(err)
		}
		after, err := b.Connect(DefaultVHost, Identity{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		bindings, err := after.Bindings("q")
		if got := waiting(t, after, "q"); err != nil || len(bindings) != len(got) || (len(got) == 1) == cut {
			t.Errorf("cut before it was durable: %v; %d bindings and %q, %v", cut, len(bindings), got, err)
		}
	}
}

func TestBindRetainedWithinBounds(t *testing.T) {
	log := mem.New().Auto()
	_, c := retaining(t, log, "plant.1")
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "full", Args: amqp.Table{{Key: "x-max-length", Value: int64(0)}, {Key: "x-overflow", Value: "reject-publish"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.BindQueue("full", "amq.topic", "#", withRetained); err != nil || len(waiting(t, c, "full")) != 0 {
		t.Errorf("a full queue was given values, or %v", err)
	}
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "q", Durable: true}); err != nil {
		t.Fatal(err)
	}
	log.SetFull(true)
	if _, err := c.BindQueue("q", "amq.topic", "#", withRetained); err == nil {
		t.Error("values were taken into a full spool")
	}
	log.SetFull(false)
	big := make([]Publish, 5)
	for i := range big {
		big[i] = Publish{Msg: &amqp.Message{Exchange: "amq.topic", Key: fmt.Sprint("big.", i), Body: make([]byte, bindRetainedBytesMax/len(big)+1)}, Retain: true}
	}
	if _, err := c.Open().Publish(0, big); err != nil {
		t.Fatal(err)
	}
	if _, err := c.BindQueue("q", "amq.topic", "big.#", withRetained); err == nil || !strings.Contains(err.Error(), "at most 10000 of 8388608 bytes") {
		t.Errorf("values beyond the bound: %v", err)
	}
	if bs, err := c.Bindings("q"); err != nil || len(bs) != 0 {
		t.Errorf("a refusal left the bindings %v, %v", bs, err)
	}
}
