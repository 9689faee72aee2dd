package server091

import (
	"encoding/binary"
	"strings"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

// credentials reads user and password out of a start-ok.
func credentials(m *wire091.ConnectionStartOk) (user, password string, err error) {
	switch m.Mechanism {
	case mechanismPlain:
		return plain(m.Response)
	case mechanismAMQPlain:
		return amqplain(m.Response)
	}
	return "", "", amqp.Errorf(amqp.CommandInvalid, "unknown authentication mechanism '%s'", m.Mechanism)
}

// plain reads NUL user NUL password. To act for somebody else, for which the
// place before the first NUL is meant, is not offered.
func plain(response string) (user, password string, err error) {
	rest, ok := strings.CutPrefix(response, "\x00")
	user, password, found := strings.Cut(rest, "\x00")
	if !ok || !found {
		return "", "", amqp.Errorf(amqp.SyntaxError, "PLAIN response is malformed")
	}
	return user, password, nil
}

// amqplain reads a field table that comes without its length.
func amqplain(response string) (user, password string, err error) {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(response)), uint32(len(response)))
	t, _, err := amqp.ParseTable(append(b, response...))
	if err != nil {
		return "", "", amqp.Errorf(amqp.SyntaxError, "AMQPLAIN response is malformed")
	}
	login, _ := t.Get("LOGIN")
	pass, _ := t.Get("PASSWORD")
	user, ok1 := login.(string)
	password, ok2 := pass.(string)
	if !ok1 || !ok2 {
		return "", "", amqp.Errorf(amqp.SyntaxError, "AMQPLAIN response lacks LOGIN or PASSWORD")
	}
	return user, password, nil
}
