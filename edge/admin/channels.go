package admin

import (
	"leveret/amqp/broker"
)

type channelView struct {
	Name   string `json:"name"`
	Number int    `json:"number"`
	VHost  string `json:"vhost"`
	User   string `json:"user"`
	Node   string `json:"node"`
	State  string `json:"state"`
	// By is who opened it: its user.
	By        string `json:"user_who_performed_action"`
	Consumers int    `json:"consumer_count"`
	Unacked   int    `json:"messages_unacknowledged"`
	// Prefetch is for each consumer to come, GlobalPrefetch for all together.
	Prefetch       int         `json:"prefetch_count"`
	GlobalPrefetch int         `json:"global_prefetch_count"`
	Confirm        bool        `json:"confirm"`
	Transactional  bool        `json:"transactional"`
	Unconfirmed    int         `json:"messages_unconfirmed"`
	Uncommitted    int         `json:"messages_uncommitted"`
	AcksWaiting    int         `json:"acks_uncommitted"`
	Connection     detailsView `json:"connection_details"`
}

func (v *channelView) title() string { return v.Name }

// channels are those that the caller sees, of one connection if the path has it.
func (s *Server) channels(q *request) (any, error) {
	connection := q.PathValue("name")
	if connection != "" {
		if _, err := s.named(q); err != nil {
			return nil, err
		}
	}
	var list []*channelView
	for _, c := range s.o.Broker.Channels() {
		if !q.who.owns(c.Conn.Identity().User) {
			continue
		}
		if v := s.channelView(c); connection == "" || v.Connection.Name == connection {
			list = append(list, v)
		}
	}
	return listed(q, list)
}

func (s *Server) channel(q *request) (any, error) {
	for _, c := range s.o.Broker.Channels() {
		if v := s.channelView(c); v.Name == q.PathValue("name") {
			if !q.who.owns(v.User) {
				return nil, errNotYours
			}
			return v, nil
		}
	}
	return nil, errNotFound
}

func (s *Server) channelView(c *broker.SessionStatus) *channelView {
	user := c.Conn.Identity().User
	v := &channelView{
		Number: c.Number, VHost: c.Conn.VHost(), User: user, By: user, Node: s.o.Node, State: "running",
		Consumers: c.Consumers, Unacked: c.Unacked, Prefetch: c.Prefetch, GlobalPrefetch: c.GlobalPrefetch,
		Confirm: c.Confirms, Transactional: c.Transactional, Unconfirmed: c.Unconfirmed,
		Uncommitted: c.Uncommitted, AcksWaiting: c.AcksUncommitted, Connection: details(c.Conn),
	}
	v.Name = channelName(v.Connection.Name, v.Number)
	return v
}

type consumerView struct {
	Tag       string         `json:"consumer_tag"`
	Queue     thingView      `json:"queue"`
	Ack       bool           `json:"ack_required"`
	Exclusive bool           `json:"exclusive"`
	Prefetch  int            `json:"prefetch_count"`
	Active    bool           `json:"active"`
	Activity  string         `json:"activity_status"`
	Unacked   int            `json:"messages_unacknowledged"`
	Arguments map[string]any `json:"arguments"`
	Channel   consumerOf     `json:"channel_details"`
}

func (v *consumerView) title() string { return v.Tag }

// thingView names something in a vhost.
type thingView struct {
	Name  string `json:"name"`
	VHost string `json:"vhost"`
}

// consumerOf is the channel of a consumer. MQTT sessions and the product's own
// consumers have none; their number is 0.
type consumerOf struct {
	Name       string `json:"name"`
	Number     int    `json:"number"`
	User       string `json:"user"`
	Node       string `json:"node"`
	Connection string `json:"connection_name"`
	PeerHost   string `json:"peer_host"`
	PeerPort   int    `json:"peer_port"`
}

// consumers are those that the caller sees, of one vhost if the path has it.
func (s *Server) consumers(q *request) (any, error) {
	in, err := q.within(s)
	if err != nil {
		return nil, err
	}
	var list []*consumerView
	for _, c := range s.o.Broker.Consumers() {
		if in(c.Conn.VHost()) {
			list = append(list, s.consumerView(c))
		}
	}
	return listed(q, list)
}

func (s *Server) consumerView(c *broker.ConsumerStatus) *consumerView {
	of := details(c.Conn)
	v := &consumerView{
		Tag: c.Tag, Queue: thingView{c.Queue, c.Conn.VHost()}, Ack: !c.NoAck, Exclusive: c.Exclusive,
		Prefetch: c.Prefetch, Active: c.Active, Activity: "up", Unacked: c.Unacked, Arguments: object(c.Args),
		Channel: consumerOf{
			Name: of.Name, Number: c.Channel, User: c.Conn.Identity().User, Node: s.o.Node,
			Connection: of.Name, PeerHost: of.PeerHost, PeerPort: of.PeerPort,
		},
	}
	if c.Channel > 0 {
		v.Channel.Name = channelName(of.Name, c.Channel)
	}
	if !c.Active {
		v.Activity = "waiting"
	}
	return v
}
