package broker

import (
	"time"

	"leveret/amqp"
)

// A queue with x-consumer-timeout takes messages back that a consumer has had
// unsettled for so long (ms), so that a consumer that hangs does not keep them
// for ever. Its channel stays open, as in RabbitMQ from 4.3 on; older versions
// close it. What has lapsed still counts against the consumer's prefetch until
// it settles it, which then changes nothing: it gets no more while it hangs. That a
// transaction which is still open will settle it makes no difference.

// open reports whether the peer may still settle the delivery.
func (u *unacked) open() bool { return u.lane != nil || u.lapsed }

// lapse takes a delivery back from a peer that does not settle it.
func (v *VHost) lapseLocked(s *Session, u *unacked) {
	l, e := u.lane, u.entry
	s.weighLocked(-len(e.msg.Body))
	l.q.unacked--
	*u = unacked{tag: u.tag, consumer: u.consumer, lapsed: true}
	v.b.counts.lapsed.Add(1)
	v.returnLocked(l, e, true)
}

// settledLate: the peer settles what has lapsed, and is free for more.
func (v *VHost) settledLate(s *Session, u *unacked) {
	s.held--
	if c := u.consumer; c != nil {
		c.unacked--
		s.unackedOf--
		if !c.ended {
			v.touchLocked(c.queue)
		}
	}
	*u = unacked{tag: u.tag}
}

// overdueLocked takes back what consumers of q have had for too long, and has
// the ticker look again when the next would be.
func (v *VHost) overdueLocked(q *queue) {
	now, limit := v.b.now(), amqp.Instant(time.Duration(q.args.consumerTimeout)*time.Millisecond)
	q.review = 0
	for c := range v.conns {
		for _, s := range c.sessions {
			for i := range s.unacked.len() {
				u := s.unacked.at(i)
				if u.lane == nil || u.lane.q != q {
					continue
				}
				if at := u.at + limit; at > now {
					q.reviewAt(at)
				} else {
					v.lapseLocked(s, u)
					v.cutLocked()
				}
			}
		}
	}
	v.touchLocked(q)
}

func (q *queue) reviewAt(at amqp.Instant) {
	if q.review == 0 || at < q.review {
		q.review = at
	}
}

// clock notes when a delivery was made, for queues that want to know.
func (u *unacked) clock(q *queue) {
	if q.args.consumerTimeout > 0 {
		u.at = q.v.b.now()
		q.reviewAt(u.at + amqp.Instant(time.Duration(q.args.consumerTimeout)*time.Millisecond))
	}
}
