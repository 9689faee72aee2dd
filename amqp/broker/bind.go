package broker

import (
	"cmp"
	"errors"
	"sort"
	"strings"

	"leveret/amqp"
	"leveret/spool"
)

// BindQueue leads messages from an exchange to a queue. Doing it twice is doing
// it once.
func (c *Conn) BindQueue(queueName, exchangeName, key string, args amqp.Table) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	b, err := v.queueBindingLocked(c, queueName, exchangeName, key, args)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return 0, err
	}
	if isTrue(args, ArgRetained) {
		return v.bindRetainedLocked(b)
	}
	return v.bindLocked(b)
}

// UnbindQueue takes a binding away. A missing one is no error, nor is a missing
// end (RabbitMQ's rule).
func (c *Conn) UnbindQueue(queueName, exchangeName, key string, args amqp.Table) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	b, err := v.queueBindingLocked(c, queueName, exchangeName, key, args)
	if err != nil {
		return 0, unlessMissing(err)
	}
	return v.unbindAnyLocked(b)
}

// BindExchange leads messages from an exchange (source) on to another one, an
// extension of RabbitMQ's.
func (c *Conn) BindExchange(destination, source, key string, args amqp.Table) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	b, err := v.exchangeBindingLocked(c, destination, source, key, args)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return 0, err
	}
	return v.bindLocked(b)
}

// UnbindExchange takes a binding between exchanges away; like UnbindQueue.
func (c *Conn) UnbindExchange(destination, source, key string, args amqp.Table) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	b, err := v.exchangeBindingLocked(c, destination, source, key, args)
	if err != nil {
		return 0, unlessMissing(err)
	}
	return v.unbindAnyLocked(b)
}

// unlessMissing makes no error of a thing that is not there.
func unlessMissing(err error) error {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.NotFound {
		return nil
	}
	return err
}

// queueBindingLocked checks what a binding asks for, in RabbitMQ's order: write
// on what receives, read on what sends, then whether they exist, and the one
// that sends first.
func (v *VHost) queueBindingLocked(c *Conn, queueName, exchangeName, key string, args amqp.Table) (*binding, error) {
	if err := c.allow(Write, "queue", queueName); err != nil {
		return nil, err
	}
	x, err := v.sourceLocked(c, exchangeName)
	if err != nil {
		return nil, err
	}
	q, err := v.queueLocked(c, queueName)
	if err != nil {
		return nil, err
	}
	b := &binding{source: x, queue: q, key: key, args: args, transient: isTrue(args, ArgTransient)}
	return b, c.allowTopic(Read, x, key)
}

func (v *VHost) exchangeBindingLocked(c *Conn, destination, source, key string, args amqp.Table) (*binding, error) {
	if destination == "" {
		return nil, errDefaultExchange
	}
	if err := c.allow(Write, "exchange", destination); err != nil {
		return nil, err
	}
	x, err := v.sourceLocked(c, source)
	if err != nil {
		return nil, err
	}
	d := v.exchanges[destination]
	if d == nil {
		return nil, amqp.Errorf(amqp.NotFound, "no %s", v.named("exchange", destination))
	}
	return &binding{source: x, exchange: d, key: key, args: args}, c.allowTopic(Read, x, key)
}

// sourceLocked finds the exchange that a binding starts at.
func (v *VHost) sourceLocked(c *Conn, name string) (*exchange, error) {
	if name == "" {
		return nil, errDefaultExchange
	}
	if err := c.allow(Read, "exchange", name); err != nil {
		return nil, err
	}
	x := v.exchanges[name]
	if x == nil {
		return nil, amqp.Errorf(amqp.NotFound, "no %s", v.named("exchange", name))
	}
	return x, nil
}

// check asks whether an exchange of this kind takes the binding.
func (b *binding) check() error {
	switch b.source.kind() {
	case typeHeaders:
		return checkHeadersArgs(b.args)
	case typeHash:
		return checkWeight(b.key)
	}
	return nil
}

func isTrue(args amqp.Table, key string) bool {
	v, _ := args.Get(key)
	b, _ := v.(bool)
	return b
}

// bindLocked adds a binding that is not there yet.
func (v *VHost) bindLocked(b *binding) (spool.LSN, error) {
	id := b.id()
	if b.source.sources[id] != nil {
		return v.standing(b.durable()), nil
	}
	if err := atMost("bindings", v.bindings, v.b.limits.BindingsMax); err != nil {
		return 0, err
	}
	v.linkLocked(b, id)
	if b.durable() {
		v.batch.Puts = append(v.batch.Puts, spool.Put{
			Key: definitionKey(kindBinding, v.name, b.source.Name, id), Value: encodeBinding(v.name, b),
		})
	}
	return v.finishLocked(), nil
}

// linkLocked makes a binding take part in routing.
func (v *VHost) linkLocked(b *binding, id string) {
	b.source.sources[id] = b
	if !b.record() {
		b.source.routes.add(b)
	}
	if b.queue != nil {
		b.queue.bindings[b] = struct{}{}
	} else {
		b.exchange.targets[joined(b.source.Name, id)] = b
	}
	v.bindings++
	v.routesGen++
}

// durable bindings join durable ends; RabbitMQ does the same.
func (b *binding) durable() bool {
	if b.queue != nil {
		return b.source.Durable && b.queue.durable()
	}
	return b.source.Durable && b.exchange.Durable
}

func (v *VHost) unbindAnyLocked(like *binding) (spool.LSN, error) {
	b := like.source.sources[like.id()]
	if b == nil {
		return 0, nil
	}
	v.unbindLocked(b)
	return v.finishLocked(), nil
}

// unbindLocked takes a binding out; an auto-delete exchange goes with its last
// one.
func (v *VHost) unbindLocked(b *binding) {
	x, id := b.source, b.id()
	if x.sources[id] != b {
		return
	}
	delete(x.sources, id)
	if !b.record() {
		x.routes.remove(b)
	}
	if b.queue != nil {
		delete(b.queue.bindings, b)
	} else {
		delete(b.exchange.targets, joined(x.Name, id))
	}
	v.bindings--
	v.routesGen++
	if b.durable() {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindBinding, v.name, x.Name, id)})
	}
	if x.AutoDelete && len(x.sources) == 0 && v.exchanges[x.Name] == x {
		v.deleteExchangeLocked(x)
	}
}

// Binding is a binding as its queue's owner sees it.
type Binding struct {
	Source string
	Key    string
	Args   amqp.Table
}

// Bindings gives what leads to a queue, by source and key.
func (c *Conn) Bindings(queueName string) ([]Binding, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	q, err := v.queueLocked(c, queueName)
	if err != nil {
		return nil, err
	}
	var bs []Binding
	for b := range q.bindings {
		bs = append(bs, Binding{Source: b.source.Name, Key: b.key, Args: b.args})
	}
	sort.Slice(bs, func(i, j int) bool {
		a, b := &bs[i], &bs[j]
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key)) < 0
	})
	return bs, nil
}
