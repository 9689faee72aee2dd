package mqttwire

import "fmt"

// ReasonCode is an MQTT 5 reason code (section 2.4). From 0x80 on it is a
// failure.
type ReasonCode byte

const (
	Success                           ReasonCode = 0x00 // also normal disconnection
	GrantedQoS0                       ReasonCode = 0x00
	GrantedQoS1                       ReasonCode = 0x01
	GrantedQoS2                       ReasonCode = 0x02
	DisconnectWithWill                ReasonCode = 0x04
	NoMatchingSubscribers             ReasonCode = 0x10
	NoSubscriptionExisted             ReasonCode = 0x11
	ContinueAuthentication            ReasonCode = 0x18
	ReAuthenticate                    ReasonCode = 0x19
	UnspecifiedError                  ReasonCode = 0x80
	MalformedPacket                   ReasonCode = 0x81
	ProtocolError                     ReasonCode = 0x82
	ImplementationSpecificError       ReasonCode = 0x83
	UnsupportedProtocolVersion        ReasonCode = 0x84
	ClientIDNotValid                  ReasonCode = 0x85
	BadUserNameOrPassword             ReasonCode = 0x86
	NotAuthorized                     ReasonCode = 0x87
	ServerUnavailable                 ReasonCode = 0x88
	ServerBusy                        ReasonCode = 0x89
	Banned                            ReasonCode = 0x8A
	ServerShuttingDown                ReasonCode = 0x8B
	BadAuthenticationMethod           ReasonCode = 0x8C
	KeepAliveTimeout                  ReasonCode = 0x8D
	SessionTakenOver                  ReasonCode = 0x8E
	TopicFilterInvalid                ReasonCode = 0x8F
	TopicNameInvalid                  ReasonCode = 0x90
	PacketIDInUse                     ReasonCode = 0x91
	PacketIDNotFound                  ReasonCode = 0x92
	ReceiveMaximumExceeded            ReasonCode = 0x93
	TopicAliasInvalid                 ReasonCode = 0x94
	PacketTooLarge                    ReasonCode = 0x95
	MessageRateTooHigh                ReasonCode = 0x96
	QuotaExceeded                     ReasonCode = 0x97
	AdministrativeAction              ReasonCode = 0x98
	PayloadFormatInvalid              ReasonCode = 0x99
	RetainNotSupported                ReasonCode = 0x9A
	QoSNotSupported                   ReasonCode = 0x9B
	UseAnotherServer                  ReasonCode = 0x9C
	ServerMoved                       ReasonCode = 0x9D
	SharedSubscriptionsNotSupported   ReasonCode = 0x9E
	ConnectionRateExceeded            ReasonCode = 0x9F
	MaximumConnectTime                ReasonCode = 0xA0
	SubscriptionIDsNotSupported       ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported ReasonCode = 0xA2
)

var reasonNames = map[ReasonCode]string{
	Success:                           "success",
	GrantedQoS1:                       "granted QoS 1",
	GrantedQoS2:                       "granted QoS 2",
	DisconnectWithWill:                "disconnect with will message",
	NoMatchingSubscribers:             "no matching subscribers",
	NoSubscriptionExisted:             "no subscription existed",
	ContinueAuthentication:            "continue authentication",
	ReAuthenticate:                    "re-authenticate",
	UnspecifiedError:                  "unspecified error",
	MalformedPacket:                   "malformed packet",
	ProtocolError:                     "protocol error",
	ImplementationSpecificError:       "implementation specific error",
	UnsupportedProtocolVersion:        "unsupported protocol version",
	ClientIDNotValid:                  "client identifier not valid",
	BadUserNameOrPassword:             "bad user name or password",
	NotAuthorized:                     "not authorized",
	ServerUnavailable:                 "server unavailable",
	ServerBusy:                        "server busy",
	Banned:                            "banned",
	ServerShuttingDown:                "server shutting down",
	BadAuthenticationMethod:           "bad authentication method",
	KeepAliveTimeout:                  "keep alive timeout",
	SessionTakenOver:                  "session taken over",
	TopicFilterInvalid:                "topic filter invalid",
	TopicNameInvalid:                  "topic name invalid",
	PacketIDInUse:                     "packet identifier in use",
	PacketIDNotFound:                  "packet identifier not found",
	ReceiveMaximumExceeded:            "receive maximum exceeded",
	TopicAliasInvalid:                 "topic alias invalid",
	PacketTooLarge:                    "packet too large",
	MessageRateTooHigh:                "message rate too high",
	QuotaExceeded:                     "quota exceeded",
	AdministrativeAction:              "administrative action",
	PayloadFormatInvalid:              "payload format invalid",
	RetainNotSupported:                "retain not supported",
	QoSNotSupported:                   "QoS not supported",
	UseAnotherServer:                  "use another server",
	ServerMoved:                       "server moved",
	SharedSubscriptionsNotSupported:   "shared subscriptions not supported",
	ConnectionRateExceeded:            "connection rate exceeded",
	MaximumConnectTime:                "maximum connect time",
	SubscriptionIDsNotSupported:       "subscription identifiers not supported",
	WildcardSubscriptionsNotSupported: "wildcard subscriptions not supported",
}

// String is the code's name.
func (c ReasonCode) String() string {
	if n, ok := reasonNames[c]; ok {
		return n
	}
	return fmt.Sprintf("reason 0x%02x", byte(c))
}

// Failed reports a code that refuses.
func (c ReasonCode) Failed() bool { return c >= 0x80 }

// ReturnCode is what a CONNACK of MQTT 3.1 and 3.1.1 says instead (3.1.1,
// section 3.2.2.3). Not ok means that those versions have no word for it: the
// connection is closed without a CONNACK.
func (c ReasonCode) ReturnCode() (code byte, ok bool) {
	switch c {
	case Success:
		return 0, true
	case UnsupportedProtocolVersion:
		return 1, true
	case ClientIDNotValid:
		return 2, true
	case ServerUnavailable, ServerBusy, UnspecifiedError, ImplementationSpecificError,
		QuotaExceeded, ConnectionRateExceeded, UseAnotherServer, ServerMoved:
		return 3, true
	case BadUserNameOrPassword:
		return 4, true
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return 5, true
	}
	return 0, false
}

// returnCodes are the reason codes that the return codes 0 to 5 stand for.
const returnCodes = "\x00\x84\x85\x88\x86\x87"

// The codes each packet may carry, as sets of bytes (section 2.4, table).
// DISCONNECT and AUTH differ by the side that sends; AUTH is checked by whoever
// knows the state of the exchange.
const (
	pubackReasons     = "\x00\x10\x80\x83\x87\x90\x91\x97\x99" // and PUBREC
	pubrelReasons     = "\x00\x92"                             // and PUBCOMP
	connackReasons    = "\x00\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8c\x90\x95\x97\x99\x9a\x9b\x9c\x9d\x9f"
	subackReasons     = "\x00\x01\x02\x80\x83\x87\x8f\x91\x97\x9e\xa1\xa2"
	subackReasons311  = "\x00\x01\x02\x80"
	subackReasons31   = "\x00\x01\x02"
	unsubackReasons   = "\x00\x11\x80\x83\x87\x8f\x91"
	clientDisconnects = "\x00\x04\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99"
	serverDisconnects = "\x00\x80\x81\x82\x83\x87\x89\x8b\x8d\x8e\x8f\x90\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1\xa2"
	authReasons       = "\x00\x18\x19"
)

// Error is a refusal: of what a peer sent, or of what we were about to send.
type Error struct {
	Code ReasonCode
	Text string // the explanation alone
}

func errorf(code ReasonCode, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Error is the code's name and the explanation.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Text }
