package edge

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net"

	"leveret/amqp/broker"
	"leveret/edge/config"
	"leveret/edge/users"
)

// loginExternal checks a user whose name is in its verified certificate.
func (a *App) loginExternal(cert *x509.Certificate, remote net.Addr) (string, broker.Access, error) {
	name := nameIn(cert, a.cfg.Load().AMQP.ExternalLogin)
	return a.admit(remote, func(book *users.Book) (*users.User, error) {
		u, err := book.Trust(name, addrOf(remote))
		if err != nil {
			return nil, fmt.Errorf("certificate for %q: %w", name, err)
		}
		return u, nil
	})
}

// nameIn is the user's name in a certificate; "" is nobody's.
func nameIn(cert *x509.Certificate, by config.ExternalLogin) string {
	switch by {
	case config.DistinguishedName:
		return cert.Subject.String() // RFC 2253
	case config.SubjectAlternativeName:
		var uri string
		if len(cert.URIs) > 0 {
			uri = cert.URIs[0].String()
		}
		return cmp.Or(first(cert.DNSNames), first(cert.EmailAddresses), uri)
	}
	return cert.Subject.CommonName
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// loginAnonymous checks an AMQP client that says nothing of itself.
func (a *App) loginAnonymous(remote net.Addr) (string, broker.Access, error) {
	cfg, from := a.cfg.Load().AMQP, addrOf(remote)
	if cfg.Anonymous == config.AnonymousNever || cfg.Anonymous == config.AnonymousLoopback && !from.IsLoopback() {
		return "", nil, errAnonymous
	}
	return a.admit(remote, func(book *users.Book) (*users.User, error) {
		u, err := book.Trust(cfg.AnonymousUser, from)
		if err != nil {
			return nil, fmt.Errorf("amqp.anonymous_user: %w", err)
		}
		return u, nil
	})
}
