package users

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"sync"

	"leveret/amqp/broker"
)

// A User is what the core asks.
var (
	_ broker.VHostAccess   = (*User)(nil)
	_ broker.BoundedAccess = (*User)(nil)
	_ broker.Impersonator  = (*User)(nil)
	_ broker.TopicAccess   = (*entered)(nil)
)

const (
	patternMax  = 4096 // bytes of one pattern
	verdictsMax = 512  // resources whose verdict is kept for each user and action

	// defaultExchange is the name under which rights to the nameless exchange
	// are looked up, as in RabbitMQ.
	defaultExchange = "amq.default"
)

// Allows reports whether the user, where no permission of a vhost says
// otherwise, may do a to the resource (the name of a queue or an exchange); a
// connection is asked by what Enter gave it. A pattern is searched in the name, it is not anchored:
// "temp" allows "room.temperature", "^temp$" allows only "temp". The empty
// pattern allows nothing. The nameless exchange is looked up as "amq.default".
func (u *User) Allows(a broker.Action, resource string) bool {
	return u.grants.own.Allows(a, resource)
}

// CheckPattern tells what is wrong with a pattern, or nil.
func CheckPattern(pattern string) error {
	_, err := compile(pattern)
	return err
}

// rights is one pattern with the verdicts that it has given.
type rights struct {
	all, none bool // needs no look at the name
	re        *regexp.Regexp

	mu       sync.RWMutex    // protects verdicts
	verdicts map[string]bool // at most verdictsMax; emptied when full
}

func (r *rights) compile(pattern string) (err error) {
	r.all, r.none = pattern == ".*" || pattern == "^.*$", pattern == ""
	r.re, err = compile(pattern)
	r.verdicts = make(map[string]bool)
	return err
}

func (r *rights) allow(resource string) bool {
	if r.all || r.none {
		return r.all
	}
	r.mu.RLock()
	verdict, known := r.verdicts[resource]
	r.mu.RUnlock()
	if known {
		return verdict
	}
	verdict = r.re.MatchString(resource)
	r.mu.Lock()
	defer r.mu.Unlock()
	// Names come from clients. A client that asks for ever new ones empties the
	// cache again and again, and slows down nothing but itself and its user.
	if len(r.verdicts) >= verdictsMax {
		clear(r.verdicts)
	}
	r.verdicts[resource] = verdict
	return verdict
}

func compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > patternMax {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", patternMax)
	}
	re, err := regexp.Compile(pattern)
	if bad, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, fmt.Errorf("not a regular expression: %s: %q", bad.Code, bad.Expr)
	}
	return re, err
}
