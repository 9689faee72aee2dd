package devices

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Counts are figures for operators; the last three only rise.
type Counts struct {
	Known     int
	Connected int // devices that have a connection
	Silent    int
	Max       int

	Forgotten  uint64 // gave way to others
	Overlooked uint64 // connections of devices that there was no room for
	EventsLost uint64 // events given up because the spool stayed full
}

// Counts reads the figures.
func (r *Registry) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts
	c.Known, c.Connected, c.Silent, c.Max = len(r.known), len(r.known)-r.away.Len(), r.silent, r.rules.Max
	return c
}

// View is a device as it is shown, with wall times.
type View struct {
	ID          string `json:"id"`
	Client      string `json:"client,omitempty"`
	User        string `json:"user"`
	VHost       string `json:"vhost"`
	Protocol    string `json:"protocol"`
	Address     string `json:"address"`
	Connected   bool   `json:"connected"`
	Connections int    `json:"connections"`

	FirstSeen   *time.Time `json:"first_seen"`
	LastSeen    *time.Time `json:"last_seen"`
	LastMessage *time.Time `json:"last_message"`
	LastKey     string     `json:"last_key,omitempty"`

	MessagesIn  uint64 `json:"messages_in"` // published by it
	BytesIn     uint64 `json:"bytes_in"`
	MessagesOut uint64 `json:"messages_out"` // handed to it
	BytesOut    uint64 `json:"bytes_out"`

	Silent      bool       `json:"silent"`
	SilentSince *time.Time `json:"silent_since,omitempty"`
	SilentAfter float64    `json:"silent_after_seconds"` // 0 is not watched

	// Unsure are the names of those times that may be wrong: the gateway did
	// not know better. A time that nothing is known of is null.
	Unsure []string `json:"unsure,omitempty"`
}

// List gives all devices by id.
func (r *Registry) List() []*View {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*View, 0, len(r.known))
	for _, e := range r.known {
		list = append(list, r.viewLocked(e))
	}
	slices.SortFunc(list, func(a, b *View) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Get gives one device.
func (r *Registry) Get(id string) (*View, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	if e == nil {
		return nil, false
	}
	return r.viewLocked(e), true
}

func (r *Registry) viewLocked(e *entry) *View {
	d := e.now()
	v := &View{
		ID: d.ID, Client: d.Client, User: d.User, VHost: d.VHost, Protocol: d.Protocol, Address: d.Address,
		Connected: d.Connections > 0, Connections: d.Connections,
		LastKey:    d.LastKey,
		MessagesIn: d.In, BytesIn: d.InBytes, MessagesOut: d.Out, BytesOut: d.OutBytes,
		Silent: d.Silent, SilentAfter: d.SilentAfter.Seconds(),
	}
	v.FirstSeen = r.wall(d.First, "first_seen", &v.Unsure)
	v.LastSeen = r.wall(d.Last, "last_seen", &v.Unsure)
	v.LastMessage = r.wall(d.LastMessage, "last_message", &v.Unsure)
	if d.Silent {
		v.SilentSince = r.wall(d.SilentSince, "silent_since", &v.Unsure)
	}
	return v
}

// ErrConnected: a device that is connected cannot be forgotten.
var ErrConnected = errors.New("the device is connected")

// Forget takes a device that is away out of the registry; ok is false when
// there is none of that id.
func (r *Registry) Forget(id string) (ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	switch {
	case e == nil:
		return false, nil
	case len(e.conns) > 0:
		return true, ErrConnected
	}
	r.removeLocked(e)
	return true, nil
}
