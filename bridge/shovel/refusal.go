package shovel

import (
	"fmt"
	"time"

	"leveret/bridge"
)

// OnRefusal is what becomes of a message that the far side will not take. The
// zero value keeps everything.
type OnRefusal uint8

const (
	// DeadLetter puts it where the source keeps such messages; where the source
	// has no such place it is held.
	DeadLetter OnRefusal = iota
	// Hold keeps it in its place, and what is behind it waits, until the far
	// side takes it or somebody takes it away.
	Hold
	// Drop throws it away.
	Drop
)

// poison is the message that was refused last: a shovel is held up by one at a
// time.
type poison struct {
	id, key string
	bytes   int
	tries   int  // refusals in a row
	told    bool // the operator knows

	logged time.Time // when one that was put aside was last told
	quiet  int       // put aside since then
}

// asideEvery is how often messages that were put aside are told.
const asideEvery = time.Minute

// putAside counts a refusal, and takes the message out of the source when the
// far side has said no often enough. A far side without room has not judged
// the message.
func (c *crossing) putAside(r *bridge.Answer) (bool, error) {
	if r.Outcome == bridge.Busy {
		return false, nil
	}
	p, m := &c.poison, c.flight.suspect()
	if p.id != m.id || p.key != m.key || p.bytes != m.bytes {
		p.freed(c.Shovel)
		p.id, p.key, p.bytes, p.tries = m.id, m.key, m.bytes, 0
	}
	if p.tries++; p.tries < c.o.RefusalTries {
		return false, nil
	}
	switch c.o.OnRefusal {
	case Drop:
		if err := c.reader.Settle([]bridge.Ack{{Tag: m.tag}}); err != nil {
			return false, err
		}
	case DeadLetter:
		if buried, err := c.reader.Bury(m.tag, r.Outcome.String()+": "+r.Reason); err != nil {
			return false, err
		} else if buried {
			break
		}
		fallthrough
	default:
		p.hold(c.Shovel, r)
		return false, nil
	}
	c.countAside()
	p.tell(c.Shovel, r)
	p.freed(c.Shovel)
	p.tries = 0
	return true, nil
}

// hold tells the operator that the message will not go by itself.
func (p *poison) hold(s *Shovel, r *bridge.Answer) {
	p.told = true
	s.o.Trouble(fmt.Sprintf("message %q with key %q was not taken %d times and holds up what is behind it: %s: %s",
		p.id, p.key, p.tries, r.Outcome, r.Reason))
}

// freed tells that nothing is held up any more.
func (p *poison) freed(s *Shovel) {
	if p.told {
		p.told = false
		s.o.Trouble("")
	}
}

// tell logs that a message was put aside: not each of them, there may be many.
func (p *poison) tell(s *Shovel, r *bridge.Answer) {
	if !p.logged.IsZero() && time.Since(p.logged) < asideEvery {
		p.quiet++
		return
	}
	what := "message is dead-lettered: the far side does not take it"
	if s.o.OnRefusal == Drop {
		what = "message is dropped: the far side does not take it"
	}
	s.log.Warn(what, "id", p.id, "key", p.key, "tries", p.tries, "outcome", r.Outcome.String(), "reason", r.Reason, "others_untold", p.quiet)
	p.logged, p.quiet = time.Now(), 0
}

func (s *Shovel) countAside() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.OnRefusal == Drop {
		s.status.Dropped++
	} else {
		s.status.Buried++
	}
	s.backlog--
}
