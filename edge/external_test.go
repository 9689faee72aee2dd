package edge

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"testing"

	"leveret/edge/config"
	"leveret/edge/users"
)

func TestNameInACertificate(t *testing.T) {
	full := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "anna", Organization: []string{"plant"}},
		DNSNames: []string{"anna.example"}, EmailAddresses: []string{"anna@example"},
	}
	mail := &x509.Certificate{EmailAddresses: []string{"ben@example"}, URIs: []*url.URL{{Scheme: "urn", Opaque: "ben"}}}
	uri := &x509.Certificate{URIs: []*url.URL{{Scheme: "urn", Opaque: "ben"}}}
	for _, c := range []struct {
		cert *x509.Certificate
		by   config.ExternalLogin
		want string
	}{
		{full, config.CommonName, "anna"},
		{full, config.DistinguishedName, "CN=anna,O=plant"},
		{full, config.SubjectAlternativeName, "anna.example"},
		{mail, config.SubjectAlternativeName, "ben@example"},
		{uri, config.SubjectAlternativeName, "urn:ben"},
		{mail, config.CommonName, ""},
	} {
		if got := nameIn(c.cert, c.by); got != c.want {
			t.Errorf("nameIn by %s = %q, want %q", c.by, got, c.want)
		}
	}
}

func TestLoginsWithoutAPassword(t *testing.T) {
	book, err := users.NewBook([]users.Account{{Name: "anna"}, {Name: "home", LoopbackOnly: true}})
	if err != nil {
		t.Fatal(err)
	}
	here, there := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	for _, c := range []struct {
		anonymous config.Anonymous
		user      string
		remote    net.Addr
		want      bool
	}{
		{config.AnonymousNever, "anna", here, false},
		{config.AnonymousLoopback, "anna", here, true},
		{config.AnonymousLoopback, "anna", there, false},
		{config.AnonymousAlways, "anna", there, true},
		{config.AnonymousAlways, "home", here, true},
		{config.AnonymousAlways, "home", there, false},
		{config.AnonymousAlways, "ben", here, false},
	} {
		a := new(App)
		a.users.Store(book)
		a.cfg.Store(&config.Config{AMQP: config.AMQP{Anonymous: c.anonymous, AnonymousUser: c.user}})
		name, access, err := a.loginAnonymous(c.remote)
		if (err == nil) != c.want || c.want && (name != c.user || access == nil) {
			t.Errorf("anonymous %s as %s from %s: %q, %v, want in: %v", c.anonymous, c.user, c.remote, name, err, c.want)
		}
		cert := &x509.Certificate{Subject: pkix.Name{CommonName: c.user}}
		name, access, err = a.loginExternal(cert, c.remote)
		if in := c.user == "anna" || c.user == "home" && c.remote == here; (err == nil) != in || in && (name != c.user || access == nil) {
			t.Errorf("a certificate of %s from %s: %q, %v, want in: %v", c.user, c.remote, name, err, in)
		}
	}
}
