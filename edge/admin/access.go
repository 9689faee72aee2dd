package admin

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"leveret/amqp/broker"
	"leveret/edge/users"
)

// need is what a route asks of who comes. The tags are RabbitMQ's: management
// sees its own connections and the vhosts that the user may enter, policymaker
// also rules over queues there, monitoring sees everything and changes nothing,
// administrator does everything. What is done to a queue is asked of the
// user's permissions besides.
type need uint8

const (
	toLook       need = iota // a tag, or to be on this machine
	toMonitor                // monitoring, administrator, or to be on this machine
	toBeKnown                // a tag: what is shown depends on the user
	toChange                 // management, policymaker or administrator
	toRule                   // policymaker or administrator
	toAdminister             // administrator
)

// Tags of users.
const (
	administrator = "administrator"
	monitoring    = "monitoring"
	policymaker   = "policymaker"
	management    = "management"
)

// caller is who asks: a user, or, when that is nil, somebody on this machine,
// who may look.
type caller struct{ user *users.User }

var (
	errLogin     = &answer{http.StatusUnauthorized, "not_authorized", "Login failed"}
	errNoLogin   = &answer{http.StatusUnauthorized, "not_authorized", "login required"}
	errNoTag     = &answer{http.StatusUnauthorized, "not_authorized", "Not management user"}
	errNotYours  = &answer{http.StatusForbidden, "not_authorised", "User not authorised to access object"}
	errCrossSite = &answer{http.StatusForbidden, "not_authorised", "the request comes from a page of another site"}
)

// caller finds out who asks. A login that is given counts, also on this machine.
func (s *Server) caller(q *request) (caller, error) {
	name, password, given := q.BasicAuth()
	if !given {
		if s.local(q.Request) && q.Header.Get("Authorization") == "" {
			return caller{}, nil
		}
		q.w.Header().Set("WWW-Authenticate", `Basic realm="leveret"`)
		return caller{}, errNoLogin
	}
	if s.o.Login != nil {
		if u, err := s.o.Login(name, password, origin(q.Request)); err == nil {
			c := caller{u}
			if !c.has(administrator, monitoring, policymaker, management) {
				return caller{}, errNoTag
			}
			return c, nil
		}
	}
	select { // guessing is slow; connectionsMax bounds who waits here
	case <-time.After(failedLoginPause):
	case <-q.Context().Done():
	}
	q.w.Header().Set("WWW-Authenticate", `Basic realm="leveret"`)
	return caller{}, errLogin
}

func (c caller) has(tags ...string) bool {
	for _, t := range tags {
		if c.user.HasTag(t) {
			return true
		}
	}
	return false
}

// may says why not.
func (c caller) may(n need) error {
	if c.user == nil {
		if n == toLook || n == toMonitor {
			return nil
		}
		return errNoLogin
	}
	allowed := true
	switch n {
	case toMonitor:
		allowed = c.has(monitoring, administrator)
	case toChange:
		allowed = c.has(management, policymaker, administrator)
	case toRule:
		allowed = c.has(policymaker, administrator)
	case toAdminister:
		allowed = c.has(administrator)
	}
	if !allowed {
		return errNotYours
	}
	return nil
}

// seesAll: nothing is hidden.
func (c caller) seesAll() bool { return c.user == nil || c.has(monitoring, administrator) }

// sees reports whether what is in a vhost is shown.
func (c caller) sees(vhost string) bool {
	if c.seesAll() {
		return true
	}
	_, ok := c.user.Enter(vhost, "")
	return ok
}

// owns reports whether what a user has is shown: connections, channels, devices.
func (c caller) owns(user string) bool { return c.seesAll() || c.user.Name == user }

// identity is the user as one who does something in the core.
func (c caller) identity() broker.Identity {
	return broker.Identity{User: c.user.Name, Access: c.user, Protocol: "HTTP"}
}

// origin is where a request comes from, for the accounts that may be used from
// this machine only: nowhere, when it comes from here but does not mean here.
func origin(r *http.Request) netip.Addr {
	if overSocket(r) && !passedOn(r) {
		return netip.IPv6Loopback()
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := remote.Addr().Unmap()
	if addr.IsLoopback() && !meansHere(r) {
		return netip.Addr{}
	}
	return addr
}

// ofProxies are headers by which a proxy says that it asks for somebody else
// (RFC 7239; RFC 9110, section 7.6.3; the X- ones are older habits).
var ofProxies = [...]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}

// passedOn reports a request of a proxy that says so.
func passedOn(r *http.Request) bool {
	for _, name := range ofProxies {
		if _, says := r.Header[name]; says {
			return true
		}
	}
	return false
}

// overSocket reports a request over a Unix socket. No page can have a browser
// make one.
func overSocket(r *http.Request) bool {
	at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return at != nil && at.Network() == "unix"
}

// local reports whether whoever asks may look without a login: over a Unix socket,
// whose file's mode says who may open it, and over loopback where that is trusted.
// A proxy on this machine that passes requests on without a word looks like
// somebody who asks from here, so that the operator can say that it is not.
func (s *Server) local(r *http.Request) bool {
	if overSocket(r) {
		return !passedOn(r)
	}
	return s.o.TrustLoopback && meansHere(r)
}

// meansHere reports whether a request comes over loopback and means it: a page
// from elsewhere whose name was made to point here names itself as the host, and
// what a proxy on this machine passes on comes from wherever.
func meansHere(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() || passedOn(r) {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
