package users

import (
	"fmt"

	"leveret/amqp/broker"
)

// Permission is what a user may do in one vhost. That there is one lets the
// user enter, even if all its patterns are empty.
type Permission struct {
	VHost                  string
	Configure, Write, Read string // as those of an Account
}

// TopicPermission narrows what a user may do with one topic exchange: which
// routing keys it may publish with (Write) and bind (Read). Topics of an
// exchange without one are free, as in RabbitMQ. In the patterns {username},
// {vhost} and {client_id} stand for those of the connection; {client_id}
// stands for itself in a connection without one.
type TopicPermission struct {
	VHost, Exchange string
	Write, Read     string
}

// actions of a permission.
const actions = 3

// grant is what a user may do in a vhost.
type grant [actions]rights

func newGrant(configure, write, read string) (*grant, error) {
	g := new(grant)
	for a, pattern := range [actions]string{broker.Configure: configure, broker.Write: write, broker.Read: read} {
		if err := g[a].compile(pattern); err != nil {
			return nil, fmt.Errorf("%s: %w", broker.Action(a), err)
		}
	}
	return g, nil
}

// empty reports whether it allows nothing at all.
func (g *grant) empty() bool {
	return g[broker.Configure].none && g[broker.Write].none && g[broker.Read].none
}

// Allows is described at [User.Allows].
func (g *grant) Allows(a broker.Action, resource string) bool {
	if int(a) >= len(g) {
		return false
	}
	if resource == "" {
		resource = defaultExchange
	}
	return g[a].allow(resource)
}

// grants are a user's rights: those of single vhosts, and its own for all
// others.
type grants struct {
	own    *grant
	vhosts map[string]*grant
	topics map[topicPlace]*topicGrant
}

func newGrants(a Account) (g grants, err error) {
	g.vhosts = make(map[string]*grant, len(a.Permissions))
	g.topics = make(map[topicPlace]*topicGrant, len(a.Topics))
	if g.own, err = newGrant(a.Configure, a.Write, a.Read); err != nil {
		return g, err
	}
	for _, p := range a.Permissions {
		if g.vhosts[p.VHost] != nil {
			return g, fmt.Errorf("permission in vhost %q: it is there twice", p.VHost)
		}
		if g.vhosts[p.VHost], err = newGrant(p.Configure, p.Write, p.Read); err != nil {
			return g, fmt.Errorf("permission in vhost %q: %w", p.VHost, err)
		}
	}
	for _, p := range a.Topics {
		at := topicPlace{p.VHost, p.Exchange}
		if g.topics[at] != nil {
			return g, fmt.Errorf("topics of exchange %q in vhost %q: they are there twice", p.Exchange, p.VHost)
		}
		if g.topics[at], err = newTopicGrant(p); err != nil {
			return g, fmt.Errorf("topics of exchange %q in vhost %q: %w", p.Exchange, p.VHost, err)
		}
	}
	return g, nil
}

// in is the grant for a vhost, or nil when there is none: then the user may not
// enter.
func (g *grants) in(vhost string) *grant {
	if here := g.vhosts[vhost]; here != nil {
		return here
	}
	if g.own.empty() {
		return nil
	}
	return g.own
}
