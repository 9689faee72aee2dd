package broker

import "leveret/spool"

// finishLocked is how every call ends: it hands the call's changes to the log,
// lets new messages into their queues, and lets those queues act (drop what is
// too much, expire, deliver), which may make further changes. The LSN is that
// of the call's own changes. A log that has failed tells everybody by itself.
func (v *VHost) finishLocked() spool.LSN {
	lsn, err := v.appendLocked()
	lsn = max(lsn, v.handed)
	defer func() { v.handed = 0 }()
	if err != nil {
		v.undoLocked()
		return 0
	}
	v.enterLocked()
	for len(v.touched) > 0 || !v.batch.Empty() {
		if n := len(v.touched) - 1; n >= 0 {
			q := v.touched[n]
			v.touched = v.touched[:n]
			q.touched = false
			if !q.deleted { // what consumers take at once is not too many
				q.deliver()
				if before := q.count; before > 0 {
					if v.shedLocked(q); q.count < before {
						q.deliver() // the head is another one, and may be out of date
					}
				}
			}
		}
		if len(v.touched) > 0 && !v.batchLarge() {
			continue
		}
		if _, err := v.appendLocked(); err != nil {
			v.undoLocked()
			return lsn
		}
		v.enterLocked()
	}
	return lsn
}

// Limits.changesMax and changesBytesMax bound the changes that one call's queues
// gather before they are handed to the log. The log writes each part as a whole, and
// on a small disk can only so much at once.
const changesBytesMax = 1 << 20

func (v *VHost) batchLarge() bool {
	return len(v.batch.Enters)+len(v.batch.Leaves) >= v.b.limits.changesMax || v.bytes >= changesBytesMax
}

// cutLocked is called between two messages by what goes through many of them: it
// hands the changes so far to the log when they are many, unless the call has to be
// one change.
func (v *VHost) cutLocked() {
	if v.batchLarge() && !v.whole {
		v.flushLocked()
	}
}

// flushLocked hands the changes so far to the log, and lets new messages in.
func (v *VHost) flushLocked() {
	for !v.batch.Empty() {
		lsn, err := v.appendLocked()
		if err != nil { // a log that has failed tells everybody by itself
			v.undoLocked()
			return
		}
		v.handed = max(v.handed, lsn)
		v.enterLocked()
	}
}

// appendLocked hands the running changes to the log. After ErrFull the caller
// undoes them.
func (v *VHost) appendLocked() (spool.LSN, error) {
	v.keepMarksLocked()
	if v.batch.Empty() {
		return 0, nil
	}
	defer v.emptyLocked()
	return v.b.log.Append(&v.batch)
}

func (v *VHost) emptyLocked() {
	v.batch.Reset()
	v.bytes = 0
}

// touchLocked remembers a queue that is to act when the call ends.
func (v *VHost) touchLocked(q *queue) {
	if !q.touched {
		q.touched = true
		v.touched = append(v.touched, q)
	}
}

// incoming is a message that has been given a position but has not entered its
// lane yet: the log may still refuse the batch.
type incoming struct {
	lane  *lane
	entry entry
}

// arrive ends its being under way.
func (in *incoming) arrive() {
	in.lane.q.coming--
	in.lane.q.comingBytes -= int64(len(in.entry.msg.Body))
}

// enterLocked lets the messages of a batch into their lanes.
func (v *VHost) enterLocked() {
	for i := range v.incoming {
		in := &v.incoming[i]
		in.arrive()
		if q := in.lane.q; !q.deleted {
			q.add(in.lane, in.entry)
			v.touchLocked(q)
		}
	}
	clear(v.incoming)
	v.incoming, v.incomingBytes = v.incoming[:0], 0
	v.retained.done()
	v.applyMarksLocked()
	v.rememberLocked(true)
}

// undoLocked gives the positions of a refused batch back.
func (v *VHost) undoLocked() {
	for i := len(v.incoming) - 1; i >= 0; i-- {
		v.incoming[i].lane.next = v.incoming[i].entry.pos
		v.incoming[i].arrive()
	}
	clear(v.incoming)
	v.incoming, v.incomingBytes = v.incoming[:0], 0
	v.emptyLocked()
	v.retained.undo()
	v.marking = v.marking[:0]
	v.rememberLocked(false)
}

// standing is the LSN of what is there already: if it is durable, whoever made it
// may still be waiting for the disk.
func (v *VHost) standing(durable bool) spool.LSN {
	if !durable {
		return 0
	}
	lsn, _ := v.b.log.Append(&spool.Batch{}) // a failed log tells everybody by itself
	return lsn
}
