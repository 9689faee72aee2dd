package broker

import (
	"errors"

	"leveret/amqp"
	"leveret/spool"
)

// Tx is what a session has been asked for and will do as one change (0-9-1,
// class tx): messages to publish, and deliveries to settle. Nothing of it is
// seen by anybody before Commit. A session has one at a time, and its reader
// alone uses it.
type Tx struct {
	session *Session
	// Changed with the vhost's lock held: operators look.
	publishes []Publish
	settles   []Settlement // each of one tag, whose delivery is marked as promised
}

// txMessagesMax and Limits.UnackedBytesMax bound what a transaction may hold of
// messages, and Limits.ConnUnackedBytesMax all of a connection together; what it settles is bounded by what can be unsettled.
const txMessagesMax = 65_536

// Begin makes an empty transaction. It needs no end: a session that is closed
// rolls it back.
func (s *Session) Begin() *Tx {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	s.tx = &Tx{session: s}
	return s.tx
}

// Publish adds messages. What the broker would refuse is refused at once, as
// an *amqp.Error about the message after those taken.
func (t *Tx) Publish(ps []Publish) (taken int, err error) {
	s, v := t.session, t.session.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range ps {
		if _, err := v.checkPublishLocked(s, &ps[i]); err != nil {
			return i, err
		}
		m := ps[i].Msg
		if most := v.b.limits.UnackedBytesMax; len(t.publishes) >= txMessagesMax || s.txBytes+len(m.Body) > most {
			return i, amqp.Errorf(amqp.PreconditionFailed, "transaction is larger than %d messages or %d bytes", txMessagesMax, most)
		}
		if most := v.b.limits.ConnUnackedBytesMax; s.conn.txBytes+len(m.Body) > most {
			return i, amqp.Errorf(amqp.PreconditionFailed, "transactions on this connection are larger than %d bytes", most)
		}
		t.publishes = append(t.publishes, ps[i])
		s.txBytes += len(m.Body)
		s.conn.txBytes += len(m.Body)
	}
	return len(ps), nil
}

// Settle adds outcomes. The deliveries they name cannot be settled again.
func (t *Tx) Settle(ops []Settlement) error {
	s, v := t.session, t.session.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range ops {
		op := &ops[i]
		if err := s.known(op); err != nil {
			return err
		}
		if !op.Multiple {
			t.promise(s.find(op.Tag), op.Outcome)
			continue
		}
		for j := range s.unacked.len() {
			u := s.unacked.at(j)
			if op.Tag != 0 && u.tag > op.Tag {
				break
			}
			if u.open() && !u.promised {
				t.promise(u, op.Outcome)
			}
		}
	}
	return nil
}

func (t *Tx) promise(u *unacked, o Outcome) {
	u.promised = true
	t.settles = append(t.settles, Settlement{Tag: u.tag, Outcome: o})
}

// Commit does all of it as one change, which is durable at the LSN as a whole
// or not at all, and gives the receipts of the messages. After spool.ErrFull it
// may be called again; any other error has rolled the transaction back. Either
// way the next one begins.
func (t *Tx) Commit(now amqp.Instant) ([]Publish, spool.LSN, error) {
	t.free()
	lsn, err := t.session.Commit(now, t.publishes, t.settles)
	if errors.Is(err, spool.ErrFull) {
		t.hold()
		return nil, 0, err
	}
	ps := t.publishes
	t.empty()
	return ps, lsn, err
}

// Rollback forgets the messages; the deliveries are unsettled as before.
func (t *Tx) Rollback() {
	t.free()
	t.empty()
}

func (t *Tx) empty() {
	s := t.session
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	t.publishes, t.settles = nil, nil
	s.conn.txBytes -= s.txBytes
	s.txBytes = 0
}

// free takes the marks off what is to be settled.
func (t *Tx) free() { t.mark(false) }
func (t *Tx) hold() { t.mark(true) }

func (t *Tx) mark(promised bool) {
	v := t.session.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range t.settles {
		if u := t.session.at(t.settles[i].Tag); u != nil {
			u.promised = promised
		}
	}
}
