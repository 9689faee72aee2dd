// Package devices remembers the clients that were seen on any door: who they
// are, when they were first and last heard of, how much they sent, and whether
// one has fallen silent that should not.
//
// A device is an MQTT client id, or an AMQP user together with the name that
// its program gives the connection, else with the address it comes from; see
// idOf. The product's own connections are none.
//
// The registry is told by the core when connections open and close (see
// [broker.Watcher]) and reads their counters when it wants to know; nothing is
// done here for a message. Only the first message of a new device is told, and
// the next one of a device that is silent. What it remembers stands in the spool as notes of the core. They are
// written soon after something that matters (a new device, one that fell
// silent) and else every saveEvery, so that a thousand busy sensors cost the
// card one small write in ten minutes; what a power cut takes is the newest
// counts and times, never a device. Times are stamps of a boot and become wall
// time when they are shown.
//
// A device is silent when nothing was published by it for as long as the rules
// say; see Rules. Time in which nobody could be heard does not count: when the
// gateway was off, and when its spool was so full that publishers had to wait.
// Silence and its end are published to the exchange leveret.event, as are
// connections, when anything is bound to it; see event.go. What could not be
// published before the end is at the next start; see owed.go.
//
// The package has no goroutine and no clock: the appliance calls Tick when
// Options.Alarm asked for it.
package devices

import (
	"container/list"
	"errors"
	"log/slog"
	"sync"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
)

// Options is what a registry is made of. All are needed.
type Options struct {
	Rules Rules
	Now   func() amqp.Instant
	// Alarm asks that Tick be called at a time, or before. It is called with
	// locks held and must only leave a note.
	Alarm func(at amqp.Instant)
	// Deaf reports whether publishers have to wait at present.
	Deaf func() bool
	Log  *slog.Logger
}

const (
	saveEvery = 10 * time.Minute // counts and times of known devices
	saveSoon  = 30 * time.Second // what matters
)

// Registry is the devices. It is the core's [broker.Watcher].
type Registry struct {
	o Options

	heardMu sync.Mutex     // protects heard; taken with any other lock held
	heard   []*broker.Conn // have sent what was listened for

	mu      sync.Mutex // protects the fields below; taken before the core's
	rules   Rules
	core    *broker.Broker
	events  *broker.Session // publishes
	since   amqp.Instant    // when the registry began to listen, or could hear again
	known   map[string]*entry
	away    *list.List // of *entry without a connection; who went first is first
	peers   map[*broker.Conn]*entry
	silent  int
	removed []string // names of notes to be taken away
	told    []Event  // to be published
	owed    []string // names of notes of events that were not in the life before
	saveAt  amqp.Instant
	lookAt  amqp.Instant // when a device may have fallen silent; 0 is never
	counts  Counts
}

// entry is a device. Its counts are those of connections that have ended.
type entry struct {
	Device
	conns   []*broker.Conn
	away    *list.Element // in Registry.away; nil while there are conns
	changed bool          // since it was saved
	saved   uint64        // messages in and out when it was
}

// New makes a registry without devices. Attach makes it useful.
func New(o Options) *Registry {
	return &Registry{
		o: o, rules: o.Rules,
		known: make(map[string]*entry), away: list.New(), peers: make(map[*broker.Conn]*entry),
	}
}

// Attach takes over what the spool remembers and makes the exchange for events,
// unless a client has made another of that name: that is no reason not to start.
// It is called once, before the first peer comes.
func (r *Registry) Attach(core *broker.Broker) error {
	conn, err := core.Connect(broker.DefaultVHost, broker.Identity{Protocol: "devices"}, func() {})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core, r.events, r.since = core, conn.Open(), r.o.Now()
	r.loadLocked(core.TakeNotes(noteKind))
	r.oweLocked(core.TakeNotes(owedKind))
	r.lookLocked()
	err = r.declare()
	if refused, ok := errors.AsType[*amqp.Error](err); ok {
		r.o.Log.Warn(noExchange, "err", refused)
		return nil
	}
	return err
}

// Opened notes a connection.
func (r *Registry) Opened(c *broker.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := c.Identity()
	id, wait := idOf(&who), saveEvery
	e := r.known[id]
	if e == nil {
		wait = saveSoon
		if !r.roomLocked() {
			r.counts.Overlooked++
			return
		}
		e = &entry{Device: Device{ID: id, First: c.Opened()}}
		r.known[id] = e
	}
	if e.away != nil {
		r.away.Remove(e.away)
		e.away = nil
	}
	e.meet(&who, c)
	r.peers[c] = e
	e.conns = append(e.conns, c)
	e.changed = true
	if e.Silent || !e.published() {
		c.Listen()
	}
	r.tellLocked(e, Connected, c.Opened())
	r.saveWithin(wait)
	r.judgeLocked(e)
}

// Closed notes the end of a connection.
func (r *Registry) Closed(c *broker.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.peers[c]
	if e == nil {
		return
	}
	delete(r.peers, c)
	e.leave(c)
	e.Last, e.changed = r.nowLocked(), true
	if len(e.conns) == 0 {
		e.away = r.away.PushBack(e)
	}
	r.tellLocked(e, Disconnected, e.Last)
	r.saveWithin(saveEvery)
	r.judgeLocked(e)
}

// Heard notes that a device has sent something.
func (r *Registry) Heard(c *broker.Conn) {
	r.heardMu.Lock()
	r.heard = append(r.heard, c)
	r.heardMu.Unlock()
	r.o.Alarm(r.o.Now())
}

// takeHeard gives what was noted. Each of these connections was listened to
// once, which bounds them.
func (r *Registry) takeHeard() (heard []*broker.Conn) {
	r.heardMu.Lock()
	defer r.heardMu.Unlock()
	heard, r.heard = r.heard, nil
	return heard
}

// nowLocked is this moment as a stamp.
func (r *Registry) nowLocked() amqp.Stamp {
	return amqp.Stamp{Boot: r.core.Boot(), At: r.o.Now()}
}

// roomLocked makes room for one more device: the one that has been away for
// longest is forgotten.
func (r *Registry) roomLocked() bool {
	for len(r.known) >= max(r.rules.Max, 0) {
		oldest := r.away.Front()
		if oldest == nil {
			return false
		}
		r.counts.Forgotten++
		r.removeLocked(oldest.Value.(*entry))
	}
	return true
}

// removeLocked forgets a device that is away.
func (r *Registry) removeLocked(e *entry) {
	r.away.Remove(e.away)
	delete(r.known, e.ID)
	if e.Silent {
		r.silent--
	}
	r.removed = append(r.removed, e.ID)
	r.saveWithin(saveSoon)
}

// saveWithin has the registry saved by then.
func (r *Registry) saveWithin(d time.Duration) {
	if at := r.o.Now() + amqp.Instant(d); r.saveAt == 0 || at < r.saveAt {
		r.saveAt = at
		r.o.Alarm(at)
	}
}
