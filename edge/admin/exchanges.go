package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"

	"leveret/amqp/broker"
)

type exchangeView struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
}

func (v *exchangeView) title() string { return v.Name }

// defaultExchange is how paths name the exchange "".
const defaultExchange = "amq.default"

// exchanges are those of the vhosts that the caller sees, or of one.
func (s *Server) exchanges(q *request) (any, error) {
	in, err := q.within(s)
	if err != nil {
		return nil, err
	}
	var list []*exchangeView
	for _, x := range s.o.Broker.Exchanges() {
		if in(x.VHost) {
			list = append(list, viewExchange(x))
		}
	}
	return listed(q, list)
}

func (s *Server) exchange(q *request) (any, error) {
	x, err := s.exchangeOf(q)
	if err != nil {
		return nil, err
	}
	return viewExchange(x), nil
}

// exchangeOf is the exchange of the path.
func (s *Server) exchangeOf(q *request) (*broker.ExchangeStatus, error) {
	vhost, err := q.vhost(s)
	if err != nil {
		return nil, err
	}
	name := q.PathValue("name")
	if name == defaultExchange {
		name = ""
	}
	for _, x := range s.o.Broker.Exchanges() {
		if x.VHost == vhost && x.Name == name {
			return x, nil
		}
	}
	return nil, errNotFound
}

func viewExchange(x *broker.ExchangeStatus) *exchangeView {
	return &exchangeView{
		Name: x.Name, VHost: x.VHost, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal,
		Arguments: object(x.Args),
	}
}

type bindingView struct {
	Source      string         `json:"source"`
	VHost       string         `json:"vhost"`
	Destination string         `json:"destination"`
	Kind        string         `json:"destination_type"` // queue, exchange
	Key         string         `json:"routing_key"`
	Arguments   map[string]any `json:"arguments"`
	Properties  string         `json:"properties_key"` // tells it from others of the same ends
}

func (v *bindingView) title() string { return v.Destination }

// bindings are those of the vhosts that the caller sees, or of one.
func (s *Server) bindings(q *request) (any, error) {
	in, err := q.within(s)
	if err != nil {
		return nil, err
	}
	return s.bindingsThat(q, func(b *broker.BindingStatus) bool { return in(b.VHost) })
}

// bindingsFrom start at an exchange, bindingsTo end at it.
func (s *Server) bindingsFrom(q *request) (any, error) {
	x, err := s.exchangeOf(q)
	if err != nil {
		return nil, err
	}
	return s.bindingsThat(q, func(b *broker.BindingStatus) bool { return b.VHost == x.VHost && b.Source == x.Name })
}

func (s *Server) bindingsTo(q *request) (any, error) {
	x, err := s.exchangeOf(q)
	if err != nil {
		return nil, err
	}
	return s.bindingsThat(q, func(b *broker.BindingStatus) bool {
		return b.VHost == x.VHost && b.ToExchange && b.Destination == x.Name
	})
}

func (s *Server) bindingsOfQueue(q *request) (any, error) {
	st, err := s.queueOf(q)
	if err != nil {
		return nil, err
	}
	return s.bindingsThat(q, func(b *broker.BindingStatus) bool {
		return b.VHost == st.VHost && !b.ToExchange && b.Destination == st.Name
	})
}

func (s *Server) bindingsThat(q *request, wanted func(*broker.BindingStatus) bool) (any, error) {
	var list []*bindingView
	for _, b := range s.o.Broker.AllBindings() {
		if wanted(b) {
			list = append(list, viewBinding(b))
		}
	}
	return listed(q, list)
}

func viewBinding(b *broker.BindingStatus) *bindingView {
	v := &bindingView{
		Source: b.Source, VHost: b.VHost, Destination: b.Destination, Kind: "queue", Key: b.Key,
		Arguments: object(b.Args), Properties: propertiesKey(b),
	}
	if b.ToExchange {
		v.Kind = "exchange"
	}
	return v
}

// propertiesKey is "~" for a binding without a key, else the key, percent-encoded;
// a sum of the arguments follows if there are any.
func propertiesKey(b *broker.BindingStatus) string {
	key := url.PathEscape(b.Key)
	switch {
	case len(b.Args) > 0:
		sum := sha256.Sum256(b.Args.AppendTo(nil))
		return key + "~" + base64.RawURLEncoding.EncodeToString(sum[:12])
	case key == "":
		return "~"
	}
	return key
}
