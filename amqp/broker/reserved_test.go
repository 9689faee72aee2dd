package broker

import (
	"strings"
	"testing"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

type anything struct{}

func (anything) Allows(Action, string) bool { return true }

// What belongs to MQTT sessions may be looked at by users, and by the product
// itself be done anything with.
func TestReservedPrefix(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto()})
	if err != nil {
		t.Fatal(err)
	}
	as := func(who Identity) *Conn {
		c, err := b.Connect(DefaultVHost, who, func() {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	own, door, user := as(Identity{}), as(Identity{Access: anything{}, Door: true}), as(Identity{Access: anything{}, User: "u"})
	const name = "mqtt.c"
	if _, _, err := door.DeclareQueue(QueueSpec{Name: name, Durable: true}); err != nil {
		t.Fatal(err)
	}
	publish := func(c *Conn, key string, headers amqp.Table) error {
		list := amqp.PropertyList{}
		if headers != nil {
			list.Headers, list.Flags = headers, amqp.HasHeaders
		}
		_, err := c.Open().Publish(0, []Publish{{Msg: &amqp.Message{Key: key, Props: list.Encode()}}})
		return err
	}
	for what, do := range map[string]func(*Conn) error{
		"declare it": func(c *Conn) error { _, _, err := c.DeclareQueue(QueueSpec{Name: name, Durable: true}); return err },
		"bind it":    func(c *Conn) error { _, err := c.BindQueue(name, "amq.topic", "k", nil); return err },
		"unbind it":  func(c *Conn) error { _, err := c.UnbindQueue(name, "amq.topic", "k", nil); return err },
		"purge it":   func(c *Conn) error { _, _, err := c.Purge(name); return err },
		"get":        func(c *Conn) error { _, _, _, err := c.Open().Get(name, true); return err },
		"consume":    func(c *Conn) error { _, err := c.Open().Consume(name, ConsumerSpec{}); return err },
		"publish":    func(c *Conn) error { return publish(c, name, nil) },
		"copy": func(c *Conn) error {
			return publish(c, "x", amqp.Table{{Key: "CC", Value: amqp.Array{name}}})
		},
		"delete another": func(c *Conn) error { _, _, err := c.DeleteQueue("mqtt.share.g", false, false); return err },
	} {
		if err := do(user); err == nil || !strings.Contains(err.Error(), "contains reserved prefix 'mqtt.*'") {
			t.Errorf("a user may %s: %v", what, err)
		}
		if err := do(door); err != nil {
			t.Errorf("the door may not %s: %v", what, err)
		}
		if err := do(own); err != nil {
			t.Errorf("the product may not %s: %v", what, err)
		}
	}
	if _, err := user.CheckQueue(name); err != nil {
		t.Errorf("a user may not look: %v", err)
	}
}

// There is no way round: what dies does not come into such a queue by its name,
// and nothing goes over the bindings that are the product's notes.
func TestReservedQueuesAreReachedByTopicsAlone(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto()})
	if err != nil {
		t.Fatal(err)
	}
	as := func(who Identity) *Conn {
		c, err := b.Connect(DefaultVHost, who, func() {})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const name = "mqtt.c"
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	door, user := as(Identity{Access: anything{}, Door: true}), as(Identity{Access: anything{}, User: "u"})
	must(door.DeclareBound(QueueSpec{Name: name, Durable: true}, "amq.direct", name, nil))
	must(door.BindQueue(name, "amq.topic", "a.#", nil))
	must(user.DeclareExchange(ExchangeSpec{Name: "x", Type: "fanout"}))
	must(user.BindExchange("amq.direct", "x", "", nil))
	_, _, err = user.DeclareQueue(QueueSpec{Name: "dying", Args: amqp.Table{
		{Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: name},
	}})
	must(nil, err)
	s := user.Open()
	for _, m := range []*amqp.Message{{Exchange: "amq.direct", Key: name}, {Exchange: "x", Key: name}, {Key: "dying"}, {Exchange: "amq.topic", Key: "a.b"}} {
		must(s.Publish(0, []Publish{{Msg: m}}))
	}
	d, _, ok, err := s.Get("dying", false)
	if err != nil || !ok {
		t.Fatalf("Get = %v, %v", ok, err)
	}
	if buried, err := s.Bury(d.Tag, "no"); buried || err != nil {
		t.Errorf("Bury = %v, %v", buried, err)
	}
	must(nil, s.Settle([]Settlement{{Tag: d.Tag, Outcome: Rejected}}))
	must(door.UnbindQueue(name, "amq.direct", name, nil))
	if st, _ := b.QueueStatus(DefaultVHost, name); st.Ready != 1 {
		t.Errorf("%d messages came, want the one for its topic", st.Ready)
	}
}

// A queue and its binding come as one: no cut leaves the one without the other.
func TestDeclareBoundIsOneChange(t *testing.T) {
	log := mem.New()
	b, err := Open(Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect(DefaultVHost, Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	before, err := log.Append(&spool.Batch{}) // the newest there is
	if err != nil {
		t.Fatal(err)
	}
	lsn, err := c.DeclareBound(QueueSpec{Name: "q", Durable: true}, "amq.direct", "q", nil)
	if err != nil || lsn != before+1 {
		t.Errorf("DeclareBound = LSN %d, %v, want the one change after %d", lsn, err, before)
	}
	if bs, err := c.Bindings("q"); err != nil || len(bs) != 1 {
		t.Errorf("the queue has the bindings %v, %v", bs, err)
	}
	if _, err := c.DeclareBound(QueueSpec{Name: "q", Durable: true}, "amq.direct", "q", nil); err == nil {
		t.Error("it was made twice")
	}
	if _, err := c.DeclareBound(QueueSpec{Name: "q2", Durable: true}, "nowhere", "q", nil); err == nil {
		t.Error("it was bound to what is not there")
	}
	if _, err := c.CheckQueue("q2"); err == nil {
		t.Error("a refusal left the queue")
	}
}
