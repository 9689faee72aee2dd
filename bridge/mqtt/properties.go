package mqtt

import (
	"strconv"
	"time"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

const (
	// userPropertiesMax and propertiesBytesMax bound what a message may carry:
	// the headers of a stored message have a limit of their own, and AMQP
	// clients get all of them in one frame.
	userPropertiesMax  = 1000
	propertiesBytesMax = 32 << 10
)

// tooMuch reports a property list that is beyond these bounds.
func tooMuch(p mqttwire.Properties) bool {
	if len(p) > propertiesBytesMax {
		return true
	}
	users := 0
	for range p.UserProperties {
		users++
	}
	return users > userPropertiesMax
}

// bare reports a list that says nothing of the message itself.
func bare(p mqttwire.Properties) bool {
	for entry := range p.Each {
		if entry.ID != mqttwire.TopicAlias && entry.ID != mqttwire.WillDelay {
			return false
		}
	}
	return true
}

// constantProperties are the lists of messages that have nothing but flags: by
// QoS, and whether retained.
type constantProperties [3][2]amqp.Properties

func newConstantProperties() (c constantProperties) {
	for qos := range c {
		c[qos][0] = bridge.PropertiesFromMQTT(nil, byte(qos), false, bridge.Told{})
		c[qos][1] = bridge.PropertiesFromMQTT(nil, byte(qos), true, bridge.Told{})
	}
	return c
}

func (c *constantProperties) of(qos byte, retain bool) amqp.Properties {
	if retain {
		return c[qos][1]
	}
	return c[qos][0]
}

// remaining is the seconds that a message has left to live. forever means that
// it has no expiry, or none that can be read; expired that its time is over.
func (d *Door) remaining(m *amqp.Message) (seconds uint32, forever, expired bool) {
	if !m.Props.Has(amqp.HasExpiration) {
		return 0, true, false
	}
	ms, err := strconv.ParseUint(m.Props.Expiration(), 10, 63)
	if err != nil || ms > 1000*expiryNever {
		return 0, true, false
	}
	left := time.Duration(ms)*time.Millisecond - d.age(m.Stamp)
	if left < 0 {
		return 0, false, true
	}
	// Up, and never to 0: the client would drop what we just sent.
	return max(1, uint32((left+time.Second-1)/time.Second)), false, false
}

// age is how long ago a message came. Time between boots counts when the clocks
// of both can be trusted; else what this boot has lasted is all we know.
func (d *Door) age(s amqp.Stamp) time.Duration {
	now := amqp.Stamp{Boot: d.Broker.Boot(), At: d.Now()}
	if s.Boot == now.Boot {
		return time.Duration(now.At - s.At)
	}
	then, known := d.Broker.WallTime(s)
	today, knownToday := d.Broker.WallTime(now)
	if !known || !knownToday {
		return time.Duration(now.At)
	}
	return today.Sub(then)
}

// publishedBy tells whether the client published the message itself, as far
// as the message says so.
func publishedBy(p amqp.Properties, client string) bool {
	v, _ := p.Header(bridge.HeaderPublisher)
	name, ok := v.(string)
	return ok && name == client
}

func wasRetained(p amqp.Properties) bool {
	v, _ := p.Header(bridge.HeaderRetain)
	retain, _ := v.(bool)
	return retain
}
