package amqp091

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// place is where the broker is and who we are there.
type place struct {
	secure         bool
	host, port     string
	vhost          string
	user, password string
	hasUser        bool // the URL names one
}

// errURL says no more: the parser's own words repeat what may be a password.
var errURL = errors.New("not a url of the form amqp://user:password@host:port/vhost " +
	"(in user, password and vhost write reserved characters as %XX)")

func parseURL(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Fragment != "" || strings.Contains(text, " ") {
		return place{}, errURL
	}
	if u.RawQuery != "" {
		keys := make([]string, 0, 4)
		for key := range u.Query() {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return place{}, fmt.Errorf("url of a remote broker: options in it are not read: %q", keys)
	}
	p := place{host: u.Hostname(), port: u.Port(), vhost: strings.TrimPrefix(u.Path, "/"), user: "guest", password: "guest"}
	usual := "5672"
	switch u.Scheme {
	case "amqp":
	case "amqps":
		p.secure, usual = true, "5671"
	default:
		return place{}, errURL
	}
	if p.port == "" {
		p.port = usual
	}
	if n, err := strconv.Atoi(p.port); err != nil || n < 1 || n > 65535 {
		return place{}, errURL
	}
	if p.vhost == "" {
		p.vhost = "/"
	}
	if u.User != nil {
		p.hasUser, p.user = true, u.User.Username()
		if password, given := u.User.Password(); given {
			p.password = password
		}
	}
	return p, nil
}

func (p place) address() string { return net.JoinHostPort(p.host, p.port) }

// String leaves the password out.
func (p place) String() string {
	u := url.URL{Scheme: "amqp", Host: p.address(), Path: "/" + p.vhost, RawPath: "/" + url.PathEscape(p.vhost)}
	if p.secure {
		u.Scheme = "amqps"
	}
	if p.hasUser {
		u.User = url.User(p.user)
	}
	return u.String()
}
