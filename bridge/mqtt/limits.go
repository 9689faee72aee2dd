package mqtt

import (
	"cmp"
	"regexp"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// Limits bound what one client may use. Zero fields take the defaults named
// here, those of a class what the door's own say.
type Limits struct {
	PacketBytesMax   int // of one packet, 1 MiB
	ReceiveMax       int // messages of QoS 1 and 2 in flight in each direction, 100, at most 16,383
	SubscriptionsMax int // of one session, 1,000
	// SessionExpiryMax is how long a session is kept after its connection
	// ended; 0 is as long as the client asks.
	SessionExpiryMax time.Duration
	// MessagesPerSecond bounds what the client publishes; a second's worth may
	// come at once. A client that sends more is not read from until it may go
	// on: nothing is lost or refused. 0 is no bound.
	MessagesPerSecond int
	// QoSMax is the highest QoS that is taken and granted; nil is 2. MQTT 5
	// clients are told; of others a message above it ends the connection.
	QoSMax *byte

	// QueuedMax and QueuedBytesMax (of payloads) bound what waits in a session.
	// 0 is no bound for sessions that are kept, and 10,000 messages for those
	// that end with their connection. They count when a session begins.
	QueuedMax      int
	QueuedBytesMax int64
	// Overflow says what happens beyond that: the core's x-overflow. "" drops
	// the oldest.
	Overflow string
}

// queuedDefault is for sessions that end with their connection.
const queuedDefault = 10_000

func (l Limits) orDefaults() Limits {
	two := byte(2)
	return l.or(Limits{PacketBytesMax: 1 << 20, ReceiveMax: 100, SubscriptionsMax: 1000, QoSMax: &two})
}

// or is l where it says something, else base.
func (l Limits) or(base Limits) Limits {
	l.PacketBytesMax = cmp.Or(l.PacketBytesMax, base.PacketBytesMax)
	l.ReceiveMax = min(cmp.Or(l.ReceiveMax, base.ReceiveMax), receiveMaxMost)
	l.SubscriptionsMax = cmp.Or(l.SubscriptionsMax, base.SubscriptionsMax)
	l.SessionExpiryMax = cmp.Or(l.SessionExpiryMax, base.SessionExpiryMax)
	l.MessagesPerSecond = cmp.Or(l.MessagesPerSecond, base.MessagesPerSecond)
	l.QoSMax = cmp.Or(l.QoSMax, base.QoSMax)
	l.QueuedMax = cmp.Or(l.QueuedMax, base.QueuedMax)
	l.QueuedBytesMax = cmp.Or(l.QueuedBytesMax, base.QueuedBytesMax)
	l.Overflow = cmp.Or(l.Overflow, base.Overflow)
	return l
}

// queueArgs says it to the core.
func (l *Limits) queueArgs(queuedMax int) (args amqp.Table) {
	if queuedMax > 0 {
		args = append(args, amqp.Field{Key: "x-max-length", Value: int64(queuedMax)})
	}
	if l.QueuedBytesMax > 0 {
		args = append(args, amqp.Field{Key: "x-max-length-bytes", Value: l.QueuedBytesMax})
	}
	if l.Overflow != "" && len(args) > 0 {
		args = append(args, amqp.Field{Key: "x-overflow", Value: l.Overflow})
	}
	return args
}

// Class is a kind of client with limits of its own. The first one that a client
// is of counts.
type Class struct {
	Name string
	// User and Client are searched in the user's name and the client id; nil
	// matches all.
	User, Client *regexp.Regexp
	// ConnectionsMax bounds its clients, all together; 0 is no bound but the
	// door's.
	ConnectionsMax int
	Limits
}

func (k *Class) has(user, client string) bool {
	return (k.User == nil || k.User.MatchString(user)) && (k.Client == nil || k.Client.MatchString(client))
}

// classOf is the class of a client.
func (d *Door) classOf(user, client string) *Class {
	for i := range d.Classes {
		if k := &d.Classes[i]; k.has(user, client) {
			return k
		}
	}
	return &d.others
}

// seatLocked takes a place in the client's class, or says that there is none.
func (d *Door) seatLocked(k *Class) error {
	if k.ConnectionsMax > 0 && d.seated[k] >= k.ConnectionsMax {
		return refusal(mqttwire.QuotaExceeded, "%d clients of class %q are connected, as many as may be", d.seated[k], k.Name)
	}
	d.seated[k]++
	return nil
}

// sessionSpec is the queue of a kept session.
func (c *conn) sessionSpec(queue string) broker.QueueSpec {
	args := c.limits.queueArgs(c.limits.QueuedMax)
	if !c.door.KeepQoS0 {
		args = append(args, amqp.Field{Key: broker.ArgAttended, Value: true})
	}
	return broker.QueueSpec{Name: queue, Durable: true, Args: args}
}

// meter is a bucket of tokens, one for each message, that holds a second's
// worth. The zero meter is full. It is the reader's.
type meter struct {
	spent float64
	at    time.Time
}

// take takes a token, or says how long it is until there is one.
func (m *meter) take(perSecond int, now time.Time) (wait time.Duration) {
	rate := float64(perSecond)
	if !m.at.IsZero() {
		m.spent = max(0, m.spent-max(0, now.Sub(m.at).Seconds())*rate)
	}
	m.at = now
	if m.spent+1 > rate {
		return max(time.Millisecond, time.Duration((m.spent+1-rate)/rate*float64(time.Second)))
	}
	m.spent++
	return 0
}

// throttle keeps a client to its rate: it is not read from in the meantime. What
// it sent before is on its way and gets its answers.
func (c *conn) throttle() error {
	if c.limits.MessagesPerSecond == 0 {
		return nil
	}
	for {
		wait := c.meter.take(c.limits.MessagesPerSecond, time.Now())
		if wait == 0 {
			return nil
		}
		if err := c.flush(); err != nil {
			return err
		}
		c.door.counts.throttled.Add(1)
		c.poke() // the answers to what came before do not wait
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ended:
			timer.Stop()
			return errEnded
		}
	}
}
