package mqtt

import "sync/atomic"

// Stats are the door's figures. All but Connections count since its start.
type Stats struct {
	Connections int    // open now, those before their CONNECT included
	Accepted    uint64 // connections
	Connected   uint64 // of those, clients that were let in
	Refused     uint64 // connections and clients that were not
	Panics      uint64 // connections that a mistake of ours ended

	Received [3]uint64 // messages from clients, by QoS
	Sent     [3]uint64 // messages to clients, by QoS, repeats included

	Rejected        uint64 // messages from clients that were refused
	Expired         uint64 // messages whose time was over before a client took them
	TooLarge        uint64 // messages larger than the client takes
	Unmatched       uint64 // messages in a session that none of its subscriptions matched
	Foreign         uint64 // messages whose routing key is no MQTT topic
	LongTopics      uint64 // messages whose topic AMQP 0-9-1 clients see cut
	WillsLost       uint64 // wills that could not be published
	SessionsExpired uint64 // whose clients did not come back in time
	// SubscriptionsLost are of kept sessions whose users lost the right to them.
	SubscriptionsLost uint64
	Throttled         uint64 // pauses of clients that published more than they may
}

// counters are what Stats is made of.
type counters struct {
	accepted, connected, refused, panics atomic.Uint64
	received, sent                       [3]atomic.Uint64

	rejected, expired, tooLarge, unmatched, foreign, longTopics, willsLost, throttled, sessionsExpired, subscriptionsLost atomic.Uint64
}

// Stats gives the figures of this moment.
func (d *Door) Stats() Stats {
	d.mu.Lock()
	now := len(d.conns)
	d.mu.Unlock()
	c := &d.counts
	return Stats{
		Connections:       now,
		Accepted:          c.accepted.Load(),
		Connected:         c.connected.Load(),
		Refused:           c.refused.Load(),
		Panics:            c.panics.Load(),
		Received:          byQoS(&c.received),
		Sent:              byQoS(&c.sent),
		Rejected:          c.rejected.Load(),
		Expired:           c.expired.Load(),
		TooLarge:          c.tooLarge.Load(),
		Unmatched:         c.unmatched.Load(),
		Foreign:           c.foreign.Load(),
		LongTopics:        c.longTopics.Load(),
		WillsLost:         c.willsLost.Load(),
		Throttled:         c.throttled.Load(),
		SessionsExpired:   c.sessionsExpired.Load(),
		SubscriptionsLost: c.subscriptionsLost.Load(),
	}
}

func byQoS(counts *[3]atomic.Uint64) (now [3]uint64) {
	for qos := range counts {
		now[qos] = counts[qos].Load()
	}
	return now
}
