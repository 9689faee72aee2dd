package server091

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"leveret/amqp/broker"
	"leveret/amqp/wire091"
)

// Login mechanisms. PLAIN and AMQPLAIN are always offered; EXTERNAL to clients
// whose certificate was verified, ANONYMOUS to those that may be nobody.
const (
	mechanismPlain     = "PLAIN"
	mechanismAMQPlain  = "AMQPLAIN"
	mechanismExternal  = "EXTERNAL"
	mechanismAnonymous = "ANONYMOUS"
)

// mechanisms are what this connection is offered.
func (c *conn) mechanisms() string {
	offered := []string{mechanismPlain, mechanismAMQPlain}
	if c.s.o.External != nil && c.certificate() != nil {
		offered = append(offered, mechanismExternal)
	}
	if c.mayBeNobody() {
		offered = append(offered, mechanismAnonymous)
	}
	return strings.Join(offered, " ")
}

func (c *conn) mayBeNobody() bool {
	if c.s.o.Anonymous == nil {
		return false
	}
	_, _, err := c.s.o.Anonymous(c.nc.RemoteAddr())
	return err == nil
}

// certificate is the one that the client has proven to be its own and that our
// authorities have signed, or nil.
func (c *conn) certificate() *x509.Certificate {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	// The chain tells that it was verified: a certificate that was only asked
	// for stands in PeerCertificates too.
	state := t.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	return state.VerifiedChains[0][0]
}

// authenticate asks who it is, by the mechanism that the client has chosen.
// said is what it says of its name, for the log. An *amqp.Error is about the
// method, all other errors are a refused login. What EXTERNAL and ANONYMOUS send
// (RFC 4422, appendix A; RFC 4505) says nothing: some clients send a name that
// means nobody, as amqp091-go does.
func (c *conn) authenticate(m *wire091.ConnectionStartOk) (name, said string, access broker.Access, err error) {
	remote := c.nc.RemoteAddr()
	switch cert := c.certificate(); {
	case m.Mechanism == mechanismExternal && c.s.o.External != nil && cert != nil:
		name, access, err = c.s.o.External(cert, remote)
		return name, cert.Subject.String(), access, err
	case m.Mechanism == mechanismAnonymous && c.s.o.Anonymous != nil:
		name, access, err = c.s.o.Anonymous(remote)
		return name, "", access, err
	}
	said, password, err := credentials(m)
	if err != nil {
		return "", said, nil, err
	}
	name, access, err = c.s.o.Authenticate(said, password, remote)
	return name, said, access, err
}
