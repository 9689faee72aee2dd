package admin

import (
	"net/netip"
	"strconv"
	"strings"

	"leveret/amqp"
	"leveret/amqp/broker"
)

type connectionView struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	User       string         `json:"user"`
	Node       string         `json:"node"`
	Type       string         `json:"type"`
	Protocol   string         `json:"protocol"` // "AMQP 0-9-1", "MQTT 3-1-1", "MQTT 5-0"
	State      string         `json:"state"`
	Channels   int            `json:"channels"`
	PeerHost   string         `json:"peer_host"`
	PeerPort   int            `json:"peer_port"`
	Host       string         `json:"host"`
	Port       int            `json:"port"`
	SSL        bool           `json:"ssl"`
	Mechanism  string         `json:"auth_mechanism,omitempty"`
	FrameMax   int            `json:"frame_max"`
	ChannelMax int            `json:"channel_max"`
	Timeout    int            `json:"timeout"` // seconds: heartbeat or keep alive
	Connected  int64          `json:"connected_at,omitempty"`
	Client     map[string]any `json:"client_properties"`
	UserName   string         `json:"user_provided_name,omitempty"`
	By         string         `json:"user_who_performed_action"`
	ClientID   string         `json:"client_id,omitempty"` // MQTT
	// Octets on the socket, and in how many pieces; what waits to be sent is not
	// told by the kernel.
	RecvOctets uint64 `json:"recv_oct"`
	RecvCount  uint64 `json:"recv_cnt"`
	SendOctets uint64 `json:"send_oct"`
	SendCount  uint64 `json:"send_cnt"`
	SendWaits  int    `json:"send_pend"`
	// Messages and the bytes of their bodies, of the client and for it.
	MessagesIn  uint64 `json:"messages_in"`
	BytesIn     uint64 `json:"bytes_in"`
	MessagesOut uint64 `json:"messages_out"`
	BytesOut    uint64 `json:"bytes_out"`
}

func (v *connectionView) title() string { return v.Name }

// connections are those that the caller sees, of one vhost if the path has it.
func (s *Server) connections(q *request) (any, error) {
	in, err := q.within(s)
	if err != nil {
		return nil, err
	}
	var list []*connectionView
	for _, p := range s.o.Broker.Peers() {
		if q.who.owns(p.User) && in(p.Conn.VHost()) {
			list = append(list, s.connectionView(p))
		}
	}
	return listed(q, list)
}

func (s *Server) connection(q *request) (any, error) {
	peers, err := s.named(q)
	if err != nil {
		return nil, err
	}
	return s.connectionView(peers[0]), nil
}

// closeConnection ends a connection: one's own, or any for administrators. The
// header X-Reason is what the client is told.
func (s *Server) closeConnection(q *request) (any, error) {
	peers, err := s.named(q)
	if err != nil {
		return nil, err
	}
	reason := q.Header.Get("X-Reason")
	if reason == "" {
		reason = "Closed via management plugin"
	}
	reason = strings.ToValidUTF8(reason[:min(len(reason), reasonBytesMax)], "")
	for _, p := range peers {
		if p.User != q.who.user.Name && !q.who.has(administrator) {
			return nil, errNotYours
		}
		s.o.Log.Info("connection is closed for an operator", "connection", connectionName(&p.Identity), "by", q.who.user.Name, "reason", reason)
		p.Conn.End(amqp.Errorf(amqp.ConnectionForced, "%s", reason))
	}
	return noContent, nil
}

// reasonBytesMax leaves room for the code's name in a reply text of 255 bytes.
const reasonBytesMax = 200

// named are the connections of the name in the path: one, unless they came
// without addresses of their own.
func (s *Server) named(q *request) (found []*broker.ConnStatus, err error) {
	for _, p := range s.o.Broker.Peers() {
		if connectionName(&p.Identity) == q.PathValue("name") {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0:
		return nil, errNotFound
	case !q.who.owns(found[0].User):
		return nil, errNotYours
	}
	return found, nil
}

func (s *Server) connectionView(p *broker.ConnStatus) *connectionView {
	v := &connectionView{
		Name: connectionName(&p.Identity), VHost: p.Conn.VHost(), User: p.User, Node: s.o.Node, Type: "network",
		Protocol: protocolName(p.Protocol), State: "running", Channels: p.Channels,
		SSL: p.Terms.TLS, Mechanism: p.Terms.Mechanism, FrameMax: p.Terms.FrameMax, ChannelMax: p.Terms.ChannelMax,
		Timeout: int(p.Terms.Heartbeat.Seconds()), Client: map[string]any{}, UserName: p.Name, ClientID: p.Client,
		By: p.User, RecvOctets: p.OctetsIn, RecvCount: p.ReadsIn, SendOctets: p.OctetsOut, SendCount: p.WritesOut,
		MessagesIn: p.In, BytesIn: p.InBytes, MessagesOut: p.Out, BytesOut: p.OutBytes,
	}
	if p.Blocked {
		v.State = "blocked"
	}
	v.PeerHost, v.PeerPort = hostPort(p.Peer)
	v.Host, v.Port = hostPort(p.Identity.Host)
	if at, _ := s.o.Broker.WallTime(p.Conn.Opened()); !at.IsZero() {
		v.Connected = at.UnixMilli()
	}
	if about, _, err := amqp.ParseTable(p.About); err == nil {
		v.Client = object(about)
	}
	if p.Client != "" {
		v.Client["client_id"] = p.Client
	}
	return v
}

// connectionName names a connection as RabbitMQ does, by its two ends. Where
// these are no addresses, as over a Unix socket, the client's own name tells it
// from others.
func connectionName(who *broker.Identity) string {
	name := who.Peer + " -> " + who.Host
	if _, err := netip.ParseAddrPort(who.Peer); err != nil {
		name += " " + who.Client + who.Name
	}
	return name
}

// protocolName is a protocol as RabbitMQ spells it.
func protocolName(p string) string {
	version, ok := strings.CutPrefix(p, "MQTT ")
	switch {
	case !ok:
		return p
	case version == "5":
		return "MQTT 5-0"
	}
	return "MQTT " + strings.ReplaceAll(version, ".", "-")
}

// detailsView is how other things name their connection.
type detailsView struct {
	Name     string `json:"name"`
	PeerHost string `json:"peer_host"`
	PeerPort int    `json:"peer_port"`
}

// details names a connection; the product's own are named by what they are.
func details(c *broker.Conn) detailsView {
	who := c.Identity()
	if who.Peer == "" {
		return detailsView{Name: strings.TrimSpace(who.Protocol + " " + who.Client)}
	}
	v := detailsView{Name: connectionName(&who)}
	v.PeerHost, v.PeerPort = hostPort(who.Peer)
	return v
}

// channelName is a channel's name: its connection's, and its number.
func channelName(connection string, number int) string {
	return connection + " (" + strconv.Itoa(number) + ")"
}
