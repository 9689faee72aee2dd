package broker

import (
	"slices"
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

// everything is what a user may do who may do everything.
type everything struct{}

func (everything) Allows(Action, string) bool { return true }

func TestVHosts(t *testing.T) {
	log := mem.New().Auto()
	open := func() *Broker {
		b, err := Open(Options{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	if _, err := b.AddVHost("plant", VHostLimits{QueuesMax: 1, ConnectionsMax: 1}); err != nil {
		t.Fatal(err)
	}
	log = log.Crash().Auto()
	b = open()
	if got := b.VHosts(); !slices.Equal(got, []string{"/", "plant"}) {
		t.Fatalf("after a start the vhosts are %q", got)
	}

	var ended []error
	connect := func() (*Conn, error) {
		return b.Connect("plant", Identity{User: "ann", Access: everything{}, End: func(why *amqp.Error) { ended = append(ended, why) }}, func() {})
	}
	c, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	const want = "NOT_ALLOWED - access to vhost 'plant' refused for user 'ann': connection limit (1) is reached"
	if _, err := connect(); err == nil || err.Error() != want {
		t.Errorf("a second connection: %v, want %s", err, want)
	}
	declare := func(name string) error {
		_, _, err := c.DeclareQueue(QueueSpec{Name: name, Durable: true})
		return err
	}
	if err := declare("q"); err != nil {
		t.Fatal(err)
	}
	const full = "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost 'plant' (1) is reached"
	if err := declare("r"); err == nil || err.Error() != full {
		t.Errorf("a second queue: %v, want %s", err, full)
	}
	m := &amqp.Message{Exchange: "amq.topic", Key: "k", Props: amqp.PropertyList{DeliveryMode: 2}.Encode(), Body: []byte("m")}
	if _, err := c.Open().Publish(0, []Publish{{Msg: m, Retain: true}}); err != nil {
		t.Fatal(err)
	}

	if _, err := b.DeleteVHost("plant"); err != nil {
		t.Fatal(err)
	}
	if len(ended) != 1 || ended[0] != ErrDeleted {
		t.Errorf("connections ended: %v", ended)
	}
	if err := declare("again"); err == nil {
		t.Error("a queue was declared in a vhost that is gone")
	}
	c.Close()
	if _, err := b.DeleteVHost("/"); err == nil {
		t.Error("the default vhost was deleted")
	}
	log = log.Crash().Auto()
	b = open()
	if got := b.VHosts(); !slices.Equal(got, []string{"/"}) {
		t.Errorf("after the deletion and a start the vhosts are %q", got)
	}
}

func TestUserConnections(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto(), Limits: Limits{UserConnectionsMax: 2}})
	if err != nil {
		t.Fatal(err)
	}
	connect := func(user string) (*Conn, error) {
		return b.Connect(DefaultVHost, Identity{User: user, Access: everything{}}, func() {})
	}
	first, _ := connect("ann")
	if _, err := connect("ann"); err != nil {
		t.Fatal(err)
	}
	const want = "NOT_ALLOWED - connection refused for user 'ann': user connection limit (2) is reached"
	if _, err := connect("ann"); err == nil || err.Error() != want {
		t.Errorf("a third connection: %v, want %s", err, want)
	}
	if _, err := connect("bob"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	first.Close()
	first.Close() // counts once
	if _, err := connect("ann"); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if _, err := connect("ann"); err == nil {
		t.Error("closing twice counted twice")
	}
}
