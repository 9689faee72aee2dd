package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// queue is a line of messages. Those it holds in memory stand in ready, in
// order of position; those that only the spool holds are the cold ones. While
// there are cold ones, stored messages that come in go cold too, so that the
// cold ones are all stored ones from coldFrom on; messages outside the spool
// always stay in ready.
//
//	returned   ready                      cold (counted, not held)
//	[3 7 8]    [21 22 23 ... 276]  ...    277 278 279 ... 1,000,000
//
// What comes back from a consumer goes to returned, at its old place: all of it
// was once delivered, so it is older than everything that was not.
type queue struct {
	v    *VHost
	id   spool.QueueID
	name string
	spec QueueSpec

	next       spool.Pos // the position of the next message; from 1
	returned   ring[entry]
	ready      ring[entry]
	readyBytes int // memory of stored messages in ready
	cold       int
	coldFrom   spool.Pos
	bytes      int64 // bodies of all that wait: returned, ready and cold
	unacked    int

	consumers []*Consumer // by falling priority
	turn      int         // index in consumers: who is asked first
	everUsed  bool        // had a consumer: auto-delete may happen
	owner     *Conn       // of an exclusive queue

	bindings map[*binding]struct{}
	filling  bool // cold messages are being read
	deleted  bool
	inSpool  bool   // something of it was stored at some time
	purged   uint64 // counts purges: a read under way notices
	touched  bool   // stands in VHost.touched
	mark     uint64 // the walk that last found this queue, see VHost.routeLocked
	markAt   int
	in, out  uint64 // messages that entered and that were settled
}

// entry is a message in one queue.
type entry struct {
	pos         spool.Pos
	msg         *amqp.Message
	stored      bool // the spool has it: leaving must be told
	redelivered bool
}

// messageOverhead is about what a message costs in memory beside its body.
const messageOverhead = 256

// waiting is how many messages are ready for delivery.
func (q *queue) waiting() int { return q.returned.len() + q.ready.len() + q.cold }

// durable queues keep persistent messages in the spool.
func (q *queue) durable() bool { return q.spec.Durable && !q.spec.Exclusive }

// add puts a new message, which has claimed its position, at the end.
func (q *queue) add(e entry) {
	q.in++
	q.bytes += int64(len(e.msg.Body))
	l := &q.v.b.limits
	switch {
	case !e.stored:
		q.v.b.transient.Add(footprint(e.msg))
		q.ready.pushBack(e)
	case q.cold == 0 && q.ready.len() < l.WindowMessages && q.readyBytes < l.WindowBytes:
		q.readyBytes += len(e.msg.Body)
		q.ready.pushBack(e)
	default:
		if q.cold == 0 {
			q.coldFrom = e.pos
		}
		q.cold++
	}
}

func footprint(m *amqp.Message) int64 { return int64(len(m.Body) + messageOverhead) }

// pop takes the next message. ok is false when there is none in memory, and
// dry when that is because it must be read from the spool first.
func (q *queue) pop() (e entry, ok, dry bool) {
	if q.returned.len() > 0 {
		e = q.returned.popFront()
	} else if q.dry() || q.ready.len() == 0 {
		return entry{}, false, q.cold > 0
	} else if e = q.ready.popFront(); e.stored {
		q.readyBytes -= len(e.msg.Body)
	}
	q.bytes -= int64(len(e.msg.Body))
	return e, true, false
}

// dry reports that the oldest message, of those never delivered, is cold.
func (q *queue) dry() bool {
	return q.cold > 0 && (q.ready.len() == 0 || q.ready.front().pos >= q.coldFrom)
}

// giveBack puts a message back at its old place.
func (q *queue) giveBack(e entry) {
	i := q.returned.len()
	for i > 0 && q.returned.at(i-1).pos > e.pos {
		i--
	}
	q.returned.insert(i, e)
	q.bytes += int64(len(e.msg.Body))
}

// warm puts what was read from the spool, the oldest cold messages in order of
// position, among those in memory.
func (q *queue) warm(read []entry) {
	after := ring[entry]{}
	first := read[0].pos
	for q.ready.len() > 0 && q.ready.back().pos > first {
		after.pushFront(q.ready.popBack())
	}
	for _, e := range read {
		for after.len() > 0 && after.front().pos < e.pos {
			q.ready.pushBack(after.popFront())
		}
		q.readyBytes += len(e.msg.Body)
		q.ready.pushBack(e)
	}
	for after.len() > 0 {
		q.ready.pushBack(after.popFront())
	}
}

// refillLocked reads the oldest cold messages of q. The lock is given up while
// the spool reads.
func (v *VHost) refillLocked(q *queue) {
	if q.filling || q.deleted || !q.dry() {
		return
	}
	q.filling = true
	from, purged := q.coldFrom, q.purged
	items := make([]spool.Item, min(q.cold, v.b.limits.WindowMessages))
	v.mu.Unlock()
	n, err := v.b.log.Read(q.id, from, items, v.b.limits.WindowBytes)
	v.mu.Lock()
	q.filling = false
	v.filled.Broadcast()
	if q.deleted || q.purged != purged {
		return
	}
	if err != nil || n == 0 {
		v.lostLocked(q, err)
		return
	}
	v.thawLocked(q, items[:n])
	q.deliver()
}

// thawLocked makes read items messages again. A damaged one is told, counted
// and taken out; the rest flows on.
func (v *VHost) thawLocked(q *queue, items []spool.Item) {
	read := make([]entry, 0, len(items))
	var names names
	for i := range items {
		it := &items[i]
		msg, err := thaw(it, &names)
		if err != nil {
			v.b.counts.damaged.Add(1)
			v.b.trouble("stored message is damaged and was left out", "queue", q.name, "position", uint64(it.Pos), "err", err)
			v.batch.Leaves = append(v.batch.Leaves, spool.Leave{Queue: q.id, Pos: it.Pos})
			continue
		}
		read = append(read, entry{pos: it.Pos, msg: msg, stored: true})
	}
	q.cold = max(0, q.cold-len(items))
	q.coldFrom = items[len(items)-1].Pos + 1
	if len(read) > 0 {
		q.warm(read)
	}
	v.settledLocked()
}

// lostLocked: the spool holds less than was counted, or cannot be read. The
// count is put right, and somebody is told.
func (v *VHost) lostLocked(q *queue, err error) {
	v.b.counts.missing.Add(uint64(q.cold))
	v.b.trouble("stored messages cannot be read", "queue", q.name, "messages", q.cold, "err", err)
	q.cold = 0
	q.bytes = 0
	for i := range q.ready.len() {
		q.bytes += int64(len(q.ready.at(i).msg.Body))
	}
	for i := range q.returned.len() {
		q.bytes += int64(len(q.returned.at(i).msg.Body))
	}
	q.deliver()
}

// goneLocked: a message has left its queue for good.
func (v *VHost) goneLocked(id spool.QueueID, e entry) {
	if e.stored {
		v.batch.Leaves = append(v.batch.Leaves, spool.Leave{Queue: id, Pos: e.pos, Size: len(e.msg.Body)})
		return
	}
	v.b.transient.Add(-footprint(e.msg))
}

// purgeLocked drops everything that waits, but not what is unacked, and says
// how many that was.
func (v *VHost) purgeLocked(q *queue) int {
	n := q.waiting()
	for _, held := range []*ring[entry]{&q.returned, &q.ready} {
		for held.len() > 0 {
			v.goneLocked(q.id, held.popFront())
		}
	}
	if q.cold > 0 { // unacked messages are older than all cold ones
		v.batch.Purges = append(v.batch.Purges, spool.Purge{Queue: q.id, From: q.coldFrom, To: q.next - 1})
	}
	q.cold, q.readyBytes, q.bytes = 0, 0, 0
	q.purged++
	return n
}
