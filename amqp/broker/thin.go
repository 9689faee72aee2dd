package broker

import (
	"cmp"

	"leveret/spool"
)

// A full queue with x-overflow "thin" keeps the whole stretch of time and gives
// up density, for telemetry that waits for a link: from the oldest message on,
// one stays and the next goes; when the newest is reached it begins again. So
// each time the queue has taken half its length anew, everything before is
// thinned once more: of a week offline the last hours are whole, and of the
// first days every sixteenth reading is left. What goes is dead-lettered as
// maxlen.
//
//	full          1 2 3 4 5 6 7 8 9 ...
//	first round   1   3   5   7   9 ...
//	second round  1       5       9 ...
//
// Where only the spool has the messages, the ticker reads and thins a stretch at
// a time; what is in memory before them is the next to go out, and stays.

// thinStretch is how many messages are looked at in one go; half of them go.
const thinStretch = 256

// thinLocked makes room in a queue that is too full, from memory. What it cannot
// reach there the ticker does, see thinColdLocked.
func (v *VHost) thinLocked(q *queue) {
	for q.count > 0 && q.tooMany(0, 0) {
		l := q.back()
		if l.cold > 0 {
			v.askForCold(l)
			return
		}
		if !v.thinMemoryLocked(l) {
			v.deadLetterLocked(q, l, q.take(l), reasonMaxLen)
		}
		v.cutLocked()
	}
}

// thinMemoryLocked takes every second message out of a stretch of what of a lane
// is ready and in memory, and reports whether any went.
func (v *VHost) thinMemoryLocked(l *lane) bool {
	n := l.ready.len() - 1 // the newest stays
	from, _ := l.ready.search(func(e *entry) int { return cmp.Compare(e.pos, l.thinFrom) })
	if n-from < 2 { // the newest is reached: a new round
		from = 0
	}
	to := min(n, from+thinStretch, from+max(2, (n+1)/2))
	if to-from < 2 {
		return false
	}
	l.thinFrom = l.ready.at(to-1).pos + 1
	var gone []spool.Pos
	for i := from + 1; i < to; i += 2 {
		gone = append(gone, l.ready.at(i).pos)
	}
	for _, pos := range gone {
		v.withdrawLocked(l, pos, reasonMaxLen)
		v.cutLocked()
	}
	return true
}

// thinColdLocked thins a stretch of a lane that is in the spool. The lock is
// given up while it is read. The ticker calls it.
func (v *VHost) thinColdLocked(l *lane) {
	start := max(l.thinFrom, l.coldFrom)
	newest := l.next - 1
	items, ok := v.readColdLocked(l, start, thinStretch)
	if n := len(items); n > 0 && items[n-1].Pos >= newest {
		items = items[:n-1]
	}
	switch {
	case !ok:
	case len(items) >= 2:
		l.thinFrom = items[len(items)-1].Pos + 1
		for i := 1; i < len(items); i += 2 {
			v.withdrawColdLocked(l, &items[i])
			v.cutLocked()
		}
	case start > l.coldFrom:
		l.thinFrom = l.coldFrom // a new round
	default:
		v.shedHeadLocked(l)
	}
	v.touchLocked(l.q)
}

// shedHeadLocked drops the oldest message of a lane, which is read if need be.
func (v *VHost) shedHeadLocked(l *lane) {
	v.refillLocked(l)
	if q := l.q; l.head() != nil && !q.deleted && q.tooMany(0, 0) {
		v.deadLetterLocked(q, l, q.take(l), reasonMaxLen)
	}
}

// readColdLocked reads messages of a lane and keeps others from reading there
// meanwhile. ok is false when the lane has changed under it.
func (v *VHost) readColdLocked(l *lane, from spool.Pos, most int) (read []spool.Item, ok bool) {
	l.beginRead()
	purged := l.purged
	items := make([]spool.Item, most)
	v.mu.Unlock()
	n, err := v.b.log.Read(l.id, from, items, v.b.limits.WindowBytes)
	v.mu.Lock()
	l.filling = false
	v.filled.Broadcast()
	if err != nil { // as if nothing was there; who delivers them will tell more
		v.b.trouble("stored messages cannot be read", "queue", l.q.name, "err", err)
	}
	return l.stillThere(items[:n]), !l.q.deleted && l.purged == purged
}

// withdrawColdLocked takes a message out that only the spool has.
func (v *VHost) withdrawColdLocked(l *lane, it *spool.Item) {
	if it.Pos < l.coldFrom || l.cold == 0 {
		return
	}
	msg, err := thaw(it, new(names))
	l.cold--
	if err != nil {
		v.damagedLocked(l, it, err)
		return
	}
	l.q.count--
	l.q.bytes -= int64(len(msg.Body))
	v.deadLetterLocked(l.q, l, entry{pos: it.Pos, msg: msg, stored: true}, reasonMaxLen)
}

// withdrawLocked takes a ready message out of the middle of a lane's memory and
// buries it, or with no reason drops it; it reports whether it was there.
func (v *VHost) withdrawLocked(l *lane, pos spool.Pos, reason string) bool {
	for _, held := range []*ring[entry]{&l.ready, &l.returned} {
		i, found := held.search(func(e *entry) int { return cmp.Compare(e.pos, pos) })
		if !found {
			continue
		}
		e := *held.at(i)
		held.remove(i)
		if held == &l.ready && e.stored {
			l.readyBytes -= len(e.msg.Body)
		}
		l.q.count--
		l.q.bytes -= int64(len(e.msg.Body))
		if reason != "" {
			v.deadLetterLocked(l.q, l, e, reason)
		} else {
			l.q.out++
			v.goneLocked(l.id, e)
		}
		return true
	}
	return false
}
