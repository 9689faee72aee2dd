package server091

import (
	"strings"

	"leveret/amqp/broker"
	"leveret/amqp/wire091"
)

// clean takes line breaks out of a name, as RabbitMQ does.
func clean(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

func (c *conn) exchangeDeclare(ch *channel, m *wire091.ExchangeDeclare) error {
	name := clean(m.Exchange)
	if m.Passive {
		if err := c.core.CheckExchange(name); err != nil {
			return err
		}
		c.answer(ch, m.NoWait, 0, &wire091.ExchangeDeclareOk{})
		return nil
	}
	lsn, err := c.core.DeclareExchange(broker.ExchangeSpec{
		Name: name, Type: m.Type, Durable: m.Durable, AutoDelete: m.AutoDelete, Internal: m.Internal, Args: m.Arguments,
	})
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.ExchangeDeclareOk{})
	return nil
}

func (c *conn) exchangeDelete(ch *channel, m *wire091.ExchangeDelete) error {
	lsn, err := c.core.DeleteExchange(clean(m.Exchange), m.IfUnused)
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.ExchangeDeleteOk{})
	return nil
}

func (c *conn) exchangeBind(ch *channel, m *wire091.ExchangeBind) error {
	lsn, err := c.core.BindExchange(clean(m.Destination), clean(m.Source), m.RoutingKey, m.Arguments)
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.ExchangeBindOk{})
	return nil
}

func (c *conn) exchangeUnbind(ch *channel, m *wire091.ExchangeUnbind) error {
	lsn, err := c.core.UnbindExchange(clean(m.Destination), clean(m.Source), m.RoutingKey, m.Arguments)
	if err != nil {
		return err
	}
	c.answer(ch, m.NoWait, lsn, &wire091.ExchangeUnbindOk{})
	return nil
}
