package edge

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/remote/amqp091"
	"leveret/bridge/remote/mqtt"
	"leveret/bridge/shovel"
	"leveret/edge/config"
)

// checked makes what is wanted of a configuration, or says why it cannot be.
func (a *App) checked(list []config.Shovel) (map[string]wantedShovel, error) {
	wanted := make(map[string]wantedShovel)
	noted := slices.ContainsFunc(list, takesAMQP)
	for _, c := range list {
		source, err := a.shovelSource(c)
		if err != nil {
			return nil, fmt.Errorf("shovel %q: source: %w", c.Name, err)
		}
		target, err := a.shovelTarget(c, noted)
		if err != nil {
			return nil, fmt.Errorf("shovel %q: target: %w", c.Name, err)
		}
		wanted[c.Name] = wantedShovel{c, source, target, noted}
	}
	return wanted, nil
}

// takesAMQP reports a shovel from an AMQP broker elsewhere. Where there is one,
// what goes to such brokers says that it was here, in case it comes back; where
// there is none that would be bytes for nothing.
func takesAMQP(c config.Shovel) bool { return !c.Source.Here() && !c.Source.URI.IsMQTT() }

func (a *App) shovelSource(c config.Shovel) (bridge.Source, error) {
	from := c.Source
	if from.Here() {
		return &shovel.LocalQueue{Broker: a.broker, VHost: from.VHost, Queue: from.Queue, Node: a.broker.Node(), Name: c.Name}, nil
	}
	if !from.URI.IsMQTT() {
		return a.remoteQueue(c)
	}
	o, err := a.remoteMQTT(c.Name, &from.Remote)
	if err != nil {
		return nil, err
	}
	o.PacketBytesMax = int(from.PacketMax)
	if w := from.Will; w != nil {
		o.Will = &mqtt.Will{Topic: w.Topic, Payload: []byte(w.Payload), QoS: byte(w.QoS), Retain: w.Retain}
	}
	return mqtt.NewSource(mqtt.SourceOptions{Options: o, Topics: from.Topics, QoS: byte(from.QoS), SessionExpiry: from.SessionExpiry})
}

// remoteQueue is a queue of an AMQP broker elsewhere.
func (a *App) remoteQueue(c config.Shovel) (bridge.Source, error) {
	from := c.Source
	proof, err := verification(&from.Remote)
	if err != nil {
		return nil, err
	}
	o := amqp091.SourceOptions{
		Options: amqp091.Options{URL: from.URI.Reveal(), TLS: proof, Name: c.Name, Node: a.broker.Node()},
		Queue:   cmp.Or(from.Queue, a.clientID(c.Name)),
		Declare: from.Declare, Arguments: from.Arguments, Exchange: from.Exchange, Key: from.Key, Shared: !from.Exclusive,
		MessageBytesMax: a.broker.Limits().MessageBytesMax, Reject: rejects(&c), Log: a.log,
	}
	if from.StreamOffset != "" {
		o.StreamOffset = streamOffset(from.StreamOffset)
		a.offsets.follow(&c, &o)
	}
	return amqp091.NewSource(o)
}

// rejects reports whether the other broker may have back what can never be
// taken: it would throw it away if it had no dead letter exchange for it.
func rejects(c *config.Shovel) bool {
	switch c.OnRefusal {
	case config.RefusalDrop:
		return true
	case config.RefusalDeadLetter:
		_, declared := c.Source.Arguments.Get("x-dead-letter-exchange")
		return c.Source.DeadLetters || declared
	}
	return false
}

// streamOffset is the value that a broker of streams wants.
func streamOffset(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return amqp.Timestamp(at.Unix())
	}
	return text
}

func (a *App) shovelTarget(c config.Shovel, noted bool) (bridge.Target, error) {
	to := c.Target
	switch {
	case to.Here():
		return &shovel.LocalExchange{
			Broker: a.broker, VHost: to.VHost, Exchange: to.Exchange, Key: to.Key, Mandatory: to.Mandatory,
			Now: a.clock.Now, Name: c.Name,
		}, nil
	case to.URI.IsMQTT():
		o, err := a.remoteMQTT(c.Name, &to.Remote)
		if err != nil {
			return nil, err
		}
		return mqtt.NewTarget(mqtt.TargetOptions{Options: o, Topic: to.Topic, Prefix: to.Prefix})
	}
	proof, err := verification(&to.Remote)
	if err != nil {
		return nil, err
	}
	return amqp091.NewTarget(amqp091.TargetOptions{
		Options:  amqp091.Options{URL: to.URI.Reveal(), TLS: proof, Name: c.Name, Node: a.broker.Node()},
		Exchange: to.Exchange, Key: to.Key, Noted: noted,
	})
}

func (a *App) remoteMQTT(name string, r *config.Remote) (mqtt.Options, error) {
	proof, err := verification(r)
	return mqtt.Options{
		URL: r.URI.Reveal(), ClientID: cmp.Or(r.ClientID, a.clientID(name)), TLS: proof, KeepAlive: r.KeepAlive, Node: a.broker.Node(),
		Dots: a.dots,
	}, err
}

const clientNameMax = 160 // bytes of a shovel's name in a client id

// clientID is the MQTT session's name of a shovel: the same at each start of
// this broker, and another one at another broker.
func (a *App) clientID(name string) string {
	if len(name) > clientNameMax {
		name = strings.ToValidUTF8(name[:clientNameMax], "")
	}
	node := a.broker.Node()
	return "leveret-" + name + "-" + node[:min(len(node), 8)]
}

// verification is how a TLS connection proves who is who; nil leaves it to the
// system's roots.
func verification(r *config.Remote) (*tls.Config, error) {
	if r.CAFile+r.CertFile+r.ServerName == "" {
		return nil, nil
	}
	c := &tls.Config{ServerName: r.ServerName}
	if r.CAFile != "" {
		pem, err := os.ReadFile(filepath.Clean(r.CAFile))
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errNoCertificate
		}
	}
	if r.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
