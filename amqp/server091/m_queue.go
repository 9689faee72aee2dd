package server091

import (
	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
)

func (c *conn) queueDeclare(ch *channel, m *wire091.QueueDeclare) error {
	name := clean(m.Queue)
	if m.Passive {
		info, err := c.core.CheckQueue(name)
		if err != nil {
			return err
		}
		ch.lastQueue = info.Name
		c.answer(ch, m.NoWait, 0, declareOk(info))
		return nil
	}
	info, lsn, err := c.core.DeclareQueue(broker.QueueSpec{
		Name: name, Durable: m.Durable, Exclusive: m.Exclusive, AutoDelete: m.AutoDelete, Args: m.Arguments,
	})
	if err != nil {
		return err
	}
	ch.lastQueue = info.Name
	c.answer(ch, m.NoWait, lsn, declareOk(info))
	return nil
}

func declareOk(q broker.QueueInfo) *wire091.QueueDeclareOk {
	return &wire091.QueueDeclareOk{Queue: q.Name, MessageCount: uint32(q.Messages), ConsumerCount: uint32(q.Consumers)}
}

// queueName is the queue that a method means: an empty name stands for the one
// declared last on the channel.
func (ch *channel) queueName(name string) (string, error) {
	if name = clean(name); name != "" {
		return name, nil
	}
	if ch.lastQueue == "" {
		return "", amqp.Errorf(amqp.NotFound, "no previously declared queue")
	}
	return ch.lastQueue, nil
}

// bindingEnds is the queue and the key of a binding: when both are left out,
// the key is the queue's name too.
func (ch *channel) bindingEnds(queue, key string) (string, string, error) {
	name, err := ch.queueName(queue)
	if queue == "" && key == "" {
		key = name
	}
	return name, key, err
}

func (c *conn) queueBind(ch *channel, m *wire091.QueueBind) error {
	name, key, err := ch.bindingEnds(m.Queue, m.RoutingKey)
	if err != nil {
		return err
	}
	lsn, err := c.core.BindQueue(name, clean(m.Exchange), key, m.Arguments)
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.QueueBindOk{})
	return nil
}

func (c *conn) queueUnbind(ch *channel, m *wire091.QueueUnbind) error {
	name, key, err := ch.bindingEnds(m.Queue, m.RoutingKey)
	if err != nil {
		return err
	}
	lsn, err := c.core.UnbindQueue(name, clean(m.Exchange), key, m.Arguments)
	if err != nil {
		return err
	}
	c.reply(ch.id, lsn, &wire091.QueueUnbindOk{})
	return nil
}

func (c *conn) queuePurge(ch *channel, m *wire091.QueuePurge) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	n, lsn, err := c.core.Purge(name)
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.QueuePurgeOk{MessageCount: uint32(n)})
	return nil
}

func (c *conn) queueDelete(ch *channel, m *wire091.QueueDelete) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	n, lsn, err := c.core.DeleteQueue(name, m.IfUnused, m.IfEmpty)
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.QueueDeleteOk{MessageCount: uint32(n)})
	return nil
}
