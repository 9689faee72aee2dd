package broker

import (
	"cmp"
	"slices"

	"leveret/amqp"
)

// ConnStatus is what an operator sees of a peer.
type ConnStatus struct {
	Conn *Conn
	Identity
	Traffic
	LinkState
	Channels int // sessions
}

// LinkState is what a door knows of a connection, for operators.
type LinkState struct {
	Blocked bool // the peer was told that its publishing is held back
	// Octets to and from the peer, and in how many pieces. All are 0 where the
	// door does not count them.
	OctetsIn, ReadsIn, OctetsOut, WritesOut uint64
}

// ChannelState is what a door knows of a channel, for operators.
type ChannelState struct {
	Confirms, Transactional bool
	Prefetch                int // of consumers to come; 0 is none
	Unconfirmed             int // messages
}

// Peers gives the connections that come from outside, by vhost and age.
func (b *Broker) Peers() (list []*ConnStatus) {
	b.eachVHost(func(v *VHost) {
		for c := range v.conns {
			if c.who.Peer != "" {
				list = append(list, &ConnStatus{Conn: c, Identity: c.who, Traffic: c.traffic, Channels: len(c.sessions)})
			}
		}
	})
	for _, st := range list { // doors have locks of their own
		if st.State != nil {
			st.LinkState = st.State()
		}
	}
	slices.SortFunc(list, func(a, b *ConnStatus) int { return byPeer(a.Conn, b.Conn) })
	return list
}

// End asks the connection's shell to end it, and tells the peer why as far as
// its protocol can say it.
func (c *Conn) End(why *amqp.Error) { c.end(why) }

// SessionStatus is what an operator sees of a 0-9-1 channel.
type SessionStatus struct {
	Conn      *Conn
	Number    int
	Consumers int
	Unacked   int
	// GlobalPrefetch is for all its consumers together; 0 is none.
	GlobalPrefetch int
	ChannelState
	// Of its transaction: messages, and deliveries to be settled.
	Uncommitted, AcksUncommitted int

	state func() ChannelState
}

// Channels gives the numbered sessions of all peers, by connection and number.
func (b *Broker) Channels() (list []*SessionStatus) {
	b.eachVHost(func(v *VHost) {
		for c := range v.conns {
			for _, s := range c.sessions {
				if s.number > 0 {
					list = append(list, s.statusLocked())
				}
			}
		}
	})
	for _, st := range list { // doors have locks of their own
		if st.state != nil {
			st.ChannelState = st.state()
		}
	}
	slices.SortFunc(list, func(a, b *SessionStatus) int {
		return cmp.Or(byPeer(a.Conn, b.Conn), cmp.Compare(a.Number, b.Number))
	})
	return list
}

func (s *Session) statusLocked() *SessionStatus {
	st := &SessionStatus{
		Conn: s.conn, Number: s.number, Consumers: len(s.consumers), Unacked: s.unsettled(), GlobalPrefetch: s.prefetch, state: s.state,
	}
	if s.tx != nil {
		st.Uncommitted, st.AcksUncommitted = len(s.tx.publishes), len(s.tx.settles)
	}
	return st
}

// unsettled counts the deliveries that are.
func (s *Session) unsettled() (n int) {
	for i := range s.unacked.len() {
		if s.unacked.at(i).lane != nil {
			n++
		}
	}
	return n
}

// ConsumerStatus is what an operator sees of a consumer.
type ConsumerStatus struct {
	ConsumerSpec
	Conn    *Conn
	Queue   string
	Channel int  // 0 is none
	Active  bool // it may be given messages
	Unacked int
}

// Consumers gives the consumers of all peers and of the product itself, by
// queue, tag and connection.
func (b *Broker) Consumers() (list []*ConsumerStatus) {
	b.eachVHost(func(v *VHost) {
		for _, q := range v.queues {
			if q.isReply() {
				continue
			}
			for _, c := range q.consumers {
				list = append(list, &ConsumerStatus{
					ConsumerSpec: c.ConsumerSpec, Conn: c.session.conn, Queue: q.name, Channel: c.session.number,
					Active: !q.args.singleActive || q.active == c, Unacked: c.unacked,
				})
			}
		}
	})
	slices.SortFunc(list, func(a, b *ConsumerStatus) int {
		return cmp.Or(cmp.Compare(a.Conn.VHost(), b.Conn.VHost()), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Tag, b.Tag), byPeer(a.Conn, b.Conn))
	})
	return list
}

func byPeer(a, b *Conn) int {
	return cmp.Or(cmp.Compare(a.VHost(), b.VHost()), cmp.Compare(a.opened, b.opened), cmp.Compare(a.who.Peer, b.who.Peer))
}

// eachVHost looks into all vhosts, one at a time, with its lock held.
func (b *Broker) eachVHost(look func(*VHost)) {
	b.mu.Lock()
	vhosts := make([]*VHost, 0, len(b.vhosts))
	for _, v := range b.vhosts {
		vhosts = append(vhosts, v)
	}
	b.mu.Unlock()
	for _, v := range vhosts {
		v.mu.Lock()
		look(v)
		v.mu.Unlock()
	}
}
