package shovel

import (
	"time"

	"leveret/bridge"
)

// State is where a shovel stands.
type State uint8

const (
	Down     State = iota // waiting for the next attempt, or not running
	Dialing               // opening a link
	Draining              // the link is up; what waited when it came up is being sent
	Live                  // the link is up and has caught up
	Paused                // told to stay away
)

func (s State) String() string {
	return [...]string{"down", "dialing", "draining", "live", "paused"}[s]
}

// Status is what an operator sees of a shovel. Counters count since New.
type Status struct {
	Name   string
	Source string // without secrets
	Target string // without secrets
	State  State
	Since  time.Time // of the state

	LastError   string // why the last link or attempt ended; stays when a link is up again
	LastErrorAt time.Time
	Held        string // why the far side holds publishers back now, or ""

	InFlight int // sent and not settled
	// Lag is how many messages in the source are not confirmed, those in flight
	// included, and LagKnown whether the source can tell.
	Lag      int
	LagKnown bool

	Confirmed uint64 // messages that the far side took
	Refused   uint64 // answers that it did not take one
	Returned  uint64 // answers that it had no queue for one
	Busy      uint64 // answers that it had no room at present
	Unmatched uint64 // of those it took, messages that nobody there waits for
	Buried    uint64 // messages that it never took and that were dead-lettered
	Dropped   uint64 // messages that it never took and that were dropped
	Resent    uint64 // messages sent that may have been sent before
	Bytes     uint64 // bodies confirmed
	Links     uint64 // times a link came up; all but the first are reconnects
	Failures  uint64 // attempts and links that failed

	// LastConfirm is when the far side last confirmed something, and
	// ConfirmedUpTo when the newest confirmed message had come in: what is
	// older is at the far side. Zero when not known.
	LastConfirm   time.Time
	ConfirmedUpTo time.Time
}

// Reconnects is how often a link came up again.
func (st *Status) Reconnects() uint64 { return max(st.Links, 1) - 1 }

// Status is how things stand now.
func (s *Shovel) Status() Status {
	s.mu.Lock()
	st, f, link := s.status, s.flight, s.link
	s.mu.Unlock()
	if f != nil {
		st.InFlight, _ = f.load()
		st.Held = link.Held()
	}
	st.Lag, st.LagKnown = s.o.Source.Backlog()
	return st
}

// arrive notes that a link is up with so many messages waiting.
func (s *Shovel) arrive(link bridge.Link, f *flight, backlog int) {
	s.mu.Lock()
	s.link, s.flight, s.backlog = link, f, backlog
	s.status.Links++
	s.mu.Unlock()
	if backlog > 0 {
		s.become(Draining, nil)
	} else {
		s.become(Live, nil)
	}
}

// depart notes that the link is going.
func (s *Shovel) depart() {
	s.mu.Lock()
	s.link, s.flight = nil, nil
	s.mu.Unlock()
}

// count adds a batch of answers, and answers whether the link has just worked
// off what waited when it came up.
func (s *Shovel) count(answers []bridge.Answer, l *landing) (caughtUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	for i := range answers {
		switch answers[i].Outcome {
		case bridge.Refused:
			st.Refused++
		case bridge.Returned:
			st.Returned++
		case bridge.Busy:
			st.Busy++
		case bridge.Confirmed:
			if answers[i].Reason != "" {
				st.Unmatched++
			}
		}
	}
	if l.confirmed == 0 {
		return false
	}
	st.Confirmed += uint64(l.confirmed)
	st.Bytes += uint64(l.bytes)
	st.LastConfirm = time.Now()
	if l.arrived.After(st.ConfirmedUpTo) {
		st.ConfirmedUpTo = l.arrived
	}
	s.backlog -= l.confirmed
	return st.State == Draining && s.backlog <= 0
}

func (s *Shovel) countResent() {
	s.mu.Lock()
	s.status.Resent++
	s.mu.Unlock()
}
