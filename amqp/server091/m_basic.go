package server091

import (
	"math"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
)

// basicQos sets how much may be unsettled: for the whole channel (global), or
// for each consumer that is started later.
func (c *conn) basicQos(ch *channel, m *wire091.BasicQos) error {
	if m.PrefetchSize != 0 {
		return amqp.Errorf(amqp.NotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	if m.Global {
		ch.session.SetPrefetch(int(m.PrefetchCount))
	} else {
		ch.prefetch = int(m.PrefetchCount)
		ch.shown.prefetch.Store(int32(m.PrefetchCount))
	}
	c.reply(ch.id, 0, &wire091.BasicQosOk{})
	return nil
}

// basicConsume subscribes. The writer starts the consumer when it has written
// consume-ok, so that no delivery is ahead of it.
func (c *conn) basicConsume(ch *channel, m *wire091.BasicConsume) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	priority, err := c.consumerPriority(name, m.Arguments)
	if err != nil {
		return err
	}
	c.out.consumes.Add(1)
	consumer, err := ch.session.Consume(name, broker.ConsumerSpec{
		Tag: m.ConsumerTag, NoAck: m.NoAck, Exclusive: m.Exclusive,
		Priority: priority, Prefetch: ch.prefetch, Args: m.Arguments,
	})
	if err != nil {
		c.out.consumes.Add(-1)
		return err
	}
	started := &reply{start: consumer}
	if !m.NoWait {
		started.method = &wire091.BasicConsumeOk{ConsumerTag: consumer.Tag}
	}
	c.owe(0, promise{kind: promiseReply, channel: ch.id, reply: started})
	return nil
}

// consumerPriority reads the argument x-priority.
func (c *conn) consumerPriority(queue string, args amqp.Table) (int, error) {
	v, ok := args.Get("x-priority")
	if !ok {
		return 0, nil
	}
	n, ok := amqp.Int(v)
	if !ok {
		return 0, amqp.Errorf(amqp.PreconditionFailed, `invalid arg 'x-priority' for queue '%s' in vhost '%s': "expected integer, got %s"`,
			queue, c.core.VHost(), amqp.TypeName(v))
	}
	return int(max(math.MinInt32, min(n, math.MaxInt32))), nil
}

func (c *conn) basicCancel(ch *channel, m *wire091.BasicCancel) error {
	ch.session.Cancel(m.ConsumerTag)
	c.answer(ch, m.NoWait, 0, &wire091.BasicCancelOk{ConsumerTag: m.ConsumerTag})
	return nil
}

func (c *conn) basicGet(ch *channel, m *wire091.BasicGet) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	d, left, ok, err := ch.session.Get(name, m.NoAck)
	if err != nil {
		return err
	}
	if !ok {
		c.reply(ch.id, 0, &wire091.BasicGetEmpty{})
		return nil
	}
	c.owe(0, promise{kind: promiseContent, channel: ch.id, reply: &reply{
		method: &wire091.BasicGetOk{
			DeliveryTag: d.Tag, Redelivered: d.Redelivered,
			Exchange: d.Msg.Exchange, RoutingKey: d.Msg.Key, MessageCount: uint32(left),
		},
		msg: d.Msg,
	}})
	c.s.counts.delivered.Add(1)
	return nil
}

func (c *conn) basicRecover(ch *channel, m *wire091.BasicRecover) error {
	if err := basicRequeue(ch, m.Requeue); err != nil {
		return err
	}
	c.reply(ch.id, 0, &wire091.BasicRecoverOk{})
	return nil
}

// basicRequeue gives everything unsettled back. To deliver it again to the
// same consumer, which requeue=false asks for, is not offered; RabbitMQ does
// not either.
func basicRequeue(ch *channel, requeue bool) error {
	if !requeue {
		return amqp.Errorf(amqp.NotImplemented, "requeue=false")
	}
	ch.session.Recover()
	return nil
}
