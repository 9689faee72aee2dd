package server091

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// nobody logs in with ANONYMOUS.
type nobody struct{}

func (nobody) Mechanism() string { return "ANONYMOUS" }
func (nobody) Response() string  { return "trace" }

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, a.root = a.sign("authority", nil)
	return a
}

// sign makes a key and a certificate for it, signed by the authority, or by
// itself when there is none yet.
func (a *authority) sign(name string, by *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotAfter: time.Now().Add(time.Hour), NotBefore: time.Now().Add(-time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	signer := a.key
	if by == nil {
		by, signer = c, key
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return key, c
}

func (a *authority) certificate(name string) tls.Certificate {
	key, c := a.sign(name, a.root)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

// dial opens a client's connection over a pipe; shows is nil for one without
// TLS, and asks says what the server does with certificates.
func (r *rig) dial(a *authority, asks tls.ClientAuthType, shows []tls.Certificate, sasl amqp091.Authentication) error {
	ours, theirs := net.Pipe()
	if a != nil {
		theirs = tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{a.certificate("gateway")}, ClientCAs: a.pool(), ClientAuth: asks})
		ours = tls.Client(ours, &tls.Config{RootCAs: a.pool(), ServerName: "gateway", Certificates: shows})
	}
	r.served.Go(func() {
		var header [8]byte
		if _, err := io.ReadFull(theirs, header[:]); err != nil {
			_ = theirs.Close()
			return
		}
		r.server.Serve(r.ctx, theirs, header)
	})
	c, err := amqp091.Open(ours, amqp091.Config{SASL: []amqp091.Authentication{sasl}, Vhost: "/"})
	if err != nil {
		_ = ours.Close()
		return err
	}
	return c.Close()
}

func TestExternalLogin(t *testing.T) {
	a := newAuthority(t)
	var seen string
	r := newRig(t, mem.New().Auto(), broker.Limits{}, func(o *Options) {
		o.External = func(cert *x509.Certificate, _ net.Addr) (string, broker.Access, error) {
			seen = cert.Subject.CommonName
			if seen != "anna" {
				return "", nil, errors.New("no such user")
			}
			return seen, nil, nil
		}
	})
	anna := []tls.Certificate{a.certificate("anna")}
	for _, c := range []struct {
		name  string
		a     *authority
		asks  tls.ClientAuthType
		shows []tls.Certificate
		want  error
		seen  string
	}{
		{"verified", a, tls.VerifyClientCertIfGiven, anna, nil, "anna"},
		{"verified, without an account", a, tls.VerifyClientCertIfGiven, []tls.Certificate{a.certificate("ben")}, amqp091.ErrCredentials, "ben"},
		{"none shown", a, tls.VerifyClientCertIfGiven, nil, amqp091.ErrSASL, ""},
		{"shown, not verified", a, tls.RequestClientCert, anna, amqp091.ErrSASL, ""},
		{"without TLS", nil, 0, nil, amqp091.ErrSASL, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen = ""
			err := r.dial(c.a, c.asks, c.shows, &amqp091.ExternalAuth{})
			if !errors.Is(err, c.want) || seen != c.seen {
				t.Errorf("login gave %v as %q, want %v as %q", err, seen, c.want, c.seen)
			}
		})
	}
	if lines := r.lines.String(); !strings.Contains(lines, "CN=ben") {
		t.Errorf("the log does not tell who was refused: %s", lines)
	}
}

func TestAnonymousLogin(t *testing.T) {
	open := true
	r := newRig(t, mem.New().Auto(), broker.Limits{}, func(o *Options) {
		o.Anonymous = func(net.Addr) (string, broker.Access, error) {
			if !open {
				return "", nil, errors.New("closed")
			}
			return "guest", nil, nil
		}
	})
	if err := r.dial(nil, 0, nil, nobody{}); err != nil {
		t.Errorf("ANONYMOUS where it is allowed: %v", err)
	}
	open = false
	if err := r.dial(nil, 0, nil, nobody{}); !errors.Is(err, amqp091.ErrSASL) {
		t.Errorf("ANONYMOUS where it is not: %v, want %v", err, amqp091.ErrSASL)
	}
}

// twoChannels is a user who may have few channels.
type twoChannels struct{}

func (twoChannels) Allows(broker.Action, string) bool { return true }
func (twoChannels) ChannelsMax() int                  { return 2 }

// TestChannelsOfAUserAreBounded, on all its connections together.
func TestChannelsOfAUserAreBounded(t *testing.T) {
	few := func(o *Options) {
		o.Authenticate = func(user, _ string, _ net.Addr) (string, broker.Access, error) { return user, twoChannels{}, nil }
	}
	inBubble(t, mem.New().Auto(), broker.Limits{}, few, func(t *testing.T, r *rig) {
		first, second := r.openAs("anna", "x", 1), r.openAs("anna", "x", 1)
		r.openAs("bert", "x", 2)
		second.says("0 connection.close 530 0,0 NOT_ALLOWED - number of channels opened for user 'anna' has reached the maximum allowed user limit of (2)",
			on(2, &wire091.ChannelOpen{}))
		second.do(&wire091.ConnectionCloseOk{})
		second.quiet()
		first.says("2 channel.open-ok\n2 channel.close-ok\n3 channel.open-ok",
			on(2, &wire091.ChannelOpen{}), on(2, &wire091.ChannelClose{}), on(3, &wire091.ChannelOpen{}))
		first.says("0 connection.close-ok", &wire091.ConnectionClose{})
		r.openAs("anna", "x", 2)
	})
}
