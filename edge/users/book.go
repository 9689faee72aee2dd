// Package users holds the accounts of one broker: who may come in, from where,
// and what each may touch.
//
// A Book is made once from the accounts of the configuration and never changes;
// a reload makes a new one. It keeps hashes, not passwords, and answers two
// questions: Authenticate (is this the user?) and, on the User it hands out,
// Enter (may it come into this vhost, and what may it configure, write and read
// there?).
//
// A refused login costs the same whether the user exists or not, so that names
// cannot be found by timing, and says nothing but that it was refused. The
// package starts no goroutine, opens no file and logs nothing; all methods may
// be called from any goroutine.
package users

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

var (
	// ErrRefused: the name and the password are not those of an account.
	ErrRefused = errors.New("login refused")
	// ErrLoopbackOnly: the password is right, but the account may be used only
	// from this machine. It wraps ErrRefused; a peer is told no more than that.
	ErrLoopbackOnly = fmt.Errorf("%w: the account is for loopback connections only", ErrRefused)
	// ErrBusy: too many logins of the address wait for theirs to be checked.
	// It wraps ErrRefused too.
	ErrBusy = fmt.Errorf("%w: too many others from the address are being checked", ErrRefused)
)

// NameMax is the longest name of a user, in bytes.
const NameMax = 255

// Account is one account as it is configured.
type Account struct {
	Name string
	Hash Hash
	Tags []string
	// Patterns (regular expressions) of the names that the user may declare
	// and delete, publish to or bind, and consume or get from. See Allows.
	Configure, Write, Read string
	// Permissions are for single vhosts, in which they hold in place of the
	// patterns above. Where there is none and those above are all empty, the
	// user may not enter.
	Permissions  []Permission
	Topics       []TopicPermission
	LoopbackOnly bool
	// ConnectionsMax and ChannelsMax: see the methods of User. 0 is no bound.
	ConnectionsMax, ChannelsMax int
	// ClientIDs is a pattern, see MayBeClient.
	ClientIDs string
	// ACL holds in place of all patterns, if there is one.
	ACL *ACL
}

// Book is a set of accounts. The zero Book refuses everyone.
type Book struct {
	users  map[string]*User
	decoys []Hash        // one for each cost among the accounts' hashes; what it matches is of no matter
	slow   chan struct{} // held while a slow hash is computed
	turns  turns         // at the slow hashes
	now    func() time.Time
}

// NewBook makes the book of the accounts. It fails on a name that is empty, too
// long or there twice, and on a pattern that does not compile.
func NewBook(accounts []Account) (*Book, error) {
	b := &Book{
		users: make(map[string]*User, len(accounts)),
		// Half of the cores at most are spent on slow hashes: a storm of
		// logins must not stop the messages.
		slow: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		now:  time.Now,
	}
	for _, a := range accounts {
		u, err := newUser(a)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", a.Name, err)
		}
		if b.users[a.Name] != nil {
			return nil, fmt.Errorf("user %q: the name is there twice", a.Name)
		}
		b.users[a.Name] = u
		if !slices.ContainsFunc(b.decoys, a.Hash.costsAs) {
			b.decoys = append(b.decoys, a.Hash)
		}
	}
	return b, nil
}

// User gives the account of a name, for logins that need no password (a door
// that lets in anonymous clients, a certificate).
func (b *Book) User(name string) (*User, bool) {
	u, ok := b.users[name]
	return u, ok
}

// Trust gives the account of a name whose owner was recognised without a
// password, by a certificate for example. The place is checked all the same.
func (b *Book) Trust(name string, remote netip.Addr) (*User, error) {
	u := b.users[name]
	if u == nil {
		return nil, ErrRefused
	}
	return u.from(remote)
}

// Len is the number of accounts.
func (b *Book) Len() int { return len(b.users) }

// Authenticate gives the account of name if the password is right and the
// account may be used from remote. The error is ErrRefused, ErrLoopbackOnly or
// ErrBusy.
// An empty password is always refused, whatever hash is configured.
func (b *Book) Authenticate(name, password string, remote netip.Addr) (*User, error) {
	u := b.users[name]
	if u != nil && u.remembers(password, b.now()) {
		return u.from(remote)
	}
	if slices.ContainsFunc(b.decoys, Hash.slow) {
		done, ok := b.turns.take(remote)
		if !ok {
			return nil, ErrBusy
		}
		defer done()
		if u != nil && u.remembers(password, b.now()) { // another was right meanwhile
			return u.from(remote)
		}
	}
	ok := u != nil && b.matches(u.hash, password)
	if !ok || password == "" {
		b.refuse(u, password)
		return nil, ErrRefused
	}
	u.remember(password, b.now())
	return u.from(remote)
}

// refuse spends what the accounts that were not tried would have cost: a
// refusal takes one hash of each cost in the book, whoever was asked for.
func (b *Book) refuse(tried *User, password string) {
	for _, d := range b.decoys {
		if tried == nil || !tried.hash.costsAs(d) {
			b.matches(d, password)
		}
	}
}

func (b *Book) matches(h Hash, password string) bool {
	if h.slow() {
		b.slow <- struct{}{}
		defer func() { <-b.slow }()
	}
	return h.matches(password)
}
