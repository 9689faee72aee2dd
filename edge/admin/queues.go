package admin

import (
	"leveret/amqp"
	"leveret/amqp/broker"
)

type queueView struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Node       string         `json:"node"`
	Type       string         `json:"type"`
	State      string         `json:"state"` // running, paused
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Exclusive  bool           `json:"exclusive"`
	Arguments  map[string]any `json:"arguments"`
	Messages   int            `json:"messages"`
	Ready      int            `json:"messages_ready"`
	Unacked    int            `json:"messages_unacknowledged"`
	Delayed    int            `json:"messages_delayed"` // came back and wait for their next delivery
	Bytes      int64          `json:"message_bytes_ready"`
	Consumers  int            `json:"consumers"`
	Policy     *string        `json:"policy"`
	Operator   *string        `json:"operator_policy"`
	Stats      queueStats     `json:"message_stats"`
	Owner      *detailsView   `json:"owner_pid_details,omitempty"`
	// Of a queue that is asked for alone.
	Takers []*consumerView `json:"consumer_details,omitempty"`
}

func (v *queueView) title() string { return v.Name }

// queueStats count since the start.
type queueStats struct {
	Publish uint64 `json:"publish"`
	Gone    uint64 `json:"gone"` // settled, dropped, expired
}

// queues are those of the vhosts that the caller sees, or of one.
func (s *Server) queues(q *request) (any, error) {
	in, err := q.within(s)
	if err != nil {
		return nil, err
	}
	var list []*queueView
	for _, st := range s.o.Broker.Status().Queues {
		if in(st.VHost) {
			list = append(list, s.queueView(&st))
		}
	}
	return listed(q, list)
}

func (s *Server) queue(q *request) (any, error) {
	st, err := s.queueOf(q)
	if err != nil {
		return nil, err
	}
	v := s.queueView(&st)
	for _, c := range s.o.Broker.Consumers() {
		if c.Queue == st.Name && c.Conn.VHost() == st.VHost {
			v.Takers = append(v.Takers, s.consumerView(c))
		}
	}
	return v, nil
}

// queueOf is the queue of the path.
func (s *Server) queueOf(q *request) (st broker.QueueStatus, err error) {
	vhost, err := q.vhost(s)
	if err != nil {
		return st, err
	}
	st, ok := s.o.Broker.QueueStatus(vhost, q.PathValue("name"))
	if !ok {
		return st, errNotFound
	}
	return st, nil
}

func (s *Server) queueView(st *broker.QueueStatus) *queueView {
	v := &queueView{
		Name: st.Name, VHost: st.VHost, Node: s.o.Node, Type: "classic", State: "running",
		Durable: st.Durable, AutoDelete: st.AutoDelete, Exclusive: st.Exclusive, Arguments: object(st.Args),
		Messages: st.Ready + st.Unacked + st.Resting, Ready: st.Ready, Unacked: st.Unacked, Delayed: st.Resting,
		Bytes: st.Bytes, Consumers: st.Consumers, Stats: queueStats{st.In, st.Out},
	}
	if st.Paused {
		v.State = "paused"
	}
	if st.Policy != "" {
		v.Policy = &st.Policy
	}
	if st.OperatorPolicy != "" {
		v.Operator = &st.OperatorPolicy
	}
	if st.Owner != nil {
		owner := details(st.Owner)
		v.Owner = &owner
	}
	return v
}

// purge drops what is ready in a queue. The user's permissions are asked as if
// it came over AMQP.
func (s *Server) purge(q *request) (any, error) {
	st, err := s.queueOf(q)
	if err != nil {
		return nil, err
	}
	conn, err := s.o.Broker.Connect(st.VHost, q.who.identity(), func() {})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	n, lsn, err := conn.Purge(st.Name)
	if err != nil {
		return nil, err
	}
	s.o.Log.Info("queue is purged for an operator", "vhost", st.VHost, "queue", st.Name, "by", q.who.user.Name, "messages", n)
	return noContent, s.durable(q.Context(), lsn)
}

// pause stops a queue from giving messages out (a way of LavinMQ's), resume
// lets it go on. Who may configure the queue may do so.
func (s *Server) pause(q *request) (any, error)  { return s.setPaused(q, true) }
func (s *Server) resume(q *request) (any, error) { return s.setPaused(q, false) }

func (s *Server) setPaused(q *request, paused bool) (any, error) {
	st, err := s.queueOf(q)
	if err != nil {
		return nil, err
	}
	who := q.who.identity()
	rights, err := who.Enter(st.VHost)
	if err != nil {
		return nil, err
	}
	if !rights.Allows(broker.Configure, st.Name) {
		return nil, amqp.Errorf(amqp.AccessRefused, "configure access to queue '%s' in vhost '%s' refused for user '%s'", st.Name, st.VHost, who.User)
	}
	lsn, err := s.o.Broker.PauseQueue(st.VHost, st.Name, paused)
	if err != nil {
		return nil, err
	}
	s.o.Log.Info("queue is paused or resumed for an operator", "vhost", st.VHost, "queue", st.Name, "by", who.User, "paused", paused)
	return noContent, s.durable(q.Context(), lsn)
}
