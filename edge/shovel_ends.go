package edge

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"leveret/bridge"
	"leveret/bridge/remote/amqp091"
	"leveret/bridge/remote/mqtt"
	"leveret/bridge/shovel"
	"leveret/edge/config"
)

// checked makes what is wanted of a configuration, or says why it cannot be.
func (a *App) checked(list []config.Shovel) (map[string]wantedShovel, error) {
	wanted := make(map[string]wantedShovel)
	for _, c := range list {
		source, err := a.shovelSource(c)
		if err != nil {
			return nil, fmt.Errorf("shovel %q: source: %w", c.Name, err)
		}
		target, err := a.shovelTarget(c)
		if err != nil {
			return nil, fmt.Errorf("shovel %q: target: %w", c.Name, err)
		}
		wanted[c.Name] = wantedShovel{c, source, target}
	}
	return wanted, nil
}

func (a *App) shovelSource(c config.Shovel) (bridge.Source, error) {
	from := c.Source
	if from.Here() {
		return &shovel.LocalQueue{Broker: a.broker, VHost: from.VHost, Queue: from.Queue, Node: a.broker.Node(), Name: c.Name}, nil
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

func (a *App) shovelTarget(c config.Shovel) (bridge.Target, error) {
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
		Exchange: to.Exchange, Key: to.Key,
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
