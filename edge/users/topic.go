package users

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"leveret/amqp/broker"
)

// topicPlace is what a topic permission is for.
type topicPlace struct{ vhost, exchange string }

// topicGrant is a permission for topics. Patterns that name nothing of the
// connection are compiled once for all connections, with their verdicts; others
// for each.
type topicGrant struct {
	patterns [actions]string
	shared   [actions]*rights
}

func newTopicGrant(p TopicPermission) (*topicGrant, error) {
	g := &topicGrant{patterns: [actions]string{broker.Write: p.Write, broker.Read: p.Read}}
	for a, pattern := range g.patterns {
		r := new(rights)
		if err := r.compile(filled(pattern, "", "", "")); err != nil {
			return nil, fmt.Errorf("%s: %w", broker.Action(a), err)
		}
		if filled(pattern, "x", "x", "x") == pattern {
			g.shared[a] = r
		}
	}
	return g, nil
}

// CheckTopicPattern tells what is wrong with a pattern of topics, or nil.
func CheckTopicPattern(pattern string) error {
	return CheckPattern(filled(pattern, "", "", ""))
}

// filled puts a connection's names into a pattern, in which they mean
// themselves: a client must not write regular expressions with its id.
func filled(pattern, user, vhost, client string) string {
	return strings.NewReplacer(
		"{username}", regexp.QuoteMeta(user),
		"{vhost}", regexp.QuoteMeta(vhost),
		"{client_id}", regexp.QuoteMeta(client),
	).Replace(pattern)
}

// entered is a user in a vhost: what one connection may do.
type entered struct {
	*grant
	topics map[string]*[actions]*rights // by exchange
}

// Enter gives what a connection of the user may do in a vhost; ok is false when
// the user has no right to enter. See [broker.VHostAccess].
func (u *User) Enter(vhost, client string) (in broker.Access, ok bool) {
	if u.acl != nil {
		return u.acl.For(u.Name, client), true
	}
	g := u.grants.in(vhost)
	if g == nil {
		return nil, false
	}
	// Without an id the words stand for themselves, as in RabbitMQ: the empty
	// text would make "^{client_id}" a pattern that matches everything.
	client = cmp.Or(client, "{client_id}")
	e := &entered{grant: g}
	for at, t := range u.grants.topics {
		if at.vhost != vhost {
			continue
		}
		here, err := t.of(u.Name, vhost, client)
		if err != nil { // names so long that no pattern is to be had
			return nil, false
		}
		if e.topics == nil {
			e.topics = make(map[string]*[actions]*rights)
		}
		e.topics[at.exchange] = here
	}
	if e.topics == nil {
		return g, true // it is not asked for each message
	}
	return e, true
}

// of is the grant with the names of a connection.
func (g *topicGrant) of(user, vhost, client string) (*[actions]*rights, error) {
	here := g.shared
	for a, r := range here {
		if r != nil {
			continue
		}
		r = new(rights)
		if err := r.compile(filled(g.patterns[a], user, vhost, client)); err != nil {
			return nil, err
		}
		here[a] = r
	}
	return &here, nil
}

// AllowsTopic reports whether the connection may publish to a topic exchange
// with a key (Write), or bind with it (Read). See [broker.TopicAccess].
func (e *entered) AllowsTopic(a broker.Action, exchange, key string) bool {
	here := e.topics[exchange]
	return here == nil || int(a) < actions && here[a].allow(key)
}
