package users

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// User is an account that may be asked for its rights. It is shared by all the
// connections of the user.
type User struct {
	Name string
	Tags []string

	hash         Hash
	loopbackOnly bool
	grants       grants
	connections  int
	channels     int
	clientIDs    string
	acl          *ACL // in place of grants; nil if there is none

	// A right password of a slow hash is recognised for rememberedFor, so that
	// a thousand devices that come back at once do not cost a minute of CPU.
	salt  [16]byte
	known atomic.Pointer[remembered]
}

type remembered struct {
	sum   [sha256.Size]byte // of the salt and the password
	until time.Time
}

const rememberedFor = time.Minute

func newUser(a Account) (*User, error) {
	switch {
	case a.Name == "":
		return nil, errors.New("the name is empty")
	case len(a.Name) > NameMax:
		return nil, errors.New("the name is longer than 255 bytes")
	}
	u := &User{
		Name: a.Name, Tags: slices.Clone(a.Tags), hash: a.Hash, loopbackOnly: a.LoopbackOnly,
		connections: a.ConnectionsMax, channels: a.ChannelsMax, clientIDs: a.ClientIDs, acl: a.ACL,
	}
	var err error
	if u.grants, err = newGrants(a); err != nil {
		return nil, err
	}
	rand.Read(u.salt[:]) // never fails, see crypto/rand
	return u, nil
}

// ConnectionsMax bounds the connections of the user, all together, and
// ChannelsMax its AMQP channels, all together; 0 is no bound of its own.
func (u *User) ConnectionsMax() int { return u.connections }
func (u *User) ChannelsMax() int    { return u.channels }

// HasTag reports whether the account carries a tag (administrator, monitoring,
// management, policymaker or one of the operator's own).
func (u *User) HasTag(tag string) bool { return slices.Contains(u.Tags, tag) }

// Impersonates reports whether messages of the user may carry the id of another
// one (RabbitMQ's tag).
func (u *User) Impersonates() bool { return u.HasTag("impersonator") }

// from checks the place of a login whose password was right. It comes after
// the password, so that a stranger cannot learn which accounts are local.
func (u *User) from(remote netip.Addr) (*User, error) {
	if u.loopbackOnly && !remote.Unmap().IsLoopback() {
		return nil, ErrLoopbackOnly
	}
	return u, nil
}

func (u *User) remembers(password string, now time.Time) bool {
	k := u.known.Load()
	if k == nil || now.After(k.until) {
		return false
	}
	sum := u.digest(password)
	return subtle.ConstantTimeCompare(k.sum[:], sum[:]) == 1
}

func (u *User) remember(password string, now time.Time) {
	if u.hash.slow() {
		u.known.Store(&remembered{sum: u.digest(password), until: now.Add(rememberedFor)})
	}
}

func (u *User) digest(password string) [sha256.Size]byte {
	return sha256.Sum256(append(u.salt[:len(u.salt):len(u.salt)], password...))
}
