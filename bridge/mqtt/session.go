package mqtt

import (
	"crypto/tls"
	"fmt"
	"math"
	"strings"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// session is a client's session as the core has it.
type session struct {
	*broker.Session
	queue    string
	durable  bool             // the queue outlives the connection, unless it is deleted
	consumer *broker.Consumer // nil as long as there is no queue
}

// queuePrefix is what the queues of sessions start with.
const queuePrefix = "mqtt."

// heldMax is how many messages a consumer gets beyond the client's window: so
// QoS 0 messages, which have no part in that window, can pass some of QoS 1
// that have to wait.
const heldMax = 32

// sessionAccess lets a client's connection do anything to its own session, and
// asks the user's rights for all else.
type sessionAccess struct {
	door  *Door
	queue string
	user  broker.Access
}

func (a *sessionAccess) Allows(action broker.Action, resource string) bool {
	if !a.door.isExchange(resource) && (resource == a.queue || action == broker.Read && strings.HasPrefix(resource, sharePrefix)) {
		return true // who may be in a group was asked when it subscribed
	}
	return a.user.Allows(action, resource)
}

// AllowsTopic asks the user's rights to topics, if they go that far.
func (a *sessionAccess) AllowsTopic(action broker.Action, exchange, key string) bool {
	topics, limited := a.user.(broker.TopicAccess)
	return !limited || topics.AllowsTopic(action, exchange, key)
}

// allows asks the user's rights for what the door's own connection does on a
// client's behalf.
func (c *conn) allows(action broker.Action, exchange, key string) bool {
	if c.access == nil {
		return true
	}
	rights := sessionAccess{user: c.access}
	return c.access.Allows(action, exchange) && rights.AllowsTopic(action, exchange, key)
}

// mayRead asks them for a filter: for all that it may meet.
func (c *conn) mayRead(filter string) bool {
	for _, exchange := range c.door.exchangesOf(filter) {
		if !c.allows(broker.Read, exchange, c.door.Dots.Pattern(filter)) {
			return false
		}
	}
	return true
}

// open makes the client's session or takes the old one up. The LSN covers what
// CONNACK says of it.
func (c *conn) open(m *mqttwire.Connect) (present bool, lsn spool.LSN, err error) {
	c.session.queue = sessionQueue(c.client)
	if err := c.join(); err != nil {
		return false, 0, err
	}
	c.session.Session = c.core.Open()
	if present, err = c.door.holds(c.session.queue, isSession); err != nil {
		return false, 0, err
	}
	if present {
		bindings, err := c.core.Bindings(c.session.queue)
		if err == nil {
			err = c.checkOwner(bindings)
		}
		if err != nil {
			return false, 0, err
		}
	}
	if !present || !m.CleanStart {
		c.door.cancelWill(c.client)
	}
	if present && m.CleanStart {
		present = false
		// The session ends, and that its will is for, too.
		if err := c.door.publishWill(c.client); err != nil {
			c.door.lostWill(c.client, err)
		}
		if lsn, err = c.door.endSession(c.client); err != nil {
			return false, 0, err
		}
	}
	if present {
		if lsn, err = c.resume(); err != nil {
			return false, 0, err
		}
	}
	c.keepFor(c.wishedExpiry(m))
	if !present && c.kept {
		if lsn, err = c.makeQueue(); err != nil {
			return false, 0, err
		}
	}
	if c.session.durable = present || c.kept; c.session.durable {
		if err := c.consume(); err != nil {
			return false, 0, err
		}
		lsn = max(lsn, c.recordExpiry())
	}
	return present, lsn, nil
}

// makeQueue makes the queue of a session that is kept, with its record: without
// it would be taken for somebody else's.
func (c *conn) makeQueue() (spool.LSN, error) {
	spec := c.sessionSpec(c.session.queue)
	c.recorded = record{c.expiry, c.owner}
	return c.door.keeper.DeclareBound(spec, recordExchange, spec.Name, c.recorded.args())
}

// join connects to the core.
func (c *conn) join() error {
	who := broker.Identity{
		User:     c.user,
		Client:   c.client,
		Assigned: c.assigned,
		Peer:     c.socket.RemoteAddr().String(),
		Host:     c.socket.LocalAddr().String(),
		Protocol: "MQTT " + c.version.String(),
		Terms:    broker.Terms{Heartbeat: c.keepAlive},
		End:      c.forced,
		State:    c.state,
		Door:     true,
	}
	_, who.Terms.TLS = c.socket.(*tls.Conn)
	if err := c.enter(who); err != nil {
		return err
	}
	if c.access != nil {
		who.Access = &sessionAccess{door: c.door, queue: c.session.queue, user: c.access}
	}
	core, err := c.door.Broker.Connect(c.door.VHost, who, c.deliverable)
	if err != nil {
		return fmt.Errorf("connect the client to the broker: %w", err)
	}
	c.core = core
	return nil
}

// resume takes the subscriptions of a session over.
func (c *conn) resume() (spool.LSN, error) {
	bindings, err := c.core.Bindings(c.session.queue)
	if err != nil {
		return 0, err
	}
	subs := new(subscriptions)
	subs.list = c.door.subscriptionsOf(bindings)
	for _, b := range bindings {
		if r, ok := recordOf(b); ok {
			c.recorded = r
		}
	}
	subs, lsn, err := c.loseSubscriptions(subs)
	if err != nil {
		return 0, err
	}
	c.setSubscriptions(subs)
	return lsn, c.resumeExact()
}

// loseSubscriptions ends those that the user has no right to any more. The session
// goes on without them: what waits in it for them alone is dropped when its turn
// comes. MQTT has no word for that; a client that subscribes again after CONNACK,
// as most do, hears of it in SUBACK.
func (c *conn) loseSubscriptions(subs *subscriptions) (kept *subscriptions, lsn spool.LSN, err error) {
	kept = subs
	for i := range subs.list {
		s := &subs.list[i]
		switch {
		case c.mayRead(s.plain()):
			continue
		case c.recorded.owner != c.owner: // another user is not to spoil it, where it may come at all
			return nil, 0, refusal(mqttwire.NotAuthorized, "the session is subscribed to %q, which user %q may not be", s.filter, c.user)
		}
		var at spool.LSN
		if s.share != "" {
			at, err = c.leaveShare(s)
		} else { // not over the client's own connection, which has not the right
			at, err = c.door.unbind(c.door.keeper, c.session.queue, s.filter, s.key(), s.args())
		}
		if err != nil {
			return nil, 0, fmt.Errorf("end the subscription to %q, to which user %q has no right any more: %w", s.filter, c.user, err)
		}
		kept, lsn = kept.without(s.filter), max(lsn, at)
		c.door.counts.subscriptionsLost.Add(1)
		c.log.Warn("mqtt subscription ended: the user has no right to it any more", "filter", s.filter, "user", c.user)
	}
	return kept, lsn, nil
}

// consume begins to take messages from the session's queue; they flow when the
// consumer is started.
func (c *conn) consume() (err error) {
	c.session.consumer, err = c.session.Consume(c.session.queue, broker.ConsumerSpec{
		Tag:      "session",
		Prefetch: c.window + heldMax,
	})
	return err
}

// expiryNever is the session expiry that means for ever (5.0, section
// 3.1.2.11.2).
const expiryNever = math.MaxUint32

// wishedExpiry is how long the client wants its session to be kept. Before
// MQTT 5 that is either not at all or for ever.
func (c *conn) wishedExpiry(m *mqttwire.Connect) uint32 {
	if m.Version == mqttwire.V5 {
		seconds, _ := m.Props.Uint32(mqttwire.SessionExpiry)
		return seconds
	}
	if m.CleanStart {
		return 0
	}
	return expiryNever
}

// keepFor sets how long the session outlives its connection.
func (c *conn) keepFor(seconds uint32) {
	if limit := c.limits.SessionExpiryMax; limit > 0 && time.Duration(seconds)*time.Second > limit {
		seconds = uint32(limit / time.Second)
		c.expiryCut = true
	}
	c.kept, c.expiry = seconds > 0, seconds
}

// leaveSession is for a session whose connection has ended: it waits for the
// client, or goes. An exclusive queue went with the connection.
func (c *conn) leaveSession() {
	switch {
	case !c.session.durable:
		c.door.leaveShares(c.subs.Load().list)
	case c.kept:
		c.recordExpiry()
	default:
		if _, err := c.door.endSession(c.client); err != nil {
			c.log.Error("mqtt session cannot be ended", "err", err)
		}
	}
}
