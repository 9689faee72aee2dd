package broker

import (
	"fmt"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/spool"
)

// Open makes a broker of what the log holds: exchanges, queues, bindings,
// retained values, and how many messages wait in each queue. Messages stay in
// the spool until somebody asks for them.
func Open(o Options) (*Broker, error) {
	b := &Broker{
		log: o.Log, limits: o.Limits.orDefaults(), types: o.QueueTypes.orDefaults(), trouble: o.Trouble, watcher: o.Watcher, now: o.Now, alarm: o.Alarm,
		vhosts: make(map[string]*VHost), users: make(map[string]int),
		boots: boots{records: make(map[amqp.Boot]BootRecord)},
	}
	if b.trouble == nil {
		b.trouble = func(string, ...any) {}
	}
	if b.now == nil {
		b.now = func() amqp.Instant { return 0 }
	}
	if b.alarm == nil {
		b.alarm = func(amqp.Instant) {}
	}
	b.vhosts[DefaultVHost] = b.newVHost(DefaultVHost)
	r := recovery{b: b, byID: make(map[spool.QueueID]*lane), notes: make(map[spool.QueueID]spool.Pos), pages: make(map[*window][]windowPage)}
	if err := b.log.Load(r.definition, r.depth); err != nil {
		return nil, fmt.Errorf("recover from the spool: %w", err)
	}
	r.link()
	batch := spool.Batch{Purges: r.orphans}
	batch.Puts = append(b.boots.start(o.Boot), r.dead...)
	batch.Puts = append(batch.Puts, r.forgetNotes()...)
	batch.Puts = append(batch.Puts, b.ids.reserve(b.ids.newest))
	if b.node == "" {
		b.node = newName("")
		batch.Puts = append(batch.Puts, spool.Put{Key: definitionKey(kindNode), Value: []byte(b.node)})
	}
	if _, err := b.log.Append(&batch); err != nil {
		return nil, fmt.Errorf("record the start: %w", err)
	}
	b.alarm(b.now()) // the first tick arms what was recovered
	return b, nil
}

// DefaultVHost is always there.
const DefaultVHost = "/"

// recovery is the state of one Open. Definitions come in order of their keys,
// so bindings and marks before queues: they are kept until the end. A
// definition that cannot be read is told and left alone; the rest still serves.
type recovery struct {
	b        *Broker
	byID     map[spool.QueueID]*lane
	bindings []waitingDefinition
	marks    []waitingDefinition
	notes    map[spool.QueueID]spool.Pos // of deliveries
	orphans  []spool.Purge               // stored for queues that are no more
	pages    map[*window][]windowPage
	dead     []spool.Put // bindings without ends
	torn     bool        // a definition is damaged, perhaps a queue's
}

type waitingDefinition struct {
	key   string
	value []byte
}

func (r *recovery) definition(key string, value []byte) error {
	kind, _, _ := strings.Cut(key, "/")
	if value == nil {
		r.torn = r.torn || !strings.HasPrefix(kind, spool.Minor) // whose loss hides no queue
		r.unreadable(key, spool.ErrCorrupt)
		return nil
	}
	var err error
	switch kind {
	case kindBoot:
		err = r.boot(value)
	case kindExchange:
		err = r.exchange(value)
	case kindHolding:
		err = r.holding(value)
	case kindPolicy:
		err = r.policy(value)
	case kindQueue:
		err = r.queue(value)
	case kindBinding:
		r.bindings = append(r.bindings, waitingDefinition{key, value})
	case kindMark:
		r.marks = append(r.marks, waitingDefinition{key, value})
	case kindVHost:
		err = r.ownVHost(value)
	case kindValue:
		err = r.value(value)
	case kindNote:
		err = r.note(value)
	case kindDelivered:
		err = r.delivered(value)
	case kindSeen:
		err = r.page(key, value)
	case kindNode:
		r.b.node = string(value)
	case kindIDs:
		err = r.ids(value)
	default:
		err = fmt.Errorf("kind %q is not known", kind)
	}
	if err != nil {
		r.unreadable(key, err)
	}
	return nil
}

func (r *recovery) unreadable(key string, err error) {
	r.b.counts.damaged.Add(1)
	r.b.trouble("stored definition cannot be read and was left out", "key", key, "err", err)
}

func (r *recovery) boot(value []byte) error {
	d := decode(value)
	rec := BootRecord{ID: amqp.Boot(d.u32()), Base: time.Unix(0, int64(d.u64())), Synchronised: d.u8()&1 != 0}
	r.b.boots.records[rec.ID] = rec
	return d.err
}

// vhost gives the vhost of a definition, made when it is first named.
func (r *recovery) vhost(name string) *VHost {
	v := r.b.vhosts[name]
	if v == nil {
		v = r.b.newVHost(name)
		r.b.vhosts[name] = v
	}
	return v
}

func (r *recovery) exchange(value []byte) error {
	d := decode(value)
	vhost := d.text()
	spec := ExchangeSpec{Name: d.text(), Type: d.text(), Durable: true}
	flags := d.u8()
	spec.AutoDelete, spec.Internal = flags&1 != 0, flags&2 != 0
	spec.Args = d.table()
	if d.err != nil {
		return d.err
	}
	v := r.vhost(vhost)
	x, err := newExchange(v.named("exchange", spec.Name), spec)
	if err != nil {
		return err
	}
	x.window.lasts(v, ownerExchange, x.Name)
	v.exchanges[spec.Name] = x
	return nil
}

func (r *recovery) queue(value []byte) error {
	d := decode(value)
	vhost := d.text()
	spec := QueueSpec{Name: d.text(), Durable: true}
	id := spool.QueueID(d.uvarint())
	flags := d.u8()
	spec.AutoDelete = flags&1 != 0
	spec.Args = d.table()
	if d.err != nil {
		return d.err
	}
	v := r.vhost(vhost)
	args, err := parseQueueArgs(v.named("queue", spec.Name), spec.Args, r.b.types.keeping())
	if err != nil {
		return err
	}
	q := v.newQueueLocked(id, spec, args)
	for _, l := range q.lanes {
		r.byID[l.id] = l
		r.b.ids.seen(l.id)
	}
	q.paused = flags&2 != 0
	q.lastUsed = r.b.now() // time without power does not count as unused
	v.touchLocked(q)
	return nil
}

func (r *recovery) holding(value []byte) error {
	d := decode(value)
	v := r.vhost(d.text())
	x := v.exchanges[d.text()] // definitions come by key: exchanges are there
	id := spool.QueueID(d.uvarint())
	if d.err != nil {
		return d.err
	}
	r.b.ids.seen(id)
	if x != nil && x.Type == typeDelayed {
		l := v.holdLocked(x, id).queue.lanes[0]
		r.byID[id] = l
	}
	return nil
}

func (r *recovery) value(value []byte) error {
	d := decode(value)
	vhost := d.text()
	if d.err != nil {
		return d.err
	}
	m, err := decodeStored(d.b, new(names))
	if err != nil {
		return err
	}
	r.vhost(vhost).retained.set(m)
	return nil
}

func (r *recovery) ids(value []byte) error {
	d := decode(value)
	r.b.ids.seen(spool.QueueID(d.uvarint()))
	return d.err
}

// link applies the policies, makes the bindings and sets the marks, now that
// everything they join is there. One whose
// end is gone is forgotten: the end's deletion was cut short.
func (r *recovery) link() {
	for _, v := range r.b.vhosts {
		v.applyAllLocked()
	}
	for _, w := range r.bindings {
		v, b, err := r.binding(w.value)
		switch {
		case err != nil:
			r.unreadable(w.key, err)
		case b == nil:
			r.dead = append(r.dead, spool.Put{Key: w.key})
		default:
			v.linkLocked(b, b.id())
		}
	}
	for _, w := range r.marks {
		r.mark(w)
	}
	for w, pages := range r.pages {
		r.remember(w, pages)
	}
}

func (r *recovery) binding(value []byte) (*VHost, *binding, error) {
	d := decode(value)
	v := r.vhost(d.text())
	b := &binding{source: v.exchanges[d.text()]}
	toExchange, name := d.u8() == 1, d.text()
	b.key, b.args = d.text(), d.table()
	b.transient = isTrue(b.args, ArgTransient)
	if d.err != nil {
		return nil, nil, d.err
	}
	if toExchange {
		b.exchange = v.exchanges[name]
	} else {
		b.queue = v.queues[name]
	}
	if b.source == nil || b.queue == nil && b.exchange == nil {
		return nil, nil, nil
	}
	return v, b, nil
}

// depth takes over how much waits in a queue.
func (r *recovery) depth(d spool.Depth) error {
	r.b.ids.seen(d.Queue)
	l := r.byID[d.Queue]
	if l == nil && r.torn {
		// They may be of the queue that cannot be read: they stay for the operator.
		r.b.trouble("stored messages of an unknown queue are kept", "queue", d.Queue, "messages", d.Count)
		return nil
	}
	if l == nil {
		r.orphans = append(r.orphans, spool.Purge{Queue: d.Queue, To: spool.MaxPos})
		return nil
	}
	l.cold, l.coldFrom, l.next, l.inSpool, l.coldMortal = d.Count, d.First, d.Last+1, true, true
	l.before = r.notes[d.Queue]
	l.seen, l.noted = l.before, l.before
	l.next = max(l.next, l.before) // what comes now was delivered to nobody
	l.q.count += d.Count
	l.q.bytes += d.Bytes
	if q := l.q; q.args.overflow == keepLast && !q.relearn {
		q.relearn = true
		q.v.unread = append(q.v.unread, l)
	}
	return nil
}
