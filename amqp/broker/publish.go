package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// Publish is one message on its way in, and then its receipt.
type Publish struct {
	Msg *amqp.Message
	// Retain makes the message the value of its routing key in the vhost's
	// retained store, or, with an empty body, deletes the value.
	Retain bool

	// LSN: the message is safe when the log is durable up to it. 0 when no
	// disk is needed.
	LSN spool.LSN
	// Routed tells whether it reached a queue.
	Routed bool
}

// Publish takes a batch of messages in order and says how many it took. When
// that is not all, err says why: an *amqp.Error is about the next message
// alone; spool.ErrFull means that the batch may be tried again from there when
// the log has room; spool.ErrFailed is the end.
//
// now is when they came. Messages are on their way to consumers when Publish
// returns, and safe when the log says so.
func (s *Session) Publish(now amqp.Instant, ps []Publish) (taken int, err error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	stamp := amqp.Stamp{Boot: v.b.boots.current, At: now}
	v.incoming = v.incoming[:0]
	for taken < len(ps) {
		p := &ps[taken]
		p.Msg.Stamp = stamp
		if err = v.acceptLocked(s, p); err != nil {
			break
		}
		taken++
	}
	lsn, full := v.appendLocked()
	if full != nil {
		v.undoLocked()
		return 0, full
	}
	v.enterLocked()
	for i := range ps[:taken] {
		if ps[i].LSN != 0 {
			ps[i].LSN = lsn
		}
	}
	v.b.counts.published.Add(uint64(taken))
	return taken, err
}

// incoming is a message that has been given a position but has not entered its
// queue yet: the log may still refuse the batch.
type incoming struct {
	queue *queue
	entry entry
}

const pendingLSN = ^spool.LSN(0) // "the batch's own", until Append has answered

// acceptLocked routes one message and puts it into the running batch.
func (v *VHost) acceptLocked(s *Session, p *Publish) error {
	m := p.Msg
	p.LSN, p.Routed = 0, false
	if len(m.Body) > v.b.limits.MessageBytesMax {
		return amqp.Errorf(amqp.PreconditionFailed, "message size %d is larger than configured max size %d", len(m.Body), v.b.limits.MessageBytesMax)
	}
	x, err := v.writableLocked(s, m.Exchange)
	if err != nil {
		return err
	}
	if p.Retain {
		v.retainLocked(p)
	}
	targets := v.routeLocked(x, m.Key, m.Props)
	p.Routed = len(targets) > 0
	if !p.Routed {
		v.b.counts.unrouted.Add(1)
		return nil
	}
	persistent := m.Persistent()
	var to, spill []spool.Dest
	for _, t := range targets {
		q := t.queue
		e := entry{pos: q.claim(), msg: m}
		switch {
		case persistent && q.durable() && !t.transient:
			e.stored, q.inSpool = true, true
			to = v.dests(to, q.id, e.pos)
		case v.b.transient.Load()+v.incomingBytes+footprint(m) > v.b.limits.TransientBytesMax:
			e.stored, q.inSpool = true, true
			spill = v.dests(spill, q.id, e.pos)
		default:
			v.incomingBytes += footprint(m)
		}
		v.incoming = append(v.incoming, incoming{q, e})
	}
	if to != nil {
		v.batch.Enters = append(v.batch.Enters, spool.Enter{Record: (*stored)(m), Size: len(m.Body), To: to})
		p.LSN = pendingLSN
	}
	if spill != nil {
		v.batch.Enters = append(v.batch.Enters, spool.Enter{Record: (*stored)(m), Size: len(m.Body), To: spill, Volatile: true})
	}
	return nil
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

// claim gives the next position; see undoLocked.
func (q *queue) claim() spool.Pos {
	q.next++
	return q.next - 1
}

// dests appends to a list of destinations whose memory the log keeps; lists of
// one, which most are, are cut from a slab.
func (v *VHost) dests(to []spool.Dest, q spool.QueueID, pos spool.Pos) []spool.Dest {
	if to != nil {
		return append(to, spool.Dest{Queue: q, Pos: pos})
	}
	if len(v.slab) == 0 {
		v.slab = make([]spool.Dest, 128)
	}
	one := v.slab[:1:1]
	v.slab = v.slab[1:]
	one[0] = spool.Dest{Queue: q, Pos: pos}
	return one
}

// undoLocked gives the positions of a refused batch back.
func (v *VHost) undoLocked() {
	for i := len(v.incoming) - 1; i >= 0; i-- {
		v.incoming[i].queue.next = v.incoming[i].entry.pos
	}
	clear(v.incoming)
	v.incoming, v.incomingBytes = v.incoming[:0], 0
	v.retained.undo()
}

// enterLocked lets the batch into its queues.
func (v *VHost) enterLocked() {
	for i := range v.incoming {
		in := &v.incoming[i]
		in.queue.add(in.entry)
		v.touchLocked(in.queue)
	}
	clear(v.incoming)
	v.incoming, v.incomingBytes = v.incoming[:0], 0
	v.retained.done()
	v.refreshLocked(nil)
}
