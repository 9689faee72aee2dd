package mqtt

import (
	"strings"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// incoming is the PUBLISHes and acknowledgements of one read of the socket, and
// what is remembered of the topics they name. It is the reader's.
type incoming struct {
	batch   []received
	out     []broker.Publish
	settled []broker.Settlement
	marks   []broker.Mark
	owed    []promise           // true when settled and marks are safe
	done    []uint16            // packet identifiers of QoS 2 that PUBCOMP was for
	taken   map[uint16]struct{} // QoS 2: between PUBLISH and PUBREL; nil until there is one

	topics  map[string]*topic
	aliases []string // topics by alias: topicAliasMax, when the client sets one
}

// received is a PUBLISH. Payload and properties are views into the reader's
// buffer.
type received struct {
	topic   *topic
	id      uint16 // 0 with QoS 0
	qos     byte
	retain  bool
	props   mqttwire.Properties
	payload []byte
}

// topic is a topic name that was checked, with its routing key.
type topic struct {
	key      string
	long     string // the topic, if the key is longer than AMQP 0-9-1 can show
	exchange string // where it lives
	echoes   bool   // the client's own no-local subscriptions match: messages are marked
	ours     bool   // the server's own: clients may not publish to it
}

const (
	topicsMax = 64  // topics remembered for a connection
	batchMax  = 256 // messages taken to the core at once
	batchKeep = 16  // of whose memory an idle connection keeps
)

// topicOf finds a topic by its name, which is not empty.
func (c *conn) topicOf(name []byte) (*topic, error) {
	if t := c.incoming.topics[string(name)]; t != nil {
		return t, nil
	}
	return c.topicNamed(string(name))
}

// topicNamed is the same for a name that is a text already.
func (c *conn) topicNamed(name string) (*topic, error) {
	in := &c.incoming
	if t := in.topics[name]; t != nil {
		return t, nil
	}
	text := c.door.Dots.Seen(name)
	switch {
	case strings.HasPrefix(text, "$share/"): // 5.0, section 4.8.2: a prefix of filters
		return nil, refusal(mqttwire.TopicNameInvalid, "topic %q", text)
	case levels(text) > topicLevelsMax:
		return nil, refusal(mqttwire.TopicNameInvalid, "topic of %d levels, at most %d are taken", levels(text), topicLevelsMax)
	}
	t := &topic{
		key:      c.door.Dots.Key(text),
		exchange: c.door.exchangeOf(text),
		echoes:   c.subs.Load().echoes(text),
		ours:     text == "$SYS" || strings.HasPrefix(text, "$SYS/"),
	}
	t.long = c.door.longTopic(text, t.key, c.client)
	if in.topics == nil || len(in.topics) >= topicsMax {
		in.topics = make(map[string]*topic)
	}
	in.topics[name] = t
	return t, nil
}

// forget: the subscriptions have changed, and with them which topics echo. What
// an alias stands for is looked up each time.
func (in *incoming) forget() { clear(in.topics) }

// resolve finds the topic of a PUBLISH, by name or by alias (5.0, section
// 3.3.2.3.4).
func (c *conn) resolve(p *mqttwire.Publish) (*topic, error) {
	in := &c.incoming
	alias, ok := p.Props.Uint32(mqttwire.TopicAlias)
	if !ok {
		return c.topicOf(p.Topic)
	}
	if alias > topicAliasMax {
		return nil, refusal(mqttwire.TopicAliasInvalid, "topic alias %d, at most %d was offered", alias, topicAliasMax)
	}
	if in.aliases == nil {
		in.aliases = make([]string, topicAliasMax)
	}
	at := &in.aliases[alias-1]
	switch {
	case len(p.Topic) > 0 && *at != string(p.Topic):
		*at = string(p.Topic)
	case *at == "":
		return nil, refusal(mqttwire.ProtocolError, "topic alias %d stands for no topic yet", alias)
	}
	return c.topicNamed(*at)
}

// messages makes the batch ready for the core. The bodies are copied into one
// piece of memory and the messages are another; a retained message has its own,
// since it may stay when its neighbours have long gone.
func (c *conn) messages() []broker.Publish {
	in := &c.incoming
	size, count := 0, 0
	for i := range in.batch {
		if r := &in.batch[i]; !r.retain {
			size += len(r.payload)
			count++
		}
	}
	slab := make([]byte, 0, size)
	msgs := make([]amqp.Message, count)
	in.out = in.out[:0]
	for i := range in.batch {
		r := &in.batch[i]
		var m *amqp.Message
		if r.retain {
			m = &amqp.Message{Body: append([]byte(nil), r.payload...)}
		} else {
			m, msgs = &msgs[0], msgs[1:]
			start := len(slab)
			slab = append(slab, r.payload...)
			m.Body = slab[start:len(slab):len(slab)]
		}
		m.Exchange, m.Key, m.Props = r.topic.exchange, r.topic.key, c.properties(r)
		p := broker.Publish{Msg: m, Retain: r.retain}
		if r.qos == 2 && c.session.durable {
			p.Mark = c.mark(markTaken, r.id, false)
		}
		in.out = append(in.out, p)
	}
	return in.out
}

// properties gives a message its properties; most have none but the flags.
func (c *conn) properties(r *received) amqp.Properties {
	told := bridge.Told{Topic: r.topic.long, Path: c.node, Dots: c.door.Dots}
	if r.topic.echoes || c.door.NamePublisher {
		told.Publisher = c.client
	}
	if told.Topic+told.Publisher == "" && bare(r.props) {
		return c.door.constant.of(r.qos, r.retain)
	}
	return bridge.PropertiesFromMQTT(r.props, r.qos, r.retain, told)
}

// take notes a packet identifier of QoS 2.
func (in *incoming) take(id uint16) {
	if in.taken == nil {
		in.taken = make(map[uint16]struct{})
	}
	in.taken[id] = struct{}{}
}

// clear forgets the batch.
func (in *incoming) clear() {
	if cap(in.batch) > batchKeep && len(in.batch) <= batchKeep {
		in.batch, in.out = nil, nil
		return
	}
	clear(in.batch)
	clear(in.out)
	in.batch, in.out = in.batch[:0], in.out[:0]
}
