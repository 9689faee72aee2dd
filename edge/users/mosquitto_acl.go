package users

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// ACL is an access list as Mosquitto has it:
//
//	topic [read|write|readwrite|deny] FILTER     of the user above, or of
//	user NAME                                    anonymous clients before any
//	pattern [...] FILTER                         of all, with %u and %c
//
// What a user's own lines say comes before what patterns say, and among either
// what denies comes first. As there, a client may subscribe to more than it may
// read and is given what it may; to what it can never be given it may not.
type ACL struct {
	// Dots is how topics are spelled as routing keys; set before it is used.
	Dots bridge.Dots

	users    map[string]*aclList // "" is anonymous clients
	patterns aclList
}

// aclList is the lines of one user.
type aclList struct {
	deny, read, write []string // filters
}

// ReadMosquittoACL reads a file. An error names the line.
func ReadMosquittoACL(from io.Reader) (*ACL, error) {
	acl := &ACL{users: map[string]*aclList{"": {}}}
	current := acl.users[""]
	err := eachLine(from, func(line string) error {
		word, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		rest = strings.Trim(rest, " ")
		switch word {
		case "user":
			if rest == "" {
				return errors.New("user without a name")
			}
			if current = acl.users[rest]; current == nil {
				current = &aclList{}
				acl.users[rest] = current
			}
			return nil
		case "topic":
			return current.add(rest)
		case "pattern":
			return acl.patterns.add(rest)
		}
		return fmt.Errorf("%q is not one of topic, user and pattern", word)
	})
	if err != nil {
		return nil, err
	}
	return acl, nil
}

// add takes the rest of a line. Without a word for it, both is meant.
func (l *aclList) add(rest string) error {
	word, filter, more := strings.Cut(rest, " ")
	filter = strings.Trim(filter, " ")
	switch {
	case more && (word == "read" || word == "write" || word == "readwrite" || word == "deny"):
	default:
		word, filter = "readwrite", rest
	}
	if !mqttwire.ValidFilter(filter) || strings.HasPrefix(filter, "$share/") {
		return fmt.Errorf("%q is not a topic filter", filter)
	}
	switch word {
	case "deny":
		l.deny = append(l.deny, filter)
	case "read":
		l.read = append(l.read, filter)
	case "write":
		l.write = append(l.write, filter)
	default:
		l.read, l.write = append(l.read, filter), append(l.write, filter)
	}
	return nil
}

// For gives the rights of a user's client; "" is an anonymous one.
func (acl *ACL) For(user, client string) broker.Access {
	in := &aclAccess{dots: acl.Dots, own: acl.users[user], all: acl.patterns.filled(user, client)}
	if in.own == nil {
		in.own = &aclList{}
	}
	return in
}

// filled is the patterns with the names of a connection. A name that would be
// more than a part of a level fits no pattern: a client must not choose its
// rights with its id.
func (l *aclList) filled(user, client string) *aclList {
	fill := func(filters []string) (out []string) {
		for _, f := range filters {
			if strings.Contains(f, "%u") && !plainLevel(user) || strings.Contains(f, "%c") && !plainLevel(client) {
				continue
			}
			out = append(out, strings.NewReplacer("%u", user, "%c", client).Replace(f))
		}
		return out
	}
	return &aclList{deny: fill(l.deny), read: fill(l.read), write: fill(l.write)}
}

func plainLevel(name string) bool { return name != "" && !strings.ContainsAny(name, "+#/") }

// aclAccess is the rights of one connection.
type aclAccess struct {
	own, all *aclList
	dots     bridge.Dots
}

var _ broker.TopicAccess = (*aclAccess)(nil)

// Allows lets a client have nothing but messages; which is up to AllowsTopic.
func (a *aclAccess) Allows(action broker.Action, _ string) bool { return action != broker.Configure }

// AllowsTopic asks for a topic that is published to, or a filter that is
// subscribed to, as routing keys.
func (a *aclAccess) AllowsTopic(action broker.Action, _, key string) bool {
	if action == broker.Write {
		return a.may(a.dots.Topic(key), func(l *aclList) []string { return l.write })
	}
	filter := a.dots.Filter(key)
	for _, l := range []*aclList{a.own, a.all} {
		for _, f := range l.read {
			if mqttwire.FiltersMeet(a.dots.Seen(f), filter) {
				return true
			}
		}
	}
	return false
}

// MayReceive reports whether the client may be given a message of the topic.
func (a *aclAccess) MayReceive(topic string) bool {
	return a.may(topic, func(l *aclList) []string { return l.read })
}

func (a *aclAccess) may(topic string, allowed func(*aclList) []string) bool {
	for _, l := range []*aclList{a.own, a.all} {
		switch {
		case a.any(l.deny, topic):
			return false
		case a.any(allowed(l), topic):
			return true
		}
	}
	return false
}

func (a *aclAccess) any(filters []string, topic string) bool {
	for _, f := range filters {
		if mqttwire.MatchFilter(a.dots.Seen(f), topic) {
			return true
		}
	}
	return false
}
