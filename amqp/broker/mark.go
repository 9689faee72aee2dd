package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"leveret/spool"
)

// Mark is a number written beside a queue by who owns it. What it means is the
// owner's: the MQTT door notes the packet identifiers whose messages it has
// taken or handed over exactly once. The marks of a durable queue are in the
// spool; all of them go with the queue.
type Mark struct {
	Queue  string
	Number uint32
	Clear  bool // take the mark away instead
}

// marksMax bounds the marks of one queue: two for each packet identifier.
const marksMax = 1 << 17

// Marks gives the marks of a queue, in rising order.
func (c *Conn) Marks(queueName string) ([]uint32, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	q, err := v.queueLocked(c, queueName)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(q.marks)), nil
}

// SettleMarking settles deliveries and changes marks as one change, durable at
// the LSN. What Settle says of unknown tags holds here, too; then no mark is
// changed.
func (s *Session) SettleMarking(ops []Settlement, marks []Mark) (spool.LSN, error) {
	v := s.conn.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range marks {
		if _, err := v.markableLocked(s.conn, marks[i]); err != nil {
			return 0, err
		}
	}
	// The marks belong to what is settled. Only where much dies that no log takes at
	// once they come with the last part of it.
	v.whole = len(marks) > 0 && (onlyAccepts(ops) || !errors.Is(v.takesLocked(s, ops), spool.ErrLarge))
	defer func() { v.whole = false }()
	err := v.settleAllLocked(s, ops)
	if err == nil {
		for i := range marks {
			v.markLocked(marks[i])
		}
	}
	return v.finishLocked(), err
}

func onlyAccepts(ops []Settlement) bool {
	return !slices.ContainsFunc(ops, func(op Settlement) bool { return op.Outcome != Accepted })
}

// markableLocked finds the queue of a mark that the connection may change.
func (v *VHost) markableLocked(c *Conn, m Mark) (*queue, error) {
	q, err := v.queueLocked(c, m.Queue)
	if err != nil || m.Clear {
		return q, err
	}
	return q, atMost("marks", len(q.marks), marksMax)
}

// markLocked makes a mark's change part of the running batch, and says whether
// it depends on the disk.
func (v *VHost) markLocked(m Mark) (stores bool) {
	q := v.queues[m.Queue]
	v.marking = append(v.marking, m)
	if !q.durable() {
		return false
	}
	put := spool.Put{Key: markKey(v.name, m)}
	if !m.Clear {
		put.Value = encodeMark(v.name, m)
	}
	v.batch.Puts = append(v.batch.Puts, put)
	return true
}

// markPublishLocked sets the mark that comes with an accepted message.
func (v *VHost) markPublishLocked(p *Publish) {
	if p.Mark.Queue != "" && !p.Refused && v.markLocked(p.Mark) {
		p.LSN = pendingLSN
	}
}

// applyMarksLocked: the log has taken the changes of the batch.
func (v *VHost) applyMarksLocked() {
	for _, m := range v.marking {
		q := v.queues[m.Queue]
		switch {
		case q == nil: // deleted since
		case m.Clear:
			delete(q.marks, m.Number)
		default:
			q.setMark(m.Number)
		}
	}
	v.marking = v.marking[:0]
}

func (q *queue) setMark(number uint32) {
	if q.marks == nil {
		q.marks = make(map[uint32]struct{})
	}
	q.marks[number] = struct{}{}
}

// unmarkAllLocked takes the marks of a queue that is deleted out of the spool.
func (v *VHost) unmarkAllLocked(q *queue) {
	if !q.durable() {
		return
	}
	for number := range q.marks {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: markKey(v.name, Mark{Queue: q.name, Number: number})})
	}
}

func markKey(vhost string, m Mark) string {
	return definitionKey(kindMark, vhost, m.Queue, string(binary.BigEndian.AppendUint32(nil, m.Number)))
}

func encodeMark(vhost string, m Mark) []byte {
	b := appendText([]byte{definitionVersion}, vhost)
	b = appendText(b, m.Queue)
	return binary.BigEndian.AppendUint32(b, m.Number)
}

// mark puts a recovered mark on its queue. One whose queue is gone is
// forgotten: the queue's deletion was cut short.
func (r *recovery) mark(w waitingDefinition) {
	d := decode(w.value)
	vhost, name, number := d.text(), d.text(), d.u32()
	switch {
	case d.err != nil:
		r.unreadable(w.key, fmt.Errorf("mark: %w", d.err))
	case r.vhost(vhost).queues[name] == nil:
		r.dead = append(r.dead, spool.Put{Key: w.key})
	default:
		r.vhost(vhost).queues[name].setMark(number)
	}
}
