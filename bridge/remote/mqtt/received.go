package mqtt

import (
	"time"

	"github.com/eclipse/paho.golang/packets"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

const (
	// userPropertiesMax and userBytesMax bound what of a message's user
	// properties is taken along; what is beyond is left out, and HeaderCut says
	// so: a message that is too much for us would stop the others for ever.
	userPropertiesMax = 1000
	userBytesMax      = 32 << 10
)

// HeaderCut is true in a message that had more user properties than we take.
const HeaderCut = "x-leveret-cut"

// received converts a message. It may still need an id.
func received(p *packets.Publish, dots bridge.Dots) (bridge.Message, error) {
	var w mqttwire.PropertyWriter
	from := p.Properties
	if from.PayloadFormat != nil {
		w.Number(mqttwire.PayloadFormat, uint32(*from.PayloadFormat))
	}
	if from.MessageExpiry != nil {
		w.Number(mqttwire.MessageExpiry, *from.MessageExpiry)
	}
	if from.ContentType != "" {
		w.Text(mqttwire.ContentType, from.ContentType)
	}
	if from.ResponseTopic != "" {
		w.Text(mqttwire.ResponseTopic, from.ResponseTopic)
	}
	if len(from.CorrelationData) > 0 {
		w.Binary(mqttwire.CorrelationData, from.CorrelationData)
	}
	var own amqp.PropertyList // what stands for properties that MQTT has not
	var path string           // never left out: without it the message would go round
	bytes, cut := 0, false
	for i, u := range from.User {
		if u.Key == bridge.HeaderPath {
			if path == "" {
				path = u.Value
			}
			continue
		}
		if cut {
			continue
		}
		bytes += len(u.Key) + len(u.Value)
		if i >= userPropertiesMax || bytes > userBytesMax {
			cut = true
			continue
		}
		if !restore(&own, u) {
			w.User(u.Key, u.Value)
		}
	}
	list, err := w.Properties()
	if err != nil {
		return bridge.Message{}, err
	}
	props := bridge.PropertiesFromMQTT(list, p.QoS, p.Retain, bridge.Told{Dots: dots}).List()
	props.MessageID, props.Timestamp, props.Type, props.AppID = own.MessageID, own.Timestamp, own.Type, own.AppID
	props.Flags |= own.Flags
	if path != "" {
		props.Headers = props.Headers.With(bridge.HeaderPath, path)
	}
	if cut {
		props.Headers = props.Headers.With(HeaderCut, true)
	}
	return bridge.Message{
		Key: dots.Key(p.Topic), Props: props, Body: p.Payload, Redelivered: p.Duplicate, Arrived: time.Now(),
	}, nil
}

// restore takes a user property that stands for a property of AMQP: the way
// back of what is sent to MQTT. Of a repeated one the first counts.
func restore(to *amqp.PropertyList, u packets.User) bool {
	if len(u.Value) > 255 { // a short string
		return false
	}
	set := func(field *string) bool {
		if *field != "" {
			return false
		}
		*field = u.Value
		return true
	}
	switch u.Key {
	case bridge.UserMessageID:
		return set(&to.MessageID)
	case bridge.UserType:
		return set(&to.Type)
	case bridge.UserAppID:
		return set(&to.AppID)
	case bridge.UserTimestamp:
		at, err := time.Parse(time.RFC3339, u.Value)
		if err != nil || at.Unix() <= 0 || to.Timestamp != 0 {
			return false
		}
		to.Timestamp = amqp.Timestamp(at.Unix())
		to.Flags |= amqp.HasTimestamp
		return true
	}
	return false
}
