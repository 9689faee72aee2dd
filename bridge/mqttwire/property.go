package mqttwire

import (
	"encoding/binary"
	"fmt"
)

// PropertyID names a property (section 2.2.2.2).
type PropertyID byte

const (
	PayloadFormat              PropertyID = 0x01
	MessageExpiry              PropertyID = 0x02 // seconds
	ContentType                PropertyID = 0x03
	ResponseTopic              PropertyID = 0x08
	CorrelationData            PropertyID = 0x09
	SubscriptionID             PropertyID = 0x0B
	SessionExpiry              PropertyID = 0x11 // seconds
	AssignedClientID           PropertyID = 0x12
	ServerKeepAlive            PropertyID = 0x13 // seconds
	AuthenticationMethod       PropertyID = 0x15
	AuthenticationData         PropertyID = 0x16
	RequestProblemInformation  PropertyID = 0x17
	WillDelay                  PropertyID = 0x18 // seconds
	RequestResponseInformation PropertyID = 0x19
	ResponseInformation        PropertyID = 0x1A
	ServerReference            PropertyID = 0x1C
	ReasonString               PropertyID = 0x1F
	ReceiveMaximum             PropertyID = 0x21
	TopicAliasMaximum          PropertyID = 0x22
	TopicAlias                 PropertyID = 0x23
	MaximumQoS                 PropertyID = 0x24
	RetainAvailable            PropertyID = 0x25
	UserProperty               PropertyID = 0x26
	MaximumPacketSize          PropertyID = 0x27
	WildcardSubscriptionsOffer PropertyID = 0x28 // Wildcard Subscription Available
	SubscriptionIDsOffer       PropertyID = 0x29 // Subscription Identifier Available
	SharedSubscriptionsOffer   PropertyID = 0x2A // Shared Subscription Available

	propertyIDMax = SharedSubscriptionsOffer
)

// place is where a property list stands: a packet type, or one of these.
type place byte

const (
	inWill             place = 0
	inServerPublish    place = 16 // PUBLISH from server to client
	inServerDisconnect place = 17
)

// form is how a property's value is encoded.
type form byte

const (
	noForm form = iota
	formU8
	formU16
	formU32
	formVarint
	formText
	formBinary
	formPair
)

// Sets of places.
const (
	will             = 1 << inWill
	connect          = 1 << TypeConnect
	connack          = 1 << TypeConnack
	publish          = 1<<TypePublish | 1<<inServerPublish
	toSubscriber     = 1 << inServerPublish
	subscribe        = 1 << TypeSubscribe
	clientDisconnect = 1 << TypeDisconnect
	serverDisconnect = 1 << inServerDisconnect
	auth             = 1 << TypeAuth
	answers          = connack | 1<<TypePuback | 1<<TypePubrec | 1<<TypePubrel | 1<<TypePubcomp |
		1<<TypeSuback | 1<<TypeUnsuback | clientDisconnect | serverDisconnect | auth
	anywhere = 1<<18 - 1 // no packet without properties is ever checked
)

// propertyRules say what a property looks like and where it may stand.
var propertyRules = [propertyIDMax + 1]struct {
	name   string
	form   form
	places uint32
}{
	PayloadFormat:              {"payload format indicator", formU8, publish | will},
	MessageExpiry:              {"message expiry interval", formU32, publish | will},
	ContentType:                {"content type", formText, publish | will},
	ResponseTopic:              {"response topic", formText, publish | will},
	CorrelationData:            {"correlation data", formBinary, publish | will},
	SubscriptionID:             {"subscription identifier", formVarint, toSubscriber | subscribe},
	SessionExpiry:              {"session expiry interval", formU32, connect | connack | clientDisconnect},
	AssignedClientID:           {"assigned client identifier", formText, connack},
	ServerKeepAlive:            {"server keep alive", formU16, connack},
	AuthenticationMethod:       {"authentication method", formText, connect | connack | auth},
	AuthenticationData:         {"authentication data", formBinary, connect | connack | auth},
	RequestProblemInformation:  {"request problem information", formU8, connect},
	WillDelay:                  {"will delay interval", formU32, will},
	RequestResponseInformation: {"request response information", formU8, connect},
	ResponseInformation:        {"response information", formText, connack},
	ServerReference:            {"server reference", formText, connack | serverDisconnect},
	ReasonString:               {"reason string", formText, answers},
	ReceiveMaximum:             {"receive maximum", formU16, connect | connack},
	TopicAliasMaximum:          {"topic alias maximum", formU16, connect | connack},
	TopicAlias:                 {"topic alias", formU16, publish},
	MaximumQoS:                 {"maximum QoS", formU8, connack},
	RetainAvailable:            {"retain available", formU8, connack},
	UserProperty:               {"user property", formPair, anywhere},
	MaximumPacketSize:          {"maximum packet size", formU32, connect | connack},
	WildcardSubscriptionsOffer: {"wildcard subscription available", formU8, connack},
	SubscriptionIDsOffer:       {"subscription identifier available", formU8, connack},
	SharedSubscriptionsOffer:   {"shared subscription available", formU8, connack},
}

// String is the property's name in the specification.
func (id PropertyID) String() string {
	if id <= propertyIDMax && propertyRules[id].name != "" {
		return propertyRules[id].name
	}
	return fmt.Sprintf("property 0x%02x", byte(id))
}

func (id PropertyID) form() form {
	if id > propertyIDMax {
		return noForm
	}
	return propertyRules[id].form
}

// Property is one entry of a list. Numbers of all widths are in Number, texts
// and binary data in Value; a user property has Name and Value.
type Property struct {
	ID     PropertyID
	Number uint32
	Name   []byte
	Value  []byte
}

// read reads the value of p.ID from b and answers what comes after it.
func (p *Property) read(b []byte) (rest []byte, ok bool) {
	switch p.ID.form() {
	case formU8:
		return p.readNumber(b, 1)
	case formU16:
		return p.readNumber(b, 2)
	case formU32:
		return p.readNumber(b, 4)
	case formVarint:
		value, n := varint(b)
		if n <= 0 || n > varintLen(value) { // [MQTT-1.5.5-1]
			return nil, false
		}
		p.Number = uint32(value)
		return b[n:], true
	case formText, formBinary:
		p.Value, rest, ok = cutBinary(b)
		return rest, ok
	case formPair:
		p.Name, rest, ok = cutBinary(b)
		if !ok {
			return nil, false
		}
		p.Value, rest, ok = cutBinary(rest)
		return rest, ok
	}
	return nil, false
}

func (p *Property) readNumber(b []byte, width int) (rest []byte, ok bool) {
	if len(b) < width {
		return nil, false
	}
	for _, octet := range b[:width] {
		p.Number = p.Number<<8 | uint32(octet)
	}
	return b[width:], true
}

func cutBinary(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n:n], b[n:], true
}

// check checks the value itself.
func (p *Property) check() *Error {
	switch form := p.ID.form(); {
	case form == formText && !ValidText(view(p.Value)),
		form == formPair && !(ValidText(view(p.Name)) && ValidText(view(p.Value))):
		return errorf(MalformedPacket, "%s is not UTF-8 without U+0000", p.ID)
	case form == formU8 && p.Number > 1: // they all are booleans of a kind
		return errorf(ProtocolError, "%s %d", p.ID, p.Number)
	}
	switch p.ID {
	case ReceiveMaximum, MaximumPacketSize, SubscriptionID:
		if p.Number == 0 {
			return errorf(ProtocolError, "%s 0", p.ID)
		}
	case TopicAlias:
		if p.Number == 0 {
			return errorf(TopicAliasInvalid, "topic alias 0")
		}
	case ResponseTopic:
		if !ValidTopic(view(p.Value)) {
			return errorf(TopicNameInvalid, "response topic %q", p.Value)
		}
	}
	return nil
}
