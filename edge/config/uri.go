package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// URI is the address of a remote broker, with its password. It shows itself
// without the password whatever prints, logs or encodes it.
type URI struct{ text string }

// NewURI makes a URI; what is wrong with it does not show the text.
func NewURI(text string) (URI, error) {
	if err := checkURI(text); err != nil {
		return URI{}, err
	}
	return URI{text}, nil
}

// IsMQTT reports a URI of an MQTT broker.
func (u URI) IsMQTT() bool {
	return strings.HasPrefix(u.text, "mqtt:") || strings.HasPrefix(u.text, "mqtts:")
}

func (u URI) isTLS() bool {
	return strings.HasPrefix(u.text, "amqps:") || strings.HasPrefix(u.text, "mqtts:")
}

// Reveal is the URI with its password.
func (u URI) Reveal() string { return u.text }

// Redacted is the URI with stars for the password.
func (u URI) Redacted() URI { return URI{u.String()} }

// String is the URI with stars for the password.
func (u URI) String() string {
	parsed, err := url.Parse(u.text)
	if u.text == "" || err != nil {
		return ""
	}
	userinfo := ""
	if parsed.User != nil {
		userinfo = url.User(parsed.User.Username()).String()
		if _, secret := parsed.User.Password(); secret {
			userinfo += ":***"
		}
		userinfo += "@"
	}
	return parsed.Scheme + "://" + userinfo + parsed.Host + parsed.EscapedPath()
}

// Format prints String for every verb.
func (u URI) Format(s fmt.State, _ rune) { io.WriteString(s, u.String()) }

// LogValue, MarshalText: String as well.
func (u URI) LogValue() slog.Value         { return slog.StringValue(u.String()) }
func (u URI) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// checkURI says what is wrong. What net/url says is not handed on: it quotes the
// whole URI.
func checkURI(text string) error {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsAny(text, " \t\r\n") {
		return errors.New("not a URI; write amqp://user:password@host:port/vhost, with %40 for @, %3A for : and %2F for / in the user and the password")
	}
	mqtt := u.Scheme == "mqtt" || u.Scheme == "mqtts"
	switch {
	case !mqtt && u.Scheme != "amqp" && u.Scheme != "amqps":
		return errors.New("the URI must begin with amqp://, amqps://, mqtt:// or mqtts://")
	case mqtt && u.Hostname() == "":
		return errors.New("the URI names no host; write mqtt://user:password@host:port")
	case u.Hostname() == "":
		return errors.New("the URI names no host; write amqp://user:password@host:port/vhost")
	case mqtt && u.EscapedPath() != "" && u.EscapedPath() != "/":
		return errors.New("the URI of an MQTT broker has no path; topics stand in keys of their own")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return errors.New("the URI's port must be from 1 to 65535")
		}
	}
	if strings.Count(u.EscapedPath(), "/") > 1 {
		return errors.New("the URI's path is one virtual host; write %2F for a / in its name")
	}
	if u.Fragment != "" {
		return errors.New("the URI has a #; write %23 if it belongs to the password")
	}
	if u.RawQuery != "" {
		return errors.New("the URI has options after a ?, which are not read: take them out, and write %3F for a ? in the password")
	}
	return nil
}
