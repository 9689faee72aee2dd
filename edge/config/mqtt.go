package config

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"leveret/edge/users"
)

// mqtt reads the table of the MQTT door.
func (d *decoder) mqtt(s *section, m *MQTT) {
	s.texts("listen", &m.Listen, true, checkSocket)
	s.mode("socket_mode", &m.SocketMode)
	choice(s, "anonymous", &m.Anonymous, AnonymousLoopback, AnonymousNever, AnonymousAlways)
	s.boolean("keep_qos0", &m.KeepQoS0)
	s.boolean("publisher_header", &m.PublisherHeader)
	choice(s, "topic_dots", &m.TopicDots, ExactDots, RabbitDots)
	s.texts("tls_listen", &m.TLSListen, true, checkAddress)
	s.texts("websocket_listen", &m.WebSocketListen, true, checkAddress)
	s.texts("websocket_tls_listen", &m.WebSocketTLSListen, true, checkAddress)
	s.texts("websocket_origins", &m.WebSocketOrigins, false, checkOrigin)
	d.certificates(s, &m.TLS, len(m.TLSListen)+len(m.WebSocketTLSListen) > 0)
	d.mqttLogins(s, m)
	s.integer("connections_max", &m.ConnectionsMax, 1, limitMost)
	s.duration("keep_alive_max", &m.KeepAliveMax, 0, keepAliveMost)
	d.mqttLimits(s, &m.MQTTLimits)
	d.named(s, "class", func(s *section) (in, name string) {
		k := d.mqttClass(s, m.MQTTLimits)
		m.Classes = append(m.Classes, k)
		return "", k.Name
	})
	s.each("route", func(s *section) { m.Routes = append(m.Routes, d.mqttRoute(s)) })
	d.proxied(s, &m.Proxied)
}

// mqttLogins reads who may come in, and as whom.
func (d *decoder) mqttLogins(s *section, m *MQTT) {
	pattern(s, "client_ids", &m.ClientIDs, users.CheckClientPattern)
	choice(s, "client_id_takeover", &m.ClientIDTakeover, SameUser, AnyUser)
	inCertificate(s, "certificate_login", &m.CertificateLogin, m.ClientCAFile)
	inCertificate(s, "certificate_client_id", &m.CertificateClientID, m.ClientCAFile)
	if s.text("redirect_to", &m.RedirectTo) && m.RedirectTo != "" {
		if host, port, err := net.SplitHostPort(m.RedirectTo); err != nil || host == "" || port == "" {
			s.bad("redirect_to", s.table.get("redirect_to").value, `must be another server, like "broker2.example:8883"`)
		}
	}
	choice(s, "redirect", &m.Redirect, Temporary, Moved)
	d.mosquitto(s, "password_file", &m.PasswordFile, func(r io.Reader) error { _, err := users.ReadMosquittoPasswords(r); return err })
	d.mosquitto(s, "acl_file", &m.ACLFile, func(r io.Reader) error { _, err := users.ReadMosquittoACL(r); return err })
}

// inCertificate reads what of a certificate counts.
func inCertificate(s *section, name string, to *ExternalLogin, clientCA string) {
	if choice(s, name, to, NoName, CommonName, DistinguishedName, SubjectAlternativeName) && *to != NoName && clientCA == "" {
		s.bad(name, s.table.get(name).value, "needs client_ca_file: without it no certificate is asked for")
	}
}

// mosquitto reads the name of a file of Mosquitto's. What is wrong in it is told
// with its own lines.
func (d *decoder) mosquitto(s *section, name string, to *string, check func(io.Reader) error) {
	if !d.file(s, name, to) {
		return
	}
	f, err := os.Open(*to)
	if err == nil {
		err = check(f)
		_ = f.Close()
	}
	if err != nil {
		s.bad(name, s.table.get(name).value, "%s: %s", *to, reason(err))
	}
}

// proxied reads who stands in front of a door.
func (d *decoder) proxied(s *section, p *Proxied) {
	s.boolean("proxy_protocol", &p.ProxyProtocol)
	s.texts("proxy_from", &p.ProxyFrom, true, func(network string) error {
		if _, err := netip.ParsePrefix(network); err != nil {
			return errNetwork
		}
		return nil
	})
}

// Networks are the networks of proxy_from.
func Networks(from []string) (networks []netip.Prefix) {
	for _, text := range from {
		if n, err := netip.ParsePrefix(text); err == nil { // the file would have been refused
			networks = append(networks, n)
		}
	}
	return networks
}

var errNetwork = errors.New(`not a network; write it like "10.1.0.0/16", or "10.1.2.3/32" for one address`)

// certificates reads the names of a TLS door's files. A pair that does not load
// is a mistake of the configuration.
func (d *decoder) certificates(s *section, t *TLS, needed bool) {
	given := d.file(s, "cert_file", &t.CertFile)
	given = d.file(s, "key_file", &t.KeyFile) && given
	d.file(s, "client_ca_file", &t.ClientCAFile)
	for _, name := range []string{"cert_file", "key_file"} {
		if (needed || *t != TLS{}) && !s.has(name) {
			s.lacks(name, "is missing; TLS needs cert_file and key_file")
		}
	}
	if !given {
		return
	}
	if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
		s.bad("cert_file", s.table.get("cert_file").value, "the certificate cannot be used: %s", reason(err))
	}
}

// file reads the name of a file, found as one with a secret is.
func (d *decoder) file(s *section, name string, to *string) bool {
	var path string
	if !s.text(name, &path) {
		return false
	}
	if path == "" {
		return s.bad(name, s.table.get(name).value, "must not be empty")
	}
	*to = d.locate(path)
	return true
}

// UnixPrefix is what the address of a Unix socket starts with.
const UnixPrefix = "unix:"

// unixPathMax is what the kernel takes as a socket's path.
const unixPathMax = 107

var (
	errUnixPath = errors.New(`the path of a Unix socket must be absolute, like "unix:/run/leveret/mqtt.sock"`)
	errUnixLong = errors.New("the path of a Unix socket must be at most 107 bytes long")
	errOrigin   = errors.New(`not the host of an origin; write it like "panel.example", "*.example:8080" or "*"`)
)

// checkSocket takes an address or the path of a Unix socket.
func checkSocket(address string) error {
	path, unix := strings.CutPrefix(address, UnixPrefix)
	switch {
	case !unix:
		return checkAddress(address)
	case !filepath.IsAbs(path):
		return errUnixPath
	case len(path) > unixPathMax:
		return errUnixLong
	}
	return nil
}

func checkOrigin(origin string) error {
	if origin == "" || strings.Contains(origin, "/") {
		return errOrigin
	}
	return nil
}
