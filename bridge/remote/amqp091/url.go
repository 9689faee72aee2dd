package amqp091

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"

	lib "github.com/rabbitmq/amqp091-go"
)

// place is where the broker is and who we are there.
type place struct {
	lib.URI
	hasUser bool // the URL names one
}

// errURL says no more: the parser's own words repeat what may be a password.
var errURL = errors.New("not a url of the form amqp://user:password@host:port/vhost " +
	"(in user, password and vhost write reserved characters as %XX)")

func parseURL(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Fragment != "" {
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
	uri, err := lib.ParseURI(text)
	if err != nil || uri.Port <= 0 || uri.Port > 65535 {
		return place{}, errURL
	}
	return place{URI: uri, hasUser: u.User != nil}, nil
}

func (r place) address() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// String leaves the password out.
func (r place) String() string {
	u := url.URL{Scheme: r.Scheme, Host: r.address(), Path: "/" + r.Vhost, RawPath: "/" + url.PathEscape(r.Vhost)}
	if r.hasUser {
		u.User = url.User(r.Username)
	}
	return u.String()
}
