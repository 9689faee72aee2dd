package config

import (
	"crypto/tls"
	"errors"
	"path/filepath"
	"strings"
)

// mqtt reads the table of the MQTT door.
func (d *decoder) mqtt(s *section, m *MQTT) {
	s.texts("listen", &m.Listen, true, checkSocket)
	choice(s, "anonymous", &m.Anonymous, AnonymousLoopback, AnonymousNever, AnonymousAlways)
	s.boolean("keep_qos0", &m.KeepQoS0)
	s.texts("tls_listen", &m.TLSListen, true, checkAddress)
	s.texts("websocket_listen", &m.WebSocketListen, true, checkAddress)
	s.texts("websocket_tls_listen", &m.WebSocketTLSListen, true, checkAddress)
	s.texts("websocket_origins", &m.WebSocketOrigins, false, checkOrigin)
	d.certificates(s, &m.TLS, len(m.TLSListen)+len(m.WebSocketTLSListen) > 0)
}

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
