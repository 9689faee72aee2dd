package broker

import (
	"encoding/binary"

	"leveret/spool"
)

// What was delivered before a start and is still there must come again with the
// redelivered mark (0-9-1, basic.deliver): whoever had it may have worked on it.
// To note each delivery would cost a write for each message; instead the spool
// keeps, for each lane, a position below which messages may have been delivered.
// It runs ahead of deliveries by up to deliveredStride. When the last consumer
// leaves it is set back to what was really delivered: at once for what waits, and
// with the next message that comes in when nothing does. So what nobody was there
// for is not marked; after a cut under way up to so many messages carry it that nobody had,
// which a consumer must be able to bear (it is a hint, as with RabbitMQ), and
// only a delivery of the very last commit may lack it.
//
// How often a message came back (x-delivery-count) is in memory only: a start
// gives every message all its attempts anew.

// deliveredStride is how many deliveries of a lane share one note in the spool.
const deliveredStride = 256

// deliveredLocked: a stored message goes to somebody.
func (v *VHost) deliveredLocked(l *lane, e *entry) {
	if !e.stored || !l.q.durable() {
		return
	}
	l.seen = max(l.seen, e.pos+1)
	if l.seen > l.noted {
		v.noteLocked(l, l.seen+deliveredStride)
	}
}

// settleNotesLocked: nobody consumes from the queue any more.
func (v *VHost) settleNotesLocked(q *queue) {
	for _, l := range q.lanes {
		if l.noted > l.seen && l.waiting() > 0 {
			v.noteLocked(l, l.seen)
		}
	}
}

// enteredLocked: a message comes into a lane, with the running batch, that nobody
// consumes from.
func (v *VHost) enteredLocked(l *lane) {
	if l.noted > l.seen && len(l.q.consumers) == 0 {
		v.noteLocked(l, l.seen)
	}
}

func (v *VHost) noteLocked(l *lane, below spool.Pos) {
	l.noted = below
	v.batch.Puts = append(v.batch.Puts, spool.Put{Key: deliveredKey(l.id), Value: encodeDelivered(l.id, below)})
}

// dropNoteLocked: the lane is deleted.
func (v *VHost) dropNoteLocked(l *lane) {
	if l.noted > 0 {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: deliveredKey(l.id)})
	}
}

func deliveredKey(id spool.QueueID) string {
	return definitionKey(kindDelivered, string(binary.BigEndian.AppendUint32(nil, uint32(id))))
}

func encodeDelivered(id spool.QueueID, below spool.Pos) []byte {
	b := binary.AppendUvarint([]byte{definitionVersion}, uint64(id))
	return binary.AppendUvarint(b, uint64(below))
}

// delivered keeps a note until the depths are known: positions of a lane that is
// empty begin anew, and the note means nothing then.
func (r *recovery) delivered(value []byte) error {
	d := decode(value)
	id, below := spool.QueueID(d.uvarint()), spool.Pos(d.uvarint())
	if d.err == nil {
		r.notes[id] = below
	}
	return d.err
}

// forgetNotes gives the notes of lanes that hold nothing.
func (r *recovery) forgetNotes() (gone []spool.Put) {
	for id := range r.notes {
		if l := r.byID[id]; l == nil || l.noted == 0 {
			gone = append(gone, spool.Put{Key: deliveredKey(id)})
		}
	}
	return gone
}
