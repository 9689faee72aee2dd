// Package strangers bounds the connections that have not shown yet that they
// mean anything: who only connects costs the sender nothing, and us a socket, a
// goroutine and a buffer. A newcomer is always let in. When there is no place
// for it the stranger that came first goes, so that a client that gets on with
// it is served, however many others hold their places and say nothing.
package strangers

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
)

// Room has places for strangers. Its methods may be called by anybody and do
// not wait for a peer.
type Room struct {
	places int
	mu     sync.Mutex // protects here
	here   []net.Conn // in the order they came
}

// NewRoom makes a room.
func NewRoom(places int) *Room { return &Room{places: places} }

// Enter gives nc a place, if need be that of the one who came first, which
// loses its socket; evicted says so.
func (r *Room) Enter(nc net.Conn) (evicted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if evicted = len(r.here) >= r.places; evicted {
		r.evictLocked()
	}
	r.here = append(r.here, nc)
	return evicted
}

// Leave is for a connection that is no stranger any more, or has ended. It says
// whether it still had its place.
func (r *Room) Leave(nc net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.here, nc)
	if i < 0 {
		return false
	}
	r.here = slices.Delete(r.here, i, i+1)
	return true
}

// Evict ends the stranger that came first, if there is one.
func (r *Room) Evict() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evictLocked()
}

func (r *Room) evictLocked() bool {
	if len(r.here) == 0 {
		return false
	}
	nc := r.here[0]
	r.here = slices.Delete(r.here, 0, 1)
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn() // TLS would wait to say goodbye
	}
	_ = nc.Close() // its goroutine will notice
	return true
}

// Len is how many are here.
func (r *Room) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.here)
}
