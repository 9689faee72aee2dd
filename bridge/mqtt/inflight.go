package mqtt

import (
	"math/rand/v2"
	"sync"

	"leveret/spool"
)

// inflight is the messages that a client has not acknowledged. With QoS 1 a
// packet identifier is the index of its slot and one, so identifiers are small
// and finding one costs nothing, see also takeAt. With QoS 2 the identifier is given, see
// exactID. The writer takes, the reader frees.
type inflight struct {
	mu    sync.Mutex // protects the fields below
	slots []slot     // QoS 1, grows up to max
	max   int        // the window: set when the client is let in
	used  int        // of both kinds
	next  int        // where the search for a free slot starts

	exact map[uint16]slot // QoS 2, by packet identifier; nil until there is one
	store uint16          // counts the identifiers of retained messages
}

// slot is the delivery tag of a message, or one of these.
type slot uint64

const (
	slotFree     slot = 0
	slotRetained slot = 1<<64 - 1 // a retained message: the core does not wait for it
	slotHanded   slot = 1<<64 - 2 // QoS 2: PUBREC has come, PUBCOMP has not
)

// delivered reports a message that the core waits for.
func (s slot) delivered() bool { return s != slotFree && s < slotHanded }

const slotsMin = 8

// take finds a packet identifier. ok is false when the window is closed.
func (f *inflight) take(s slot) (id uint16, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used >= f.max {
		return 0, false
	}
	return f.takeLocked(s), true
}

// takeAt is take for a message at a position of the session's queue. A client
// that comes back gets it under the identifier it had (5.0, section 4.4), as
// that is made of the position; only where another message of the window has
// it, for there were gaps between them, it is the next one that is free.
func (f *inflight) takeAt(pos spool.Pos, s slot) (id uint16, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used >= f.max {
		return 0, false
	}
	at := int((pos - 1) % spool.Pos(f.max))
	if at >= len(f.slots) {
		f.growLocked(max(at+1, 2*len(f.slots)))
	}
	if f.slots[at] == slotFree {
		f.next = at
	}
	return f.takeLocked(s), true
}

func (f *inflight) takeLocked(s slot) (id uint16) {
	if f.used-len(f.exact) == len(f.slots) {
		f.growLocked(2 * len(f.slots))
	}
	for f.slots[f.next] != slotFree {
		f.next = (f.next + 1) % len(f.slots)
	}
	f.slots[f.next] = s
	f.used++
	id = uint16(f.next + 1)
	f.next = (f.next + 1) % len(f.slots)
	return id
}

func (f *inflight) growLocked(to int) {
	bigger := make([]slot, min(max(slotsMin, to), f.max))
	f.next = copy(bigger, f.slots)
	f.slots = bigger
}

// retire gives the memory back while nothing is in flight.
func (f *inflight) retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used == 0 {
		f.slots, f.exact, f.next = nil, nil, 0
	}
}

// free gives an identifier back and says what it stood for; slotFree for one
// that is not in use.
func (f *inflight) free(id uint16) slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := int(id) - 1
	if i < 0 || i >= len(f.slots) || f.slots[i] == slotFree {
		return slotFree
	}
	s := f.slots[i]
	f.slots[i] = slotFree
	f.used--
	return s
}

// awaitsPuback reports whether a message of QoS 1 has the identifier.
func (f *inflight) awaitsPuback(id uint16) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := int(id) - 1
	return i >= 0 && i < len(f.slots) && f.slots[i] != slotFree
}

// busy reports whether anything is in flight.
func (f *inflight) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used > 0
}

// takeExact takes a packet identifier for QoS 2. ok is false when the window is
// closed, or another message has the identifier.
func (f *inflight) takeExact(id uint16, s slot) (ok, another bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.exact[id] != slotFree {
		return false, true
	}
	if f.used >= f.max {
		return false, false
	}
	f.putLocked(id, s)
	return true, false
}

// takeStore takes a packet identifier for a retained message of QoS 2. They
// begin somewhere: a client that kept one from an exchange that was cut short
// would take the next message under it for a repeat.
func (f *inflight) takeStore() (id uint16, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used >= f.max {
		return 0, false
	}
	if f.store == 0 {
		f.store = uint16(rand.Uint32())
	}
	for ok := false; !ok; ok = f.exact[id] == slotFree {
		f.store++
		id = exactFromStore | f.store&(exactFromStore-1)
	}
	f.putLocked(id, slotRetained)
	return id, true
}

// resume puts back what was handed over to the client and not completed when it
// was last here. It may fill more than the window.
func (f *inflight) resume(id uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.putLocked(id, slotHanded)
}

func (f *inflight) putLocked(id uint16, s slot) {
	if f.exact == nil {
		f.exact = make(map[uint16]slot)
	}
	f.exact[id] = s
	f.used++
}

// release gives back an identifier of either kind that was not sent after all.
func (f *inflight) release(id uint16) {
	if id < exactFromStore {
		f.free(id)
		return
	}
	f.complete(id)
}

// hand notes that the client has the message, and says what it was.
func (f *inflight) hand(id uint16) (was slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if was = f.exact[id]; was != slotFree {
		f.exact[id] = slotHanded
	}
	return was
}

// handed reports whether the client has the message and has not completed it.
func (f *inflight) handed(id uint16) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exact[id] == slotHanded
}

// uses reports whether a message of QoS 2 has the identifier.
func (f *inflight) uses(id uint16) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exact[id] != slotFree
}

// complete gives an identifier of QoS 2 back and says what it stood for.
func (f *inflight) complete(id uint16) (was slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if was = f.exact[id]; was != slotFree {
		delete(f.exact, id)
		f.used--
	}
	return was
}
