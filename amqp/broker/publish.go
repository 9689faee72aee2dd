package broker

import (
	"errors"
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// Publish is one message on its way in, and then its receipt.
type Publish struct {
	Msg *amqp.Message
	// Retain makes the message the value of its routing key in the vhost's
	// retained store, or, with an empty body, deletes the value.
	Retain bool
	// Mark, when it names a queue, is set with the message, as one change,
	// unless the message is Refused.
	Mark Mark

	// LSN: the message is safe when the log is durable up to it. 0 when no
	// disk is needed.
	LSN spool.LSN
	// Routed tells whether it matched a queue.
	Routed bool
	// Refused: a queue that it matched would not have it (x-overflow).
	Refused bool
}

// Publish takes a batch of messages in order and says how many it took. When
// that is not all, err says why: an *amqp.Error is about the next message
// alone, which may be larger than the log can ever take; spool.ErrFull means that
// the rest may be tried again when the log has room; spool.ErrFailed is the end.
//
// now is when they came. Messages are on their way to consumers when Publish
// returns, and safe when the log says so.
func (s *Session) Publish(now amqp.Instant, ps []Publish) (taken int, err error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for taken < len(ps) && err == nil {
		n := 0
		n, err = v.publishLocked(s, now, ps[taken:])
		taken += n
	}
	if taken > 0 {
		v.finishLocked()
		s.conn.receivedLocked(now, ps[:taken])
	}
	return taken, err
}

// publishLocked takes the first of some messages, as many as the log takes in one
// change; err is about the one behind them.
func (v *VHost) publishLocked(s *Session, now amqp.Instant, ps []Publish) (taken int, err error) {
	for {
		taken, err = v.acceptAllLocked(s, now, ps)
		if err != nil && taken == 0 {
			v.undoLocked() // what the one message had begun
			return 0, err
		}
		lsn, refused := v.appendLocked()
		if refused == nil {
			v.enterLocked()
			v.flushLocked() // what they have superseded
			v.receiptsLocked(ps[:taken], lsn)
			return taken, err
		}
		v.undoLocked()
		switch large := errors.Is(refused, spool.ErrLarge); {
		case large && taken == 1:
			return 0, tooLarge("message", refused)
		case !large:
			return 0, refused
		}
		ps = ps[:taken/2] // one alone may be too large, or all of them are together
	}
}

// tooLarge refuses what the log can never take.
func tooLarge(what string, err error) *amqp.Error {
	return amqp.Errorf(amqp.PreconditionFailed, "%s is too large: %v", what, err)
}

// acceptAllLocked puts messages into the running batch, up to the first that
// is refused, or until that is large.
func (v *VHost) acceptAllLocked(s *Session, now amqp.Instant, ps []Publish) (int, error) {
	stamp := amqp.Stamp{Boot: v.b.boots.current, At: now}
	for i := range ps {
		if i > 0 && v.batchLarge() && !v.whole {
			return i, nil
		}
		ps[i].Msg.Stamp = stamp
		if err := v.acceptLocked(s, &ps[i]); err != nil {
			return i, err
		}
	}
	return len(ps), nil
}

func (v *VHost) receiptsLocked(ps []Publish, lsn spool.LSN) {
	for i := range ps {
		if ps[i].LSN == 0 {
			continue
		}
		if lsn == 0 { // nothing but repetitions: everything before is the newest
			lsn, _ = v.b.log.Append(&v.batch) // a failed log tells everybody by itself
		}
		ps[i].LSN = lsn
	}
	v.b.counts.published.Add(uint64(len(ps)))
}

const pendingLSN = ^spool.LSN(0) // "the batch's own", until Append has answered

// acceptLocked checks one message, routes it and puts it into the running
// batch. A refused message has changed nothing.
func (v *VHost) acceptLocked(s *Session, p *Publish) error {
	p.LSN, p.Routed, p.Refused = 0, false, false
	x, err := v.checkPublishLocked(s, p)
	if err == nil && p.Mark.Queue != "" {
		_, err = v.markableLocked(s.conn, p.Mark)
	}
	if err != nil {
		return err
	}
	marked := x.window.marked()
	if !v.freshLocked(x.window, p.Msg, false) {
		p.Routed = true // as it was the first time, as far as anybody knows
		v.repeated(p)
		return nil
	}
	if p.Retain {
		v.retainLocked(p)
	}
	targets := v.routeMessageLocked(x, p.Msg)
	p.Routed = len(targets) > 0
	if !p.Routed {
		v.b.counts.unrouted.Add(1)
		v.markPublishLocked(p)
		return nil
	}
	targets = v.firstTimeLocked(p, v.openTo(p, targets))
	if p.Refused {
		x.window.unmark(marked) // the publisher will try again, and is no duplicate then
	}
	// p keeps its message: a batch that the log refuses comes once more, and
	// must find the same routes.
	m := p.Msg
	if blind(m.Props) && !slices.ContainsFunc(targets, isHeld) {
		m = withoutBlind(m)
	}
	if v.deliverToLocked(m, targets) {
		p.LSN = pendingLSN
		x.window.keep(marked)
	}
	v.markPublishLocked(p)
	return nil
}

// checkPublishLocked refuses what a session may not publish, and finds the
// exchange for what it may.
func (v *VHost) checkPublishLocked(s *Session, p *Publish) (*exchange, error) {
	x, err := v.writableLocked(s, p.Msg.Exchange)
	if err != nil {
		return nil, err
	}
	if err := v.checkMessage(s, p.Msg); err != nil {
		return nil, err
	}
	if err := s.conn.checkReserved(p.Msg); err != nil {
		return nil, err
	}
	if s.conn.topics != nil {
		if err := s.conn.allowTopics(x, p.Msg); err != nil {
			return nil, err
		}
	}
	return x, v.addressLocked(s, p)
}

// checkMessage refuses what no queue could be given.
func (v *VHost) checkMessage(s *Session, m *amqp.Message) error {
	if len(m.Body) > v.b.limits.MessageBytesMax {
		return amqp.Errorf(amqp.PreconditionFailed, "message size %d is larger than configured max size %d", len(m.Body), v.b.limits.MessageBytesMax)
	}
	if err := s.conn.checkProps(m.Props); err != nil {
		return err
	}
	return checkCopies(m.Props)
}

// openTo leaves those queues out that are full and refuse new messages.
func (v *VHost) openTo(p *Publish, targets []target) []target {
	closed := func(t target) bool {
		q := t.queue
		return q.args.overflow.rejects() && q.tooMany(1, int64(len(p.Msg.Body))) && q.count+q.coming >= q.appetite()
	}
	if !slices.ContainsFunc(targets, closed) {
		return targets
	}
	p.Refused = true
	targets = slices.Clone(targets) // burying routes, and routes share their memory
	open := slices.Clone(targets)
	for _, t := range targets {
		if closed(t) && t.queue.args.overflow == rejectPublishDead {
			v.buryLocked(t.queue, p.Msg, reasonMaxLen)
		}
	}
	return slices.DeleteFunc(open, closed)
}

// deliverToLocked gives a message a place in each queue, as part of the running
// batch, and says whether the promise of any depends on the disk.
func (v *VHost) deliverToLocked(m *amqp.Message, targets []target) (stores bool) {
	persistent := m.Persistent()
	var to, spill []spool.Dest
	worth := 0 // what the queue that matters most says
	for _, t := range targets {
		q := t.queue
		kept := persistent && q.durable() && !t.transient
		if !kept && q.args.attended && len(q.consumers) == 0 {
			continue
		}
		l := q.laneFor(m)
		e := entry{pos: l.claim(), msg: m, deadline: v.b.deadlineOf(q, m)}
		switch {
		case kept:
			e.stored, l.inSpool = true, true
			v.enteredLocked(l)
			to = v.dests(to, l.id, e.pos)
			worth = max(worth, q.args.spoolPriority)
		case v.b.transient.Load()+v.incomingBytes+footprint(m) > v.b.limits.TransientBytesMax:
			e.stored, l.inSpool = true, true
			spill = v.dests(spill, l.id, e.pos)
		default:
			v.incomingBytes += footprint(m)
		}
		q.coming++
		q.comingBytes += int64(len(m.Body))
		v.incoming = append(v.incoming, incoming{l, e})
	}
	if to != nil {
		v.bytes += footprint(m)
		v.batch.Enters = append(v.batch.Enters, spool.Enter{Record: (*stored)(m), Size: len(m.Body), To: to, Priority: uint8(worth)})
	}
	if spill != nil {
		v.bytes += footprint(m)
		v.batch.Enters = append(v.batch.Enters, spool.Enter{Record: (*stored)(m), Size: len(m.Body), To: spill, Volatile: true})
	}
	return to != nil
}

// writableLocked finds an exchange that the session may publish to.
func (v *VHost) writableLocked(s *Session, name string) (*exchange, error) {
	if x := s.lastExchange; x != nil && x.Name == name && s.lastGen == v.routesGen {
		return x, nil
	}
	x := v.exchanges[name]
	if x == nil {
		return nil, amqp.Errorf(amqp.NotFound, "no %s", v.named("exchange", name))
	}
	if err := s.conn.allow(Write, "exchange", name); err != nil {
		return nil, err
	}
	if x.Internal {
		return nil, amqp.Errorf(amqp.AccessRefused, "cannot publish to internal %s", v.named("exchange", name))
	}
	s.lastExchange, s.lastGen = x, v.routesGen
	return x, nil
}

var errTxRefused = amqp.Errorf(amqp.PreconditionFailed, "transaction is not committed: a queue that it publishes to is full")

// Commit publishes and settles as one change: all of it is durable at the LSN,
// or none (0-9-1, tx.commit). A refusal, or spool.ErrFull, changes nothing; a
// queue that would not have one of the messages is a refusal of all, and so is a
// log that cannot take all of it at once.
func (s *Session) Commit(now amqp.Instant, ps []Publish, ops []Settlement) (spool.LSN, error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range ops {
		if err := s.known(&ops[i]); err != nil {
			return 0, err
		}
	}
	v.whole = true
	defer func() { v.whole = false }()
	_, err := v.acceptAllLocked(s, now, ps)
	if err == nil && slices.ContainsFunc(ps, func(p Publish) bool { return p.Refused }) {
		err = errTxRefused
	}
	if err == nil {
		// Settled state cannot be undone, so the log is asked first. What is not
		// worth the spool's reserve does not come into it by a transaction.
		err = v.b.log.Takes(&v.batch)
	}
	if err == nil {
		err = v.takesLocked(s, ops)
	}
	if err != nil {
		v.undoLocked()
		if errors.Is(err, spool.ErrLarge) {
			err = tooLarge("transaction", err)
		}
		return 0, err
	}
	for i := range ops {
		// A tag that an earlier one of these settled is no error any more.
		_ = v.settleLocked(s, &ops[i])
	}
	s.creditLocked()
	v.batch.Moves = true // there was room
	lsn := v.finishLocked()
	v.receiptsLocked(ps, lsn)
	s.conn.receivedLocked(now, ps)
	return lsn, nil
}
