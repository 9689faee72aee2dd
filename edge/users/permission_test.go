package users

import (
	"strings"
	"testing"

	"leveret/amqp/broker"
)

func TestEnter(t *testing.T) {
	b := newBook(t,
		Account{Name: "own", Write: "^a$"},
		Account{Name: "none"},
		Account{Name: "lab", Permissions: []Permission{{VHost: "lab", Read: "^r$"}}},
		Account{Name: "both", Configure: ".*", Write: ".*", Read: ".*", Permissions: []Permission{{VHost: "lab"}}},
	)
	for _, c := range []struct {
		user, vhost string
		enters      bool
		may         string // write a, read r
	}{
		{"own", "/", true, "write"},
		{"own", "lab", true, "write"},
		{"none", "/", false, ""},
		{"lab", "/", false, ""},
		{"lab", "lab", true, "read"},
		{"both", "/", true, "write read"},
		{"both", "lab", true, ""}, // an entry holds in place of the user's own
	} {
		u, _ := b.User(c.user)
		in, ok := u.Enter(c.vhost, "")
		if ok != c.enters {
			t.Errorf("%s.Enter(%q) = %v, want %v", c.user, c.vhost, ok, c.enters)
		}
		if !ok {
			continue
		}
		var may []string
		if in.Allows(broker.Write, "a") {
			may = append(may, "write")
		}
		if in.Allows(broker.Read, "r") {
			may = append(may, "read")
		}
		if got := strings.Join(may, " "); got != c.may {
			t.Errorf("%s may %q in %q, want %q", c.user, got, c.vhost, c.may)
		}
	}
}

func TestAllowsTopic(t *testing.T) {
	b := newBook(t, Account{
		Name: "a.b", Write: ".*",
		Topics: []TopicPermission{
			{VHost: "/", Exchange: "amq.topic", Write: `^{username}\.{client_id}\.`, Read: "^all"},
			{VHost: "lab", Exchange: "x", Write: "^{vhost}$"},
		},
	})
	u, _ := b.User("a.b")
	for _, c := range []struct {
		vhost, client, exchange, key string
		action                       broker.Action
		want                         bool
	}{
		{"/", "c", "amq.topic", "a.b.c.temp", broker.Write, true},
		{"/", "c", "amq.topic", "axb.c.temp", broker.Write, false}, // the name is no pattern
		{"/", "c", "amq.topic", "a.b.d.temp", broker.Write, false}, // somebody else's id
		{"/", ".*", "amq.topic", "a.b.d.temp", broker.Write, false},
		{"/", "", "amq.topic", "a.b..temp", broker.Write, false}, // no id is no wildcard
		{"/", "c", "amq.topic", "all.of.it", broker.Read, true},
		{"/", "c", "amq.topic", "some.of.it", broker.Read, false},
		{"/", "c", "x", "anything", broker.Write, true}, // nothing is said of it here
		{"lab", "c", "amq.topic", "anything", broker.Write, true},
		{"lab", "c", "x", "lab", broker.Write, true},
		{"lab", "c", "x", "a.b", broker.Write, false},
		{"lab", "c", "x", "lab", broker.Read, false}, // "" is none
	} {
		in, ok := u.Enter(c.vhost, c.client)
		if !ok {
			t.Fatalf("Enter(%q) refused", c.vhost)
		}
		if got := in.(broker.TopicAccess).AllowsTopic(c.action, c.exchange, c.key); got != c.want {
			t.Errorf("in %q as %q: AllowsTopic(%v, %q, %q) = %v, want %v", c.vhost, c.client, c.action, c.exchange, c.key, got, c.want)
		}
	}
	if in, _ := u.Enter("other", ""); in == nil {
		t.Error("no access where no topics are limited")
	} else if _, asked := in.(broker.TopicAccess); asked {
		t.Error("topics are asked for where none are limited")
	}
	if _, ok := u.Enter("/", strings.Repeat("x", patternMax)); ok {
		t.Error("a client id that no pattern can hold came in")
	}
}

func TestNewBookRefusesPermissions(t *testing.T) {
	twice := []Permission{{VHost: "v"}, {VHost: "v"}}
	topics := []TopicPermission{{VHost: "v", Exchange: "x"}, {VHost: "v", Exchange: "x"}}
	for _, c := range []struct {
		account Account
		want    string
	}{
		{Account{Name: "a", Permissions: twice}, `user "a": permission in vhost "v": it is there twice`},
		{Account{Name: "a", Permissions: []Permission{{VHost: "v", Write: "("}}}, `permission in vhost "v": write: not a regular`},
		{Account{Name: "a", Topics: topics}, `topics of exchange "x" in vhost "v": they are there twice`},
		{Account{Name: "a", Topics: []TopicPermission{{VHost: "v", Exchange: "x", Read: "({client_id}"}}}, `in vhost "v": read: not a regular`},
	} {
		if _, err := NewBook([]Account{c.account}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewBook(%+v) = %v, want %q", c.account, err, c.want)
		}
	}
}
