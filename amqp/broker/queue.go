package broker

import (
	"leveret/amqp"
	"leveret/spool"
)

// queue is what consumers and bindings know: one or more lanes of messages, who
// consumes, and what its arguments ask for.
type queue struct {
	v    *VHost
	id   spool.QueueID // of the lane of priority 0; the others follow
	name string
	spec QueueSpec
	args queueArgs // of the declaration and its policies

	policy, operator *policy // those in force, or nil

	lanes []*lane // by rising priority; most queues have one
	count int     // messages that wait, in all lanes
	bytes int64   // their bodies

	coming      int // messages of the batch under way
	comingBytes int64

	latest    latest // of a keep-last queue
	relearn   bool   // it does not know all yet
	paused    bool
	resting   []resting // by rising due
	unacked   int
	consumers []*Consumer // by falling priority
	turn      int         // index in consumers: who is asked first
	active    *Consumer   // of a single-active-consumer queue
	owner     *Conn       // of an exclusive queue

	window  *window  // of a queue that takes each message once, or nil
	holding *holding // whose place in the spool this is, or nil

	bindings map[*binding]struct{}
	marks    map[uint32]struct{} // see Mark; nil while there are none
	lastUsed amqp.Instant        // by a consumer, a get or a declaration; see x-expires
	alarm    amqp.Instant        // when the ticker has to look; 0 is never
	review   amqp.Instant        // when a delivery may be unsettled for too long; 0 is never
	deleted  bool
	touched  bool   // stands in VHost.touched
	mark     uint64 // the walk that last found this queue, see VHost.routeLocked
	markAt   int
	in, out  uint64 // messages that entered and that were settled
}

func (v *VHost) newQueueLocked(id spool.QueueID, spec QueueSpec, args queueArgs) *queue {
	q := makeQueue(v, id, spec, args)
	v.queues[spec.Name] = q
	v.applyLocked(q)
	v.routesGen++ // the default exchange and the sessions look names up
	return q
}

// makeQueue makes a queue that nobody can find yet.
func makeQueue(v *VHost, id spool.QueueID, spec QueueSpec, args queueArgs) *queue {
	q := &queue{v: v, id: id, name: spec.Name, spec: spec, args: args, bindings: make(map[*binding]struct{})}
	// Parsed without an error before, see parseQueueArgs.
	q.window = (&argReader{args: spec.Args}).window()
	if q.durable() {
		q.window.lasts(v, ownerQueue, q.name)
	}
	for p := range args.lanes() {
		q.lanes = append(q.lanes, &lane{q: q, id: id + spool.QueueID(p), priority: uint8(p), next: 1})
	}
	return q
}

// durable queues keep persistent messages in the spool.
func (q *queue) durable() bool { return q.spec.Durable && !q.spec.Exclusive }

// laneFor is where a message goes: a priority above the highest counts as the
// highest.
func (q *queue) laneFor(m *amqp.Message) *lane {
	if len(q.lanes) == 1 {
		return q.lanes[0]
	}
	return q.lanes[min(int(m.Props.Priority()), len(q.lanes)-1)]
}

// front is the lane whose turn it is: the highest priority that has something.
func (q *queue) front() *lane {
	for i := len(q.lanes) - 1; i > 0; i-- {
		if q.lanes[i].waiting() > 0 {
			return q.lanes[i]
		}
	}
	return q.lanes[0]
}

// add puts a new message in.
func (q *queue) add(l *lane, e entry) {
	q.in++
	q.count++
	q.bytes += int64(len(e.msg.Body))
	if q.holding != nil {
		q.holding.add(e)
		return
	}
	l.add(e)
	if q.args.overflow == keepLast {
		q.supersede(l, e)
	}
}

// take pops the head of a lane.
func (q *queue) take(l *lane) entry {
	e := l.pop()
	q.count--
	q.bytes -= int64(len(e.msg.Body))
	return e
}

// giveBack puts a message back at its old place.
func (q *queue) giveBack(l *lane, e entry) {
	q.count++
	q.bytes += int64(len(e.msg.Body))
	l.giveBack(e)
}

// recount counts what is in memory, after the spool turned out to hold less.
func (q *queue) recount() {
	q.count, q.bytes = 0, 0
	for _, l := range q.lanes {
		q.count += l.waiting()
		for _, held := range []*ring[entry]{&l.returned, &l.ready} {
			for i := range held.len() {
				q.bytes += int64(len(held.at(i).msg.Body))
			}
		}
	}
}

// purgeLocked drops everything that waits, but not what is unacked, and says
// how many that was.
func (v *VHost) purgeLocked(q *queue) int {
	n := q.count + q.dropResting()
	for _, l := range q.lanes {
		l.purge()
	}
	q.count, q.bytes, q.latest = 0, 0, nil
	return n
}
