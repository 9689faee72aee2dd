package broker

import (
	"strings"

	"leveret/amqp"
)

// reservedPrefix is what the queues of MQTT sessions, their wills and groups
// begin with. A message that somebody else took out of one would be missing from
// a session, and a queue that somebody else made would be taken for one. So
// users may look at them (a passive declaration) and no more; the product's own
// connections, an operator's above all, may do anything.
const reservedPrefix = "mqtt."

// reserved reports a queue that is not for the connection to touch.
func (c *Conn) reserved(queue string) bool {
	return c.who.Access != nil && !c.who.Door && hasReservedName(queue)
}

func hasReservedName(queue string) bool { return strings.HasPrefix(queue, reservedPrefix) }

// record reports a binding of a reserved queue that is a note of the product's:
// its key has such a name, too. Nothing goes over it: whoever may publish to the
// exchange would else reach the queue.
func (b *binding) record() bool {
	return b.queue != nil && b.source.kind() == "direct" && hasReservedName(b.queue.name) && hasReservedName(b.key)
}

func refuseReserved(queue string) error {
	return amqp.Errorf(amqp.AccessRefused, "queue name '%s' contains reserved prefix '%s*'", queue, reservedPrefix)
}

// checkReserved refuses messages that name such a queue as their destination.
func (c *Conn) checkReserved(m *amqp.Message) error {
	if m.Exchange != "" || c.who.Access == nil || c.who.Door {
		return nil
	}
	if c.reserved(m.Key) {
		return refuseReserved(m.Key)
	}
	for _, key := range copyKeys(m.Props) {
		if c.reserved(key) {
			return refuseReserved(key)
		}
	}
	return nil
}
