package broker

// A queue with a length limit is over it for as long as its call runs: the
// messages enter, and then as many are shed as are too many. Only what is ready
// counts, not what is unacked (RabbitMQ's x-max-length and x-max-length-bytes).

// tooMany reports whether more wait than the limits allow.
func (q *queue) tooMany(messages int, bytes int64) bool {
	a := &q.args
	return a.maxLength >= 0 && int64(q.count+q.coming+messages) > a.maxLength ||
		a.maxBytes >= 0 && q.bytes+q.comingBytes+bytes > a.maxBytes
}

// shedLocked drops the oldest messages of the lowest priority until the queue
// is within its limits. Cold ones are read first.
func (v *VHost) shedLocked(q *queue) {
	switch {
	case q.args.overflow.rejects():
		return
	case q.args.overflow == thin:
		v.thinLocked(q)
		return
	}
	for q.count > 0 && q.tooMany(0, 0) {
		l := q.back()
		if l.head() == nil {
			v.askForCold(l) // the ticker reads, then sheds on
			return
		}
		v.deadLetterLocked(q, l, q.take(l), reasonMaxLen)
		v.cutLocked()
	}
}

// appetite is how many messages consumers would take at once.
func (q *queue) appetite() (n int) {
	for _, c := range q.consumers {
		switch {
		case !c.canTake():
		case c.NoAck || c.Prefetch == 0:
			n += q.v.b.limits.OutboxMessages - len(c.session.conn.outbox)
		default:
			n += c.Prefetch - c.unacked
		}
	}
	return n
}

// back is the lane that sheds: the lowest priority that has something.
func (q *queue) back() *lane {
	for _, l := range q.lanes {
		if l.waiting() > 0 {
			return l
		}
	}
	return q.lanes[0]
}
