// Package broker is the core: virtual hosts, exchanges, bindings, queues,
// consumers and what they owe. Every protocol is a shell around it.
//
// The core is passive. It has no socket, no clock and no goroutine of its own;
// callers bring messages and the time, and it answers with receipts (an LSN,
// see package spool) and deliveries. It knows the disk only as a [spool.Log].
// So a whole outage can be a unit test.
//
// A peer is a [Conn]; what a 0-9-1 channel, an MQTT session or a shovel holds
// is a [Session] of it. Two goroutines of the shell work on a connection: the
// reader calls the methods of Conn and Session, the writer calls [Conn.Take]
// whenever the wake function given to [Broker.Connect] has been called. Wake is
// called with the core's lock held: it must only leave a note.
//
// One mutex for each vhost guards everything in it, is taken once for each call
// (callers bring batches) and is never held while the spool reads. The lock
// order is broker, then vhost, then spool. Functions that need the lock end in Locked, and
// so do by custom all methods of queue and Consumer.
//
// Nothing in memory grows with the backlog: a queue holds a window of messages
// and knows how many more wait in the spool (see queue).
package broker

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp"
	"leveret/spool"
)

// Options is what a broker is made of.
type Options struct {
	Log    spool.Log
	Limits Limits
	// QueueTypes is what x-queue-type stands for.
	QueueTypes QueueTypes
	// Boot describes this start; its id is chosen by Open.
	Boot BootRecord
	// Now is the boot's monotonic clock; nil stands still.
	Now func() amqp.Instant
	// Alarm asks that Tick be called at a time, or before. It is called with a
	// lock held and must only leave a note.
	Alarm func(at amqp.Instant)
	// Trouble is told what an operator must know and no caller can be told,
	// with facts as key and value pairs. It may be called with a lock held.
	Trouble func(msg string, facts ...any)
	// Watcher is told of peers; may be nil.
	Watcher Watcher
}

// Broker is the set of virtual hosts over one log.
type Broker struct {
	log     spool.Log
	limits  Limits
	types   QueueTypes
	now     func() amqp.Instant
	alarm   func(at amqp.Instant)
	trouble func(msg string, facts ...any)
	watcher Watcher
	notes   []Note // of the start, until somebody takes them
	boots   boots
	counts  counts
	// transient is the memory that messages outside the spool take.
	transient atomic.Int64
	ids       queueIDs
	node      string

	mu     sync.Mutex // protects the fields below
	vhosts map[string]*VHost
	users  map[string]int // connections of each user
}

// VHost is one virtual host: a namespace with a lock.
type VHost struct {
	b    *Broker
	name string

	mu        sync.Mutex // protects everything below and in what hangs on it
	filled    *sync.Cond // signalled whenever a read of cold messages has ended
	limits    VHostLimits
	deleted   bool
	exchanges map[string]*exchange
	queues    map[string]*queue
	policies  []*policy
	bindings  int
	conns     map[*Conn]struct{}
	retained  retained

	routesGen uint64 // moves with every change of bindings; see exchange.cache
	mark      uint64 // numbers the walks of routing
	targets   []target
	walked    []*binding
	holdings  map[*holding]struct{}
	batch     spool.Batch // changes of the running call, or the last part of them
	bytes     int64       // about, of its Enters
	handed    spool.LSN   // of the parts that the log has already
	whole     bool        // the call is one change: it has no parts
	windows   []*window   // that remember messages of it
	touched   []*queue    // queues that act at its end
	unread    []*lane     // cold messages the next Tick reads

	// Of a Publish that is under way.
	incoming      []incoming
	incomingBytes int64
	marking       []Mark
	slab          []spool.Dest
}

// Identity says who a connection is.
type Identity struct {
	User     string
	Access   Access // nil may do everything: the product's own connections
	Client   string // MQTT client id, AMQP 1.0 container id; may be ""
	Assigned bool   // Client was made up by the door
	Name     string // what an AMQP client calls its connection; may be ""
	Peer     string // its address, for operators; "" is one of the product's own
	Host     string // the address that it came in by
	Protocol string // "AMQP 0-9-1", "MQTT 5", ...
	About    []byte // what the client tells of itself, an encoded field table; may be nil
	Terms    Terms
	// Door: the connection is a part of the MQTT door, whose queues others may
	// look at and nothing else. See reservedPrefix.
	Door bool
	// End is told that the broker wants the connection ended, and why. It is
	// called with locks held and must only leave a note; nil is not to be asked.
	End func(why *amqp.Error)
	// State tells operators what the door knows; nil is nothing. It may be called
	// by anybody, with no lock held.
	State func() LinkState
}

// Terms are what a connection and its door have agreed on, for operators.
type Terms struct {
	TLS        bool
	Mechanism  string        // of the login
	Heartbeat  time.Duration // MQTT's keep alive; 0 is none
	FrameMax   int           // 0 is what the protocol does not know
	ChannelMax int
}

// ErrNoVHost: there is no virtual host of that name.
var ErrNoVHost = errors.New("no such vhost")

// Connect opens a connection to a vhost, within the limits that there are for
// connections. wake is called, with a lock held,
// when Take will have something.
func (b *Broker) Connect(vhost string, who Identity, wake func()) (*Conn, error) {
	c, err := b.connect(vhost, who, wake)
	if err == nil && b.watcher != nil && c.who.Peer != "" {
		b.watcher.Opened(c)
	}
	return c, err
}

func (b *Broker) connect(vhost string, who Identity, wake func()) (*Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.vhosts[vhost]
	if v == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoVHost, vhost)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.admitLocked(&who, b.users[who.User]); err != nil {
		return nil, err
	}
	var err error
	impersonates := who.mayImpersonate()
	if who.Access, err = who.Enter(vhost); err != nil {
		return nil, err
	}
	c := &Conn{v: v, who: who, impersonates: impersonates, wake: wake, opened: b.now(), exclusive: make(map[*queue]struct{})}
	c.topics, _ = who.Access.(TopicAccess)
	v.conns[c] = struct{}{}
	b.users[who.User]++
	return c, nil
}

// Log is the broker's spool: what Publish answers is an LSN of it.
func (b *Broker) Log() spool.Log { return b.log }

// Node names this spool among all others. It is made up when the spool is, and
// kept with it: an emptied spool counts everything anew and is another node.
func (b *Broker) Node() string { return b.node }

// Limits are the bounds in force.
func (b *Broker) Limits() Limits { return b.limits }

// newVHost makes a vhost with the exchanges that every vhost has.
func (b *Broker) newVHost(name string) *VHost {
	v := &VHost{
		b: b, name: name,
		exchanges: make(map[string]*exchange),
		queues:    make(map[string]*queue),
		conns:     make(map[*Conn]struct{}),
		holdings:  make(map[*holding]struct{}),
	}
	v.filled = sync.NewCond(&v.mu)
	v.retained.values = make(map[address]*amqp.Message)
	for _, spec := range predeclared {
		x, err := newExchange(v.named("exchange", spec.Name), spec)
		if err != nil {
			panic("BUG: predeclared exchange: " + err.Error())
		}
		v.exchanges[spec.Name] = x
	}
	return v
}

// newName makes a name that nobody else has: prefix and 22 characters.
func newName(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// named is the standard way to say which thing: `queue 'q' in vhost '/'`.
func (v *VHost) named(kind, name string) string {
	return fmt.Sprintf("%s '%s' in vhost '%s'", kind, name, v.name)
}
