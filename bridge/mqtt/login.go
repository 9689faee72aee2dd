package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// Login is what a client says of itself.
type Login struct {
	User, Password string
	// Anonymous: it gave neither user name nor password.
	Anonymous bool
	// Client is its client id; a made-up one if it gave none.
	Client string
	// Certificate is the client's own, which was verified; nil if it has none.
	Certificate *x509.Certificate
	Remote      net.Addr
}

// ErrClientID is for a login that would be right with another client id.
var ErrClientID = errors.New("client identifier is not for this user")

func (c *conn) authenticate(m *mqttwire.Connect) error {
	who := Login{
		User: m.Username, Password: string(m.Password), Anonymous: !m.HasUsername && !m.HasPassword,
		Client: c.client, Certificate: certificateOf(c.socket), Remote: c.socket.RemoteAddr(),
	}
	user, access, err := c.door.Authenticate(who)
	switch {
	case err == nil:
		c.user, c.access = user, access
		if !who.Anonymous || who.Certificate != nil {
			c.owner = user
		}
		return c.redirect()
	case errors.Is(err, ErrClientID):
		return refusal(mqttwire.ClientIDNotValid, "client identifier %q is not for user %q", c.client, user)
	case who.Anonymous:
		return refusal(mqttwire.NotAuthorized, "anonymous clients are not let in")
	}
	return refusal(mqttwire.BadUserNameOrPassword, "wrong user name or password")
}

// certificateOf is the verified certificate of a peer over TLS.
func certificateOf(socket net.Conn) *x509.Certificate {
	over, ok := socket.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	if chains := over.ConnectionState().VerifiedChains; len(chains) > 0 && len(chains[0]) > 0 {
		return chains[0][0]
	}
	return nil
}

// redirected is a refusal that names another server (5.0, section 4.13.2).
type redirected struct {
	error
	server string
}

func (r *redirected) Unwrap() error { return r.error }

// redirect sends a client elsewhere. Before MQTT 5 there is no word for where.
func (c *conn) redirect() error {
	if c.door.Redirect == nil {
		return nil
	}
	server, moved := c.door.Redirect()
	reason := mqttwire.UseAnotherServer
	switch {
	case server == "":
		return nil
	case c.version != mqttwire.V5:
		return refusal(mqttwire.ServerUnavailable, "clients are served by %s", server)
	case moved:
		reason = mqttwire.ServerMoved
	}
	return &redirected{refusal(reason, "clients are served by %s", server), server}
}

// An owner is the user of a session, "" if it is anybody's.
var errOwner = refusal(mqttwire.ClientIDNotValid, "the client identifier is another user's")

// mayTake reports whether the client may take over what is an owner's.
func (c *conn) mayTake(owner string) bool {
	return owner == "" || owner == c.owner || c.door.AnyTakesOver
}

// checkOwner asks a session that is kept whose it is.
func (c *conn) checkOwner(bindings []broker.Binding) error {
	for _, b := range bindings {
		if r, ok := recordOf(b); ok && !c.mayTake(r.owner) {
			return errOwner
		}
	}
	return nil
}
