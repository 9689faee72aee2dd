package edge

import (
	"fmt"
	"reflect"

	"leveret/amqp/broker"
	"leveret/edge/config"
)

// declare makes what the configuration file declares. Doing it again changes
// nothing; what the file no longer names stays, but for policies.
func declare(b *broker.Broker, c *config.Config) error {
	for _, v := range c.VHosts {
		limits := broker.VHostLimits{ConnectionsMax: v.ConnectionsMax, QueuesMax: v.QueuesMax}
		if _, err := b.AddVHost(v.Name, limits); err != nil {
			return err
		}
	}
	for _, p := range c.Policies {
		if err := setPolicy(b, p); err != nil {
			return err
		}
	}
	if err := dropPolicies(b, c); err != nil {
		return err
	}
	t := topology{b: b, conns: make(map[string]*broker.Conn)}
	defer t.close()
	return t.declare(c)
}

// setPolicy sets a policy that is not there as it shall be.
func setPolicy(b *broker.Broker, p config.Policy) error {
	there, err := b.Policies(p.VHost)
	if err != nil {
		return fmt.Errorf("policy %q: %w", p.Name, err)
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
	b     *broker.Broker
	conns map[string]*broker.Conn // by vhost
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

func (t *topology) declare(c *config.Config) error {
	for _, x := range c.Exchanges {
		if err := t.exchange(x); err != nil {
			return fmt.Errorf("declare exchange %q: %w", x.Name, err)
		}
	}
	for _, q := range c.Queues {
		if err := t.queue(q); err != nil {
			return fmt.Errorf("declare queue %q: %w", q.Name, err)
		}
	}
	for _, bind := range c.Bindings {
		if err := t.bind(bind); err != nil {
			return fmt.Errorf("bind %s %q to exchange %q: %w", bind.DestinationType, bind.Destination, bind.Source, err)
		}
	}
	return nil
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
