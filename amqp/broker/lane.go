package broker

import (
	"slices"
	"time"

	"leveret/amqp"
	"leveret/spool"
)

// lane is a line of messages in order of position: a queue has one, a queue
// with priorities one for each of them. To the spool each lane is a queue of
// its own.
//
// Messages that are held in memory stand in ready; those that only the spool
// holds are the cold ones. While there are cold ones, stored messages that come
// in go cold too, so that the cold ones are all stored ones from coldFrom on;
// messages outside the spool always stay in ready.
//
//	returned   ready                      cold (counted, not held)
//	[3 7 8]    [21 22 23 ... 276]  ...    277 278 279 ... 1,000,000
//
// What comes back from a consumer goes to returned, at its old place: all of it
// was once delivered, so it is older than everything that was not.
type lane struct {
	q        *queue
	id       spool.QueueID
	priority uint8

	next       spool.Pos // the position of the next message; from 1
	returned   ring[entry]
	ready      ring[entry]
	readyBytes int // memory of stored messages in ready
	cold       int
	coldFrom   spool.Pos
	coldMortal bool      // some of the cold ones may have a deadline
	filling    bool      // cold messages are being read
	inSpool    bool      // something of it was stored at some time
	thinFrom   spool.Pos // where thinning goes on, see thinLocked
	purged     uint64    // moves when the cold ones are dropped
	// discarded are those taken out from among the cold ones while they are read.
	discarded []spool.Pos
	readAfter amqp.Instant // the last read has failed: not before

	// See deliveredLocked: before is what an earlier start has noted.
	seen, noted, before spool.Pos
}

// entry is a message in one lane.
type entry struct {
	pos         spool.Pos
	msg         *amqp.Message
	deadline    amqp.Instant // when it expires; 0 is never
	attempts    uint32       // deliveries that came back
	stored      bool         // the spool has it: leaving must be told
	redelivered bool
}

// messageOverhead is about what a message costs in memory beside its body.
const messageOverhead = 256

func footprint(m *amqp.Message) int64 { return int64(len(m.Body) + messageOverhead) }

// waiting is how many messages are ready for delivery.
func (l *lane) waiting() int { return l.returned.len() + l.ready.len() + l.cold }

// claim gives the next position; see undoLocked.
func (l *lane) claim() spool.Pos {
	l.next++
	return l.next - 1
}

// add puts a new message, which has claimed its position, at the end.
func (l *lane) add(e entry) {
	limits := &l.q.v.b.limits
	switch {
	case !e.stored:
		l.q.v.b.transient.Add(footprint(e.msg))
		l.ready.pushBack(e)
	case l.cold == 0 && l.ready.len() < limits.WindowMessages && l.readyBytes < limits.WindowBytes:
		l.readyBytes += len(e.msg.Body)
		l.ready.pushBack(e)
	default:
		if l.cold == 0 {
			l.coldFrom, l.coldMortal = e.pos, false
		}
		l.cold++
		l.coldMortal = l.coldMortal || e.deadline != 0
	}
}

// dry reports that the oldest message, of those never delivered, is cold.
func (l *lane) dry() bool {
	return l.cold > 0 && (l.ready.len() == 0 || l.ready.front().pos >= l.coldFrom)
}

// head is the next message, nil when there is none in memory.
func (l *lane) head() *entry {
	switch {
	case l.returned.len() > 0:
		return l.returned.front()
	case l.dry() || l.ready.len() == 0:
		return nil
	}
	return l.ready.front()
}

// pop takes what head showed.
func (l *lane) pop() entry {
	if l.returned.len() > 0 {
		return l.returned.popFront()
	}
	e := l.ready.popFront()
	if e.stored {
		l.readyBytes -= len(e.msg.Body)
	}
	return e
}

// giveBack puts a message back at its old place.
func (l *lane) giveBack(e entry) {
	i := l.returned.len()
	for i > 0 && l.returned.at(i-1).pos > e.pos {
		i--
	}
	l.returned.insert(i, e)
}

// warm puts what was read from the spool, the oldest cold messages in order of
// position, among those in memory.
func (l *lane) warm(read []entry) {
	after := ring[entry]{}
	first := read[0].pos
	for l.ready.len() > 0 && l.ready.back().pos > first {
		after.pushFront(l.ready.popBack())
	}
	for _, e := range read {
		for after.len() > 0 && after.front().pos < e.pos {
			l.ready.pushBack(after.popFront())
		}
		l.readyBytes += len(e.msg.Body)
		l.ready.pushBack(e)
	}
	for after.len() > 0 {
		l.ready.pushBack(after.popFront())
	}
}

// refillLocked reads the oldest cold messages of l. The lock is given up while
// the spool reads, so it is called only where nothing is half done.
func (v *VHost) refillLocked(l *lane) {
	if l.filling || l.q.deleted || !l.dry() {
		return
	}
	l.beginRead()
	from, purged := l.coldFrom, l.purged
	items := make([]spool.Item, min(l.cold, v.b.limits.WindowMessages))
	v.mu.Unlock()
	n, err := v.b.log.Read(l.id, from, items, v.b.limits.WindowBytes)
	v.mu.Lock()
	l.filling = false
	v.filled.Broadcast()
	if l.q.deleted {
		return
	}
	if l.purged != purged { // what was read is out of date
		v.touchLocked(l.q)
		return
	}
	switch {
	case err != nil: // a log that has failed ends the process; anything else may pass
		v.b.trouble("stored messages cannot be read now", "queue", l.q.name, "messages", l.cold, "err", err)
		l.readAfter = v.b.now() + readAgain
		v.unread = append(v.unread, l)
		v.b.alarm(l.readAfter)
		return
	case n == 0:
		v.lostLocked(l)
	default:
		next := items[n-1].Pos + 1
		v.thawLocked(l, l.stillThere(items[:n]), next)
	}
	v.touchLocked(l.q)
}

// beginRead keeps others from reading the lane.
func (l *lane) beginRead() { l.filling, l.discarded = true, l.discarded[:0] }

// stillThere leaves out what was discarded while it was read.
func (l *lane) stillThere(items []spool.Item) []spool.Item {
	if len(l.discarded) == 0 {
		return items
	}
	return slices.DeleteFunc(items, func(it spool.Item) bool { return slices.Contains(l.discarded, it.Pos) })
}

// readAgain is the pause after a read that failed.
const readAgain = amqp.Instant(time.Second)

// thawLocked makes read items messages again; the cold ones then begin at from. A damaged one is told, counted
// and taken out; the rest flows on.
func (v *VHost) thawLocked(l *lane, items []spool.Item, from spool.Pos) {
	read := make([]entry, 0, len(items))
	var names names
	for i := range items {
		it := &items[i]
		msg, err := thaw(it, &names)
		if err != nil {
			v.damagedLocked(l, it, err)
			continue
		}
		read = append(read, entry{pos: it.Pos, msg: msg, stored: true, redelivered: it.Pos < l.before, deadline: v.b.deadlineOf(l.q, msg)})
	}
	l.cold = max(0, l.cold-len(items))
	l.coldFrom = from
	if len(read) > 0 {
		l.warm(read)
	}
}

// damagedLocked takes a cold message out that cannot be read.
func (v *VHost) damagedLocked(l *lane, it *spool.Item, err error) {
	v.b.counts.damaged.Add(1)
	v.b.trouble("stored message is damaged and was left out", "queue", l.q.name, "position", uint64(it.Pos), "err", err)
	v.batch.Leaves = append(v.batch.Leaves, spool.Leave{Queue: l.id, Pos: it.Pos})
	l.q.count--
}

// lostLocked: the spool holds less than was counted. The count is put right, and
// somebody is told.
func (v *VHost) lostLocked(l *lane) {
	v.b.counts.missing.Add(uint64(l.cold))
	v.b.trouble("stored messages are missing", "queue", l.q.name, "messages", l.cold)
	l.cold = 0
	l.q.recount()
}

// goneLocked: a message has left its lane for good.
func (v *VHost) goneLocked(id spool.QueueID, e entry) {
	if e.stored {
		v.batch.Leaves = append(v.batch.Leaves, spool.Leave{Queue: id, Pos: e.pos, Size: len(e.msg.Body)})
		return
	}
	v.b.transient.Add(-footprint(e.msg))
}

// purge drops everything that waits, but not what is unacked.
func (l *lane) purge() {
	v := l.q.v
	for _, held := range []*ring[entry]{&l.returned, &l.ready} {
		for held.len() > 0 {
			v.goneLocked(l.id, held.popFront())
		}
	}
	if l.cold > 0 { // unacked messages are older than all cold ones
		v.batch.Purges = append(v.batch.Purges, spool.Purge{Queue: l.id, From: l.coldFrom, To: l.next - 1})
	}
	l.cold, l.readyBytes = 0, 0
	l.purged++
}
