package users

import (
	"net/netip"
	"sync"
)

// waitersMax bounds the logins of one address that wait for a slow hash.
const waitersMax = 64

// turns lets one login of an address after the other come to the slow hashes,
// so that a storm of wrong ones from there keeps nobody else waiting for longer
// than one of them takes. The zero turns are ready.
type turns struct {
	mu sync.Mutex // protects of, and waiting of each
	of map[netip.Addr]*turn
}

type turn struct {
	free    sync.Mutex // held by the one whose turn it is
	waiting int        // who holds free, and who wants to
}

// take waits for the turn of an address, which is over when done is called. It
// is not to be had when too many wait already.
func (t *turns) take(remote netip.Addr) (done func(), ok bool) {
	t.mu.Lock()
	its := t.of[remote]
	if its == nil {
		if t.of == nil {
			t.of = make(map[netip.Addr]*turn)
		}
		its = new(turn)
		t.of[remote] = its
	}
	if its.waiting == waitersMax {
		t.mu.Unlock()
		return nil, false
	}
	its.waiting++
	t.mu.Unlock()
	its.free.Lock()
	return func() {
		its.free.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if its.waiting--; its.waiting == 0 {
			delete(t.of, remote)
		}
	}, true
}
