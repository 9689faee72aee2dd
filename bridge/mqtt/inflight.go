package mqtt

import "sync"

// inflight is the QoS 1 messages that a client has not acknowledged. A packet
// identifier is the index of its slot and one, so identifiers are small and
// finding one costs nothing. The writer takes, the reader frees.
type inflight struct {
	mu    sync.Mutex // protects the fields below
	slots []slot     // grows up to max
	max   int        // the window: set when the client is let in
	used  int
	next  int // where the search for a free slot starts
}

// slot is the delivery tag of a message, or one of these.
type slot uint64

const (
	slotFree     slot = 0
	slotRetained slot = 1<<64 - 1 // a retained message: the core does not wait for it
)

const slotsMin = 8

// take finds a packet identifier. ok is false when the window is closed.
func (f *inflight) take(s slot) (id uint16, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used >= f.max {
		return 0, false
	}
	if f.used == len(f.slots) {
		bigger := make([]slot, min(max(slotsMin, 2*len(f.slots)), f.max))
		f.next = copy(bigger, f.slots)
		f.slots = bigger
	}
	for f.slots[f.next] != slotFree {
		f.next = (f.next + 1) % len(f.slots)
	}
	f.slots[f.next] = s
	f.used++
	id = uint16(f.next + 1)
	f.next = (f.next + 1) % len(f.slots)
	return id, true
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

// busy reports whether anything is in flight.
func (f *inflight) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used > 0
}
