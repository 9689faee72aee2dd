package mqtt

import (
	"errors"
	"net"
	"net/url"
	"strconv"
)

// place is where the far side is and who we are there.
type place struct {
	secure         bool
	host, port     string
	user, password string
	hasUser        bool
	hasPassword    bool
}

// errURL says no more: the parser's own words repeat what may be a password.
var errURL = errors.New("not a url of the form mqtt://user:password@host:port " +
	"(in user and password write reserved characters as %XX)")

func parseURL(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Fragment != "" || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return place{}, errURL
	}
	p := place{host: u.Hostname(), port: u.Port()}
	switch u.Scheme {
	case "mqtt":
		p.port = orElse(p.port, "1883")
	case "mqtts":
		p.secure, p.port = true, orElse(p.port, "8883")
	default:
		return place{}, errURL
	}
	if n, err := strconv.Atoi(p.port); err != nil || n < 1 || n > 65535 {
		return place{}, errURL
	}
	if u.User != nil {
		p.hasUser, p.user = true, u.User.Username()
		p.password, p.hasPassword = u.User.Password()
	}
	return p, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (p place) address() string { return net.JoinHostPort(p.host, p.port) }

// String leaves the password out.
func (p place) String() string {
	u := url.URL{Scheme: "mqtt", Host: p.address()}
	if p.secure {
		u.Scheme = "mqtts"
	}
	if p.hasUser {
		u.User = url.User(p.user)
	}
	return u.String()
}
