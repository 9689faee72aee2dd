package edge

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"leveret/amqp/broker"
	"leveret/edge/config"
	"leveret/spool"
)

// undeclared is a declaration that could not be made.
type undeclared struct {
	what string // names it among all declarations
	err  error
}

// declare makes what the configuration file declares, and tells the operator
// of what could not be made. Clients may have made something else of a name
// meanwhile: that is no reason to stay away from the sensors. The error says
// that the spool has failed.
func (a *App) declare(c *config.Config) error {
	refused := declare(a.broker, c)
	for _, u := range refused {
		if errors.Is(u.err, spool.ErrFailed) {
			return fmt.Errorf("declare %s: %w", u.what, u.err)
		}
	}
	for _, was := range a.undeclared {
		if !slices.ContainsFunc(refused, func(u undeclared) bool { return u.what == was.what }) {
			a.report.Clear(was.what)
		}
	}
	for _, u := range refused {
		a.report.Raise(u.what, "not as the configuration declares it: "+u.err.Error())
	}
	a.undeclared = refused
	return nil
}

// declare makes all that can be made and gives the rest. Doing it again changes
// nothing; what the file no longer names stays, but for policies.
func declare(b *broker.Broker, c *config.Config) []undeclared {
	t := topology{b: b, conns: make(map[string]*broker.Conn)}
	defer t.close()
	for _, v := range c.VHosts {
		limits := broker.VHostLimits{ConnectionsMax: v.ConnectionsMax, QueuesMax: v.QueuesMax}
		_, err := b.AddVHost(v.Name, limits)
		t.note(err, "vhost %q", v.Name)
	}
	for _, p := range c.Policies {
		t.note(setPolicy(b, p), "policy %q in vhost %q", p.Name, p.VHost)
	}
	t.note(dropPolicies(b, c), "policies that are not declared any more")
	t.declare(c)
	return t.refused
}

// setPolicy sets a policy that is not there as it shall be.
func setPolicy(b *broker.Broker, p config.Policy) error {
	there, err := b.Policies(p.VHost)
	if err != nil {
		return err
	}
	want := p.Core()
	for _, have := range there {
		if reflect.DeepEqual(have, want) {
			return nil
		}
	}
	_, err = b.SetPolicy(p.VHost, want)
	return err
}

// dropPolicies takes away the policies that the file has declared once and does
// not declare any more.
func dropPolicies(b *broker.Broker, c *config.Config) error {
	type id struct {
		vhost, name string
		operator    bool
	}
	keep := make(map[id]bool)
	for _, p := range c.Policies {
		keep[id{p.VHost, p.Name, p.Operator}] = true
	}
	for _, vhost := range b.VHosts() {
		there, err := b.Policies(vhost)
		if err != nil {
			return err
		}
		for _, p := range there {
			if !p.Declared || keep[id{vhost, p.Name, p.Operator}] {
				continue
			}
			if _, err := b.DeletePolicy(vhost, p.Name, p.Operator); err != nil {
				return fmt.Errorf("take policy %q away: %w", p.Name, err)
			}
		}
	}
	return nil
}

// topology declares in any vhost.
type topology struct {
	b       *broker.Broker
	conns   map[string]*broker.Conn // by vhost
	refused []undeclared            // so far
}

// note keeps what could not be declared.
func (t *topology) note(err error, what string, args ...any) {
	if err != nil {
		t.refused = append(t.refused, undeclared{fmt.Sprintf(what, args...), err})
	}
}

func (t *topology) in(vhost string) (*broker.Conn, error) {
	if c := t.conns[vhost]; c != nil {
		return c, nil
	}
	c, err := t.b.Connect(vhost, broker.Identity{Protocol: "configuration"}, func() {})
	if err == nil {
		t.conns[vhost] = c
	}
	return c, err
}

func (t *topology) close() {
	for _, c := range t.conns {
		c.Close()
	}
}

func (t *topology) declare(c *config.Config) {
	for _, x := range c.Exchanges {
		t.note(t.exchange(x), "exchange %q in vhost %q", x.Name, x.VHost)
	}
	for _, q := range c.Queues {
		t.note(t.queue(q), "queue %q in vhost %q", q.Name, q.VHost)
	}
	for _, b := range c.Bindings {
		t.note(t.bind(b), "binding of %s %q to exchange %q by %q in vhost %q", b.DestinationType, b.Destination, b.Source, b.Key, b.VHost)
	}
}

func (t *topology) exchange(x config.Exchange) error {
	conn, err := t.in(x.VHost)
	if err != nil {
		return err
	}
	_, err = conn.DeclareExchange(broker.ExchangeSpec{
		Name: x.Name, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal, Args: x.Arguments,
	})
	return err
}

func (t *topology) queue(q config.Queue) error {
	conn, err := t.in(q.VHost)
	if err != nil {
		return err
	}
	_, _, err = conn.DeclareQueue(broker.QueueSpec{
		Name: q.Name, Durable: q.Durable, AutoDelete: q.AutoDelete, Args: q.Arguments,
	})
	return err
}

func (t *topology) bind(b config.Binding) error {
	conn, err := t.in(b.VHost)
	if err != nil {
		return err
	}
	if b.DestinationType == config.ToExchange {
		_, err = conn.BindExchange(b.Destination, b.Source, b.Key, b.Arguments)
	} else {
		_, err = conn.BindQueue(b.Destination, b.Source, b.Key, b.Arguments)
	}
	return err
}
