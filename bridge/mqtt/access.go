package mqtt

import (
	"errors"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// enter makes of the user's rights those that this client has in the door's
// vhost.
func (c *conn) enter(who broker.Identity) error {
	who.Access = c.access
	in, err := who.Enter(c.door.VHost)
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return refusal(mqttwire.NotAuthorized, "%s", e.Text)
	}
	if err == nil {
		c.access = in
		c.may, _ = in.(topicReader)
	}
	return err
}

// ConnectionsMax is what the user's account says of its connections.
func (a *sessionAccess) ConnectionsMax() int {
	if user, ok := a.user.(broker.BoundedAccess); ok {
		return user.ConnectionsMax()
	}
	return 0
}
