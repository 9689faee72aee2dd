package broker

import "leveret/amqp"

// Action is a kind of permission (RabbitMQ's three).
type Action uint8

const (
	Configure Action = iota
	Write
	Read
)

func (a Action) String() string { return [...]string{"configure", "write", "read"}[a] }

// Access is what a user may do. The default exchange is asked for as
// "amq.default".
type Access interface {
	Allows(a Action, resource string) bool
}

// TopicAccess is what an Access may also answer: whether a user may publish to
// a topic exchange with a routing key (Write), or bind with a key (Read). It is
// asked for each message, so an answer should be quick.
type TopicAccess interface {
	AllowsTopic(a Action, exchange, key string) bool
}

// allow asks the connection's access rights.
func (c *Conn) allow(a Action, kind, name string) error {
	if c.who.Access == nil {
		return nil
	}
	resource := name
	if kind == "exchange" && name == "" {
		resource = "amq.default"
	}
	if c.who.Access.Allows(a, resource) {
		return nil
	}
	return amqp.Errorf(amqp.AccessRefused, "%s access to %s refused for user '%s'", a, c.v.named(kind, resource), c.who.User)
}

// allowTopics asks for all routing keys of a message to a topic exchange.
func (c *Conn) allowTopics(x *exchange, m *amqp.Message) error {
	if x.kind() != typeTopic {
		return nil
	}
	if err := c.allowTopic(Write, x, m.Key); err != nil {
		return err
	}
	for _, key := range copyKeys(m.Props) {
		if err := c.allowTopic(Write, x, key); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) allowTopic(a Action, x *exchange, key string) error {
	if c.topics == nil || x.kind() != typeTopic || c.topics.AllowsTopic(a, x.Name, key) {
		return nil
	}
	return amqp.Errorf(amqp.AccessRefused, "%s access to topic '%s' in %s refused for user '%s'", a, key, c.v.named("exchange", x.Name), c.who.User)
}
