package broker

import (
	"cmp"
	"sort"
	"strings"
	"sync/atomic"

	"leveret/amqp"
)

// counts are figures since the start.
type counts struct {
	published    atomic.Uint64
	unrouted     atomic.Uint64
	unretained   atomic.Uint64
	expired      atomic.Uint64
	lapsed       atomic.Uint64
	duplicates   atomic.Uint64
	deadLettered atomic.Uint64
	damaged      atomic.Uint64
	missing      atomic.Uint64
}

// Status is what an operator sees of the core.
type Status struct {
	Connections int
	Sessions    int
	Consumers   int
	Exchanges   int
	Bindings    int
	Retained    int
	VHosts      []VHostStatus // by name
	Queues      []QueueStatus // by vhost and name

	Published      uint64 // messages taken since the start
	Unrouted       uint64 // of those, without a queue
	Unretained     uint64 // values not kept because the store was full
	Held           int    // messages that exchanges hold back until their time
	Duplicates     uint64 // messages that were seen before and not taken again
	Expired        uint64 // messages whose time was over
	Lapsed         uint64 // deliveries taken back by a consumer timeout
	DeadLettered   uint64 // messages that went to a dead letter exchange
	Damaged        uint64 // stored messages that could not be read and were left out
	Missing        uint64 // messages that the spool should have had and had not
	TransientBytes int64  // memory of messages that are not in the spool
}

// VHostStatus is what an operator sees of a vhost.
type VHostStatus struct {
	Name        string
	Limits      VHostLimits
	Connections int // with the broker's own
	Queues      int
	Ready       int // messages in all its queues
}

// QueueStatus is what an operator sees of a queue.
type QueueStatus struct {
	VHost, Name string
	Args        amqp.Table // of its declaration
	Owner       *Conn      // of an exclusive queue
	Durable     bool
	Exclusive   bool
	Paused      bool
	// SpoolPriority is x-spool-priority.
	SpoolPriority int
	AutoDelete    bool
	Ready         int
	Unacked       int
	Resting       int   // came back and wait for their next delivery
	Bytes         int64 // bodies of the ready ones
	Consumers     int
	// Policy and OperatorPolicy name those in force; "" is none.
	Policy, OperatorPolicy string
	In, Out                uint64 // messages since the start
}

// Status collects it, one vhost at a time.
func (b *Broker) Status() Status {
	st := Status{
		Published: b.counts.published.Load(), Unrouted: b.counts.unrouted.Load(),
		Unretained: b.counts.unretained.Load(), Damaged: b.counts.damaged.Load(),
		Missing: b.counts.missing.Load(), Expired: b.counts.expired.Load(), Lapsed: b.counts.lapsed.Load(), Duplicates: b.counts.duplicates.Load(), DeadLettered: b.counts.deadLettered.Load(), TransientBytes: b.transient.Load(),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.vhosts {
		v.addTo(&st)
	}
	sort.Slice(st.VHosts, func(i, j int) bool { return st.VHosts[i].Name < st.VHosts[j].Name })
	sort.Slice(st.Queues, func(i, j int) bool {
		a, b := &st.Queues[i], &st.Queues[j]
		return cmp.Or(strings.Compare(a.VHost, b.VHost), strings.Compare(a.Name, b.Name)) < 0
	})
	return st
}

func (v *VHost) addTo(st *Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	st.Exchanges += len(v.exchanges)
	st.Bindings += v.bindings
	st.Retained += len(v.retained.values)
	for c := range v.conns {
		st.Connections++
		st.Sessions += len(c.sessions)
	}
	for h := range v.holdings {
		st.Held += h.queue.count
	}
	own := VHostStatus{Name: v.name, Limits: v.limits, Connections: len(v.conns)}
	for _, q := range v.queues {
		st.Consumers += len(q.consumers)
		if q.isReply() {
			continue // nobody declared it
		}
		own.Queues++
		own.Ready += q.count
		st.Queues = append(st.Queues, q.status())
	}
	st.VHosts = append(st.VHosts, own)
}

func (q *queue) status() QueueStatus {
	st := QueueStatus{
		VHost: q.v.name, Name: q.name, Args: q.spec.Args, Owner: q.owner,
		Durable: q.spec.Durable, Paused: q.paused, SpoolPriority: q.args.spoolPriority, Exclusive: q.spec.Exclusive, AutoDelete: q.spec.AutoDelete,
		Ready: q.count, Unacked: q.unacked, Resting: len(q.resting), Bytes: q.bytes,
		Consumers: len(q.consumers), In: q.in, Out: q.out,
	}
	if q.policy != nil {
		st.Policy = q.policy.Name
	}
	if q.operator != nil {
		st.OperatorPolicy = q.operator.Name
	}
	return st
}

// QueueStatus is the status of one queue; ok is false when there is none.
func (b *Broker) QueueStatus(vhost, name string) (st QueueStatus, ok bool) {
	b.mu.Lock()
	v := b.vhosts[vhost]
	b.mu.Unlock()
	if v == nil {
		return st, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if q := v.queues[name]; q != nil {
		return q.status(), true
	}
	return st, false
}
