package amqptest

import (
	"encoding/binary"
	"strings"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

// Conversation is what peers send and hear. Each peer is logged in, as guest
// where nothing else is said, and has channel 1 open, unless it is Fresh: then
// it has only connected.
type Conversation struct {
	Name  string
	User  string // of all peers; the password is Password
	Fresh bool
	Turns []Turn
}

// Turn is what one peer sends, and all that it hears before the next turn.
type Turn struct {
	Peer  int // counted from 0
	Steps []any
	Want  string
}

// Password is that of all users but guest.
const Password = "limited"

// Refuses reports whether the broker refuses something in it.
func (c *Conversation) Refuses() bool {
	return c.contains("channel.close ") || c.contains("connection.close ") || c.contains("basic.nack") || c.contains("basic.return")
}

// Ends reports whether the first peer's connection ends with it.
func (c *Conversation) Ends() bool { return c.contains("0 connection.close") }

func (c *Conversation) contains(what string) bool {
	for _, t := range c.Turns {
		if strings.Contains(t.Want, what) {
			return true
		}
	}
	return false
}

// Play has the conversation with a broker. dial gives a peer that is logged in
// as the user and has channel 1 open, or has only connected for ""; settled
// returns when a peer has heard so many lines and nobody says more.
func (c *Conversation) Play(dial func(user string) *Peer, settled func(p *Peer, lines int)) (heard []string, peers []*Peer) {
	user := c.User
	if user == "" && !c.Fresh {
		user = "guest"
	}
	for _, t := range c.Turns {
		for len(peers) <= t.Peer {
			peers = append(peers, dial(user))
		}
		p := peers[t.Peer]
		p.Do(t.Steps...)
		lines := 0
		if want := Unindent(t.Want); want != "" {
			lines = strings.Count(want, "\n") + 1
		}
		settled(p, lines)
		heard = append(heard, strings.Join(p.Take(), "\n"))
	}
	return heard, peers
}

// Names are the queues and exchanges that a conversation may leave behind.
func (c *Conversation) Names() (queues, exchanges []string) {
	var look func(steps []any)
	look = func(steps []any) {
		for _, s := range steps {
			switch s := s.(type) {
			case []any:
				look(s)
			case On:
				look([]any{s.Method})
			case *wire091.QueueDeclare:
				queues = append(queues, s.Queue)
			case *wire091.ExchangeDeclare:
				exchanges = append(exchanges, s.Exchange)
			}
		}
	}
	for _, t := range c.Turns {
		look(t.Steps)
	}
	return queues, exchanges
}

// talk is a conversation of one peer and one turn.
type talk struct {
	name  string
	steps []any
	want  string
}

// All are the conversations, by subject.
func All() (all []Conversation) {
	for _, t := range []struct {
		subject string
		talks   []talk
		fresh   bool
	}{
		{"handshake", handshakeTalk, true},
		{"channel", channelTalk, false},
		{"exchange", exchangeTalk, false},
		{"queue", queueTalk, false},
		{"arguments", argumentsTalk, false},
		{"basic", basicTalk, false},
		{"publish", publishTalk, false},
		{"reply", replyTalk, false},
		{"tx", txTalk, false},
		{"frames", framesTalk, false},
		{"dead letters", deadLetterTalk, false},
		{"delivery", deliveryTalk, false},
		{"routing", routingTalk, false},
	} {
		for _, x := range t.talks {
			all = append(all, Conversation{Name: t.subject + "/" + x.name, Fresh: t.fresh, Turns: []Turn{{0, x.steps, x.want}}})
		}
	}
	for _, a := range accessTalk {
		all = append(all, Conversation{Name: "access/" + a.user + " " + a.name, User: a.user, Turns: []Turn{{0, a.steps, a.want}}})
	}
	for _, c := range betweenTalk {
		c.Name = "between peers/" + c.Name
		all = append(all, c)
	}
	return all
}

func steps(s ...any) []any { return s }

// Declare, Consume and Get are methods with what is mostly said.
func Declare(queue string) *wire091.QueueDeclare { return &wire091.QueueDeclare{Queue: queue} }

func Consume(queue, tag string) *wire091.BasicConsume {
	return &wire091.BasicConsume{Queue: queue, ConsumerTag: tag}
}

func declareWith(queue string, fields ...any) *wire091.QueueDeclare {
	return &wire091.QueueDeclare{Queue: queue, Arguments: args(fields...)}
}

func durableWith(queue string, fields ...any) *wire091.QueueDeclare {
	return &wire091.QueueDeclare{Queue: queue, Durable: true, Arguments: args(fields...)}
}

// args makes a table of keys and values.
func args(fields ...any) (t amqp.Table) {
	for i := 0; i+1 < len(fields); i += 2 {
		t = append(t, amqp.Field{Key: fields[i].(string), Value: fields[i+1]})
	}
	return t
}

// Persistent properties have a message kept on the disk.
var Persistent = amqp.PropertyList{DeliveryMode: 2}

// Rejecting is a queue for one message that refuses more.
var Rejecting = declareWith("q", "x-max-length", int32(1), "x-overflow", "reject-publish")

const (
	replyTo  = "amq.rabbitmq.reply-to"
	declared = "1 queue.declare-ok q 0 0\n"
)

// What a handshake says.
var (
	Header091 = []byte("AMQP\x00\x00\x09\x01")
	TuneOk    = &wire091.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 0}
	OpenVHost = &wire091.ConnectionOpen{VirtualHost: "/"}
)

// StartOk logs in with PLAIN.
func StartOk(user, password string) *wire091.ConnectionStartOk {
	return plain("\x00" + user + "\x00" + password)
}

func plain(response string) *wire091.ConnectionStartOk {
	return &wire091.ConnectionStartOk{ClientProperties: ClientProperties, Mechanism: "PLAIN", Response: response, Locale: "en_US"}
}

// ClientProperties are those of a client that knows everything.
var ClientProperties = amqp.Table{
	{Key: "product", Value: "script"},
	{Key: "capabilities", Value: amqp.Table{
		{Key: "authentication_failure_close", Value: true},
		{Key: "consumer_cancel_notify", Value: true},
		{Key: "connection.blocked", Value: true},
	}},
}

// Frame is any frame, right or wrong.
func Frame(kind uint8, channel uint16, payload string) []byte {
	b := wire091.AppendFrameHeader(nil, kind, channel, len(payload))
	return append(append(b, payload...), wire091.FrameEnd)
}

// Header is a content header without properties.
func Header(channel, class uint16, size uint64) []byte {
	b := binary.BigEndian.AppendUint16(nil, class)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint64(b, size)
	return Frame(wire091.FrameHeader, channel, string(append(b, 0, 0)))
}

// Body is a piece of a body.
func Body(channel uint16, s string) []byte { return Frame(wire091.FrameBody, channel, s) }
