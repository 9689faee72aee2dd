package edge

import (
	"errors"
	"net"

	"leveret/amqp/broker"
	"leveret/amqp/front"
	"leveret/bridge"
	"leveret/bridge/mqtt"
	"leveret/edge/config"
	"leveret/edge/users"
)

// mqttOptions says to the MQTT door what the configuration says of it.
func (a *App) mqttOptions(c config.MQTT) mqtt.Options {
	o := mqtt.Options{
		Broker: a.broker, Authenticate: a.loginMQTT, Redirect: a.redirectMQTT, Now: a.clock.Now,
		Listeners: a.doors.mqttListeners, ConnectionsMax: c.ConnectionsMax, KeepQoS0: c.KeepQoS0, NamePublisher: c.PublisherHeader,
		KeepAliveMax: c.KeepAliveMax, AnyTakesOver: c.ClientIDTakeover == config.AnyUser,
		Version: a.version, Dots: a.dots,
		Log: a.log.With("door", "mqtt"),
	}
	for _, r := range c.Routes {
		o.Routes = append(o.Routes, mqtt.Route{Filter: r.Topic, Exchange: r.Exchange})
	}
	for _, k := range c.Classes {
		o.Classes = append(o.Classes, mqtt.Class{
			Name: k.Name, User: config.Pattern(k.User), Client: config.Pattern(k.Client),
			ConnectionsMax: k.ConnectionsMax, Limits: mqttLimits(k.MQTTLimits),
		})
	}
	// Last, and not the door's own, so that a 0 of a class is not filled in.
	o.Classes = append(o.Classes, mqtt.Class{Limits: mqttLimits(c.MQTTLimits)})
	return o
}

// topicDots is how topics are spelled as routing keys, by whoever does.
func topicDots(c *config.Config) bridge.Dots {
	if c.MQTT.TopicDots == config.RabbitDots {
		return bridge.DotsRabbit
	}
	return bridge.DotsExact
}

func mqttLimits(l config.MQTTLimits) mqtt.Limits {
	qosMax := byte(l.QoSMax)
	return mqtt.Limits{
		PacketBytesMax: int(l.PacketBytesMax), ReceiveMax: l.InflightMax, SubscriptionsMax: l.SubscriptionsMax,
		SessionExpiryMax: l.SessionExpiryMax, MessagesPerSecond: l.MessagesPerSecond, QoSMax: &qosMax,
		QueuedMax: l.QueuedMax, QueuedBytesMax: int64(l.QueuedBytesMax), Overflow: string(l.Overflow),
	}
}

// redirectMQTT says where MQTT clients are to go instead.
func (a *App) redirectMQTT() (server string, moved bool) {
	c := a.cfg.Load().MQTT
	return c.RedirectTo, c.Redirect == config.Moved
}

// anonymousName is who an MQTT client without a user name is.
const anonymousName = "anonymous"

var errAnonymous = errors.New("a user name is required")

// loginMQTT checks a client of the MQTT door, as admit does those of AMQP.
func (a *App) loginMQTT(l mqtt.Login) (string, broker.Access, error) {
	for {
		accounts := a.mqttUsers.Load()
		name, access, err := a.mqttUser(accounts, l)
		if err != nil {
			return name, nil, err
		}
		a.guests.is(l.Remote, name)
		if a.mqttUsers.Load() == accounts {
			return name, access, nil
		}
	}
}

func (a *App) mqttUser(accounts *mqttAccounts, l mqtt.Login) (string, broker.Access, error) {
	c := a.cfg.Load().MQTT
	if by := c.CertificateClientID; by != config.NoName && (l.Certificate == nil || nameIn(l.Certificate, by) != l.Client) {
		return "the certificate", nil, mqtt.ErrClientID
	}
	var u *users.User
	var err error
	switch {
	case l.Certificate != nil && c.CertificateLogin != config.NoName:
		u, err = accounts.book.Trust(nameIn(l.Certificate, c.CertificateLogin), addrOf(l.Remote))
	case l.Anonymous:
		return a.anonymousMQTT(accounts, l, c)
	default:
		u, err = accounts.book.Authenticate(l.User, l.Password, addrOf(l.Remote))
	}
	switch {
	case err != nil:
		return "", nil, err
	case !u.MayBeClient(l.Client, c.ClientIDs):
		return u.Name, nil, mqtt.ErrClientID
	}
	return u.Name, u, nil
}

// anonymousMQTT lets a client in that gave no name, if that is allowed.
func (a *App) anonymousMQTT(accounts *mqttAccounts, l mqtt.Login, c config.MQTT) (string, broker.Access, error) {
	switch {
	case c.Anonymous == config.AnonymousNever, c.Anonymous == config.AnonymousLoopback && !addrOf(l.Remote).IsLoopback():
		return "", nil, errAnonymous
	case !users.MayBeClient(anonymousName, l.Client, c.ClientIDs):
		return anonymousName, nil, mqtt.ErrClientID
	case accounts.acl != nil:
		return anonymousName, accounts.acl.For("", l.Client), nil
	}
	return anonymousName, nil, nil
}

// proxied makes a door's listener one behind a proxy, if it is.
func (a *App) proxied(door string, p config.Proxied, l net.Listener) net.Listener {
	if !p.ProxyProtocol || l.Addr().Network() == "unix" {
		return l
	}
	return front.Proxied(l, config.Networks(p.ProxyFrom), a.log.With("door", door))
}
