package broker

import (
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

// guarded is a user who may enter one vhost, has at most two connections, and
// remembers who entered.
type guarded struct {
	everything
	vhost, client string
}

func (g guarded) ConnectionsMax() int { return 2 }

func (g guarded) Enter(vhost, client string) (Access, bool) {
	return guarded{vhost: vhost, client: client}, vhost == g.vhost
}

func TestAccessDependsOnTheVHost(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto(), Limits: Limits{UserConnectionsMax: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AddVHost("plant", VHostLimits{}); err != nil {
		t.Fatal(err)
	}
	connect := func(vhost string) (*Conn, error) {
		return b.Connect(vhost, Identity{User: "ann", Client: "c1", Access: guarded{vhost: "plant"}}, func() {})
	}
	const want = "NOT_ALLOWED - access to vhost '/' refused for user 'ann'"
	if _, err := connect("/"); err == nil || err.Error() != want {
		t.Errorf("Connect where the user may not be: %v, want %s", err, want)
	}
	for range 2 { // the account's bound holds, not the broker's
		c, err := connect("plant")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Identity().Access; got != (guarded{vhost: "plant", client: "c1"}) {
			t.Errorf("the connection's access is %+v", got)
		}
	}
	const full = "NOT_ALLOWED - connection refused for user 'ann': user connection limit (2) is reached"
	if _, err := connect("plant"); err == nil || err.Error() != full {
		t.Errorf("a third connection: %v, want %s", err, full)
	}
}

func TestDeclaredMarkOutlivesARestart(t *testing.T) {
	log := mem.New().Auto()
	b, err := Open(Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	definition := amqp.Table{{Key: "max-length", Value: int64(1)}}
	for name, declared := range map[string]bool{"file": true, "hand": false} {
		if _, err := b.SetPolicy("/", Policy{Name: name, ApplyTo: "all", Definition: definition, Declared: declared}); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = Open(Options{Log: log.Crash().Auto()}); err != nil {
		t.Fatal(err)
	}
	ps, err := b.Policies("/")
	if err != nil || len(ps) != 2 || !ps[0].Declared || ps[1].Declared {
		t.Errorf("after a start: %+v, %v", ps, err)
	}
}
