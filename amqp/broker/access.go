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

// VHostAccess is what an Access may also be: one whose rights depend on the
// vhost, or on the client. Connect asks it for those of the connection; ok is
// false when the user may not enter at all.
type VHostAccess interface {
	Enter(vhost, client string) (in Access, ok bool)
}

// BoundedAccess is what an Access may also be: one that says how many
// connections its user may have, in place of Limits; 0 leaves it to them.
type BoundedAccess interface {
	ConnectionsMax() int
}

// Impersonator is what an Access may also be: one that says whether its user may
// publish under any user-id (RabbitMQ's tag "impersonator").
type Impersonator interface {
	Impersonates() bool
}

// CheckHeader refuses, before its body has come, a message to an exchange with
// properties that the connection may not publish. What is wrong with the exchange
// is told first.
func (s *Session) CheckHeader(exchange string, p amqp.Properties) error {
	err := s.conn.checkProps(p)
	if err == nil {
		return nil
	}
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, wrong := v.writableLocked(s, exchange); wrong != nil {
		return wrong
	}
	return err
}

// checkProps refuses another user's id, and an expiration that is no number.
func (c *Conn) checkProps(p amqp.Properties) error {
	if !p.Has(amqp.HasUserID | amqp.HasExpiration) {
		return nil
	}
	if user := p.UserID(); p.Has(amqp.HasUserID) && user != c.who.User && !c.impersonates {
		return amqp.Errorf(amqp.PreconditionFailed, "user_id property set to '%s' but authenticated user was '%s'", user, c.who.User)
	}
	return checkExpiration(p)
}

// mayImpersonate reports whether messages may carry another user's id; those of
// the product's own connections may.
func (who *Identity) mayImpersonate() bool {
	a, ok := who.Access.(Impersonator)
	return who.Access == nil || ok && a.Impersonates()
}

// Enter gives the rights of an identity in a vhost. Connect does so by itself;
// a door that hides its users' Access behind one of its own does it before.
func (who *Identity) Enter(vhost string) (Access, error) {
	a, ok := who.Access.(VHostAccess)
	if !ok {
		return who.Access, nil
	}
	in, ok := a.Enter(vhost, who.Client)
	if !ok {
		return nil, amqp.Errorf(amqp.NotAllowed, "access to vhost '%s' refused for user '%s'", vhost, who.User)
	}
	return in, nil
}

// allow asks the connection's access rights.
func (c *Conn) allow(a Action, kind, name string) error {
	if c.who.Access == nil {
		return nil
	}
	if kind == "queue" && c.reserved(name) {
		return refuseReserved(name)
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
