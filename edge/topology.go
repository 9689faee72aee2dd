package edge

import (
	"fmt"

	"leveret/amqp/broker"
	"leveret/edge/config"
)

// declare makes what the configuration file declares. Doing it again changes
// nothing; what the file no longer names stays.
func declare(b *broker.Broker, c *config.Config) error {
	conn, err := b.Connect(broker.DefaultVHost, broker.Identity{Protocol: "configuration"}, func() {})
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, x := range c.Exchanges {
		_, err := conn.DeclareExchange(broker.ExchangeSpec{
			Name: x.Name, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal, Args: x.Arguments,
		})
		if err != nil {
			return fmt.Errorf("declare exchange %q: %w", x.Name, err)
		}
	}
	for _, q := range c.Queues {
		_, _, err := conn.DeclareQueue(broker.QueueSpec{
			Name: q.Name, Durable: q.Durable, AutoDelete: q.AutoDelete, Args: q.Arguments,
		})
		if err != nil {
			return fmt.Errorf("declare queue %q: %w", q.Name, err)
		}
	}
	for _, bind := range c.Bindings {
		if _, err := conn.BindQueue(bind.Destination, bind.Source, bind.Key, bind.Arguments); err != nil {
			return fmt.Errorf("bind queue %q to exchange %q: %w", bind.Destination, bind.Source, err)
		}
	}
	return nil
}
