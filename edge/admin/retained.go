package admin

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"leveret/amqp"
	"leveret/amqp/broker"
)

// payloadBytesMax bounds the values of one answer: what comes after is listed
// without its value. The first is always there, so that each can be had by a
// filter that is its topic.
const payloadBytesMax = 1 << 20

type retainedView struct {
	Topic      string     `json:"topic"` // as MQTT clients see it
	Exchange   string     `json:"exchange"`
	Key        string     `json:"routing_key"`
	VHost      string     `json:"vhost"`
	Bytes      int        `json:"payload_bytes"`
	Payload    *string    `json:"payload,omitempty"`
	Encoding   string     `json:"payload_encoding,omitempty"` // string, base64
	Type       string     `json:"content_type,omitempty"`
	Time       *time.Time `json:"timestamp"`                  // when it came; null is unknown
	Unsure     bool       `json:"timestamp_unsure,omitempty"` // the clock was not known to be right
	Persistent bool       `json:"persistent"`

	body []byte
}

func (v *retainedView) title() string { return v.Topic }

// retained are the last values whose topics match an MQTT filter (filter, all by
// default), in pages, as far as the user may read them.
func (s *Server) retained(q *request) (any, error) {
	if _, err := q.within(s); err != nil {
		return nil, err
	}
	filter := q.URL.Query().Get("filter")
	if filter == "" {
		filter = "#"
	}
	pattern := s.o.Dots.Pattern(filter)
	vhosts := s.o.Broker.VHosts()
	if one := q.PathValue("vhost"); one != "" {
		vhosts = []string{one}
	}
	var list []*retainedView
	for _, vhost := range vhosts {
		values, err := s.readable(q, vhost, pattern)
		if err != nil && q.PathValue("vhost") != "" {
			return nil, err
		}
		for _, m := range values {
			list = append(list, s.retainedView(vhost, m))
		}
	}
	want := q.URL.Query()
	if !want.Has("page") {
		want.Set("page", "1")
		q.URL.RawQuery = want.Encode()
	}
	budget := payloadBytesMax
	return listed(q, list, func(one view) {
		v := one.(*retainedView)
		if budget == payloadBytesMax || len(v.body) <= budget {
			budget -= len(v.body)
			v.show()
		}
	})
}

// readable are the values that the user may read.
func (s *Server) readable(q *request, vhost, pattern string) ([]*amqp.Message, error) {
	who := q.who.identity()
	rights, err := who.Enter(vhost)
	if err != nil {
		return nil, err
	}
	topics, limited := rights.(broker.TopicAccess)
	values, err := s.o.Broker.RetainedValues(vhost, pattern)
	if err != nil {
		return nil, err
	}
	exchange := q.PathValue("exchange")
	kept := values[:0]
	for _, m := range values {
		if exchange != "" && m.Exchange != exchange && (m.Exchange != "" || exchange != defaultExchange) {
			continue
		}
		if rights.Allows(broker.Read, m.Exchange) && (!limited || topics.AllowsTopic(broker.Read, m.Exchange, m.Key)) {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

func (s *Server) retainedView(vhost string, m *amqp.Message) *retainedView {
	v := &retainedView{
		Topic: s.o.Dots.Topic(m.Key), Exchange: m.Exchange, Key: m.Key, VHost: vhost, Bytes: len(m.Body),
		Type: m.Props.ContentType(), Persistent: m.Persistent(), body: m.Body,
	}
	if at, sure := s.o.Broker.WallTime(m.Stamp); !at.IsZero() {
		at = at.UTC().Truncate(time.Millisecond)
		v.Time, v.Unsure = &at, !sure
	}
	return v
}

// show puts the value in, in base64 when it is no text.
func (v *retainedView) show() {
	text, encoding := string(v.body), "string"
	if !utf8.Valid(v.body) {
		text, encoding = base64.StdEncoding.EncodeToString(v.body), "base64"
	}
	v.Payload, v.Encoding = &text, encoding
}
