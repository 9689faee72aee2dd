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
