package mqtt

import (
	"fmt"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// publishing converts a message, or says why it cannot be one over there.
func (t *Target) publishing(m *bridge.Message, far *terms) (*paho.Publish, error) {
	topic := t.topic
	if topic == "" {
		topic = t.prefix + t.o.Dots.Topic(m.Key)
	}
	if !mqttwire.ValidTopic(topic) {
		return nil, fmt.Errorf("topic %q is none that MQTT allows", topic)
	}
	list, err := t.properties(m)
	if err != nil {
		return nil, fmt.Errorf("its properties do not fit into MQTT: %w", err)
	}
	out := mqttwire.PublishOut{QoS: 1, Topic: topic, PacketID: 1, Props: list, Payload: m.Body}
	if size := out.Size(mqttwire.V5); far.packetMax > 0 && size > far.packetMax {
		return nil, fmt.Errorf("packet too large: %d bytes, the far side takes %d", size, far.packetMax)
	}
	retain, _ := m.Props.Headers.Get(bridge.HeaderRetain)
	p := &paho.Publish{QoS: 1, Topic: topic, Payload: m.Body, Properties: &paho.PublishProperties{}}
	p.Retain = retain == true && far.retain // a far side without a store gets the message alone
	fill(p.Properties, list)
	return p, nil
}

// properties spells a message's properties, with our node at the end of its
// path and what is left of its time.
func (t *Target) properties(m *bridge.Message) (mqttwire.Properties, error) {
	props := m.Props
	if t.o.Node != "" {
		props.Headers = props.Headers.With(bridge.HeaderPath, string(bridge.PathOf(m).With(t.o.Node)))
	}
	var w mqttwire.PropertyWriter
	if seconds, ok := remaining(m); ok {
		w.Number(mqttwire.MessageExpiry, seconds)
	}
	bridge.AppendMQTTProperties(&w, props.Encode(), t.o.Dots)
	return w.Properties()
}

// remaining is the seconds that a message may still live, at least one: the far
// side would drop what we just sent.
func remaining(m *bridge.Message) (uint32, bool) {
	if m.Props.Flags&amqp.HasExpiration == 0 && m.Props.Expiration == "" {
		return 0, false
	}
	ms, err := strconv.ParseUint(m.Props.Expiration, 10, 41) // 41 bits of milliseconds fit into 32 of seconds
	if err != nil {
		return 0, false
	}
	left := time.Duration(ms) * time.Millisecond
	if !m.Arrived.IsZero() {
		left -= time.Since(m.Arrived)
	}
	return uint32(max(1, (left+time.Second-1)/time.Second)), true
}

// fill gives the library the properties in its own form.
func fill(to *paho.PublishProperties, list mqttwire.Properties) {
	for entry := range list.Each {
		switch entry.ID {
		case mqttwire.PayloadFormat:
			to.PayloadFormat = new(byte(entry.Number))
		case mqttwire.MessageExpiry:
			to.MessageExpiry = new(entry.Number)
		case mqttwire.ContentType:
			to.ContentType = string(entry.Value)
		case mqttwire.ResponseTopic:
			to.ResponseTopic = string(entry.Value)
		case mqttwire.CorrelationData:
			to.CorrelationData = append([]byte(nil), entry.Value...)
		case mqttwire.UserProperty:
			to.User.Add(string(entry.Name), string(entry.Value))
		}
	}
}
