package broker

import (
	"strings"

	"leveret/amqp"
	"leveret/spool"
)

// QueueSpec describes a queue to declare.
type QueueSpec struct {
	Name       string // made up when empty
	Durable    bool
	Exclusive  bool // for this connection alone; deleted with it
	AutoDelete bool // goes with its last consumer
	Args       amqp.Table
}

// QueueInfo is what a declaration answers.
type QueueInfo struct {
	Name      string
	Messages  int // ready
	Consumers int
}

const namesMax = 255 // bytes of a name (0-9-1: a short string)

// DeclareExchange makes an exchange, or checks that the one that is there is
// the same. The LSN says when it is on the disk.
func (c *Conn) DeclareExchange(spec ExchangeSpec) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.deleted {
		return 0, errVHostGone
	}
	if spec.Name == "" {
		return 0, errDefaultExchange
	}
	if err := c.allow(Configure, "exchange", spec.Name); err != nil {
		return 0, err
	}
	if x := v.exchanges[spec.Name]; x != nil {
		return v.standing(x.Durable), v.sameExchange(x, spec)
	}
	if err := v.freeName("exchange", spec.Name); err != nil {
		return 0, err
	}
	if most := v.b.limits.ExchangesMax; len(v.exchanges) >= most {
		return 0, amqp.Errorf(amqp.PreconditionFailed, "cannot declare %s: exchange limit of %d is reached", v.named("exchange", spec.Name), most)
	}
	x, err := newExchange(v.named("exchange", spec.Name), spec)
	if err == nil {
		err = c.mayLead(spec)
	}
	if err != nil {
		return 0, err
	}
	v.exchanges[spec.Name] = x
	v.alternateLocked(x)
	v.routesGen++
	var hold spool.QueueID
	if spec.Type == typeDelayed {
		hold = v.b.ids.next(1, &v.batch)
		v.holdLocked(x, hold)
	}
	if spec.Durable && hold != 0 {
		v.batch.Puts = append(v.batch.Puts, spool.Put{
			Key: definitionKey(kindHolding, v.name, spec.Name), Value: encodeHolding(v.name, spec.Name, hold),
		})
	}
	if spec.Durable {
		x.window.lasts(v, ownerExchange, spec.Name)
		v.batch.Puts = append(v.batch.Puts, spool.Put{
			Key: definitionKey(kindExchange, v.name, spec.Name), Value: encodeExchange(v.name, spec),
		})
	}
	return v.finishLocked(), nil
}

// mayLead asks for the rights that an alternate exchange needs: what comes to
// one goes to the other.
func (c *Conn) mayLead(spec ExchangeSpec) error {
	v, given := spec.Args.Get("alternate-exchange")
	other, isText := v.(string)
	if !given || !isText {
		return nil
	}
	return firstError(c.allow(Read, "exchange", spec.Name), c.allow(Write, "exchange", other))
}

var errDefaultExchange = amqp.Errorf(amqp.AccessRefused, "operation not permitted on the default exchange")

// CheckExchange answers whether an exchange is there (a passive declaration).
func (c *Conn) CheckExchange(name string) error {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if name == "" {
		return errDefaultExchange
	}
	if v.exchanges[name] == nil {
		return amqp.Errorf(amqp.NotFound, "no %s", v.named("exchange", name))
	}
	return nil
}

// DeleteExchange deletes an exchange and its bindings. A missing one is no
// error.
func (c *Conn) DeleteExchange(name string, ifUnused bool) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if name == "" {
		return 0, errDefaultExchange
	}
	if err := c.allow(Configure, "exchange", name); err != nil {
		return 0, err
	}
	if strings.HasPrefix(name, "amq.") {
		return 0, amqp.Errorf(amqp.AccessRefused, "deletion of system %s not allowed", v.named("exchange", name))
	}
	x := v.exchanges[name]
	if x == nil {
		return 0, nil
	}
	if ifUnused && len(x.sources) > 0 {
		return 0, amqp.Errorf(amqp.PreconditionFailed, "%s in use", v.named("exchange", name))
	}
	v.deleteExchangeLocked(x)
	return v.finishLocked(), nil
}

func (v *VHost) deleteExchangeLocked(x *exchange) {
	delete(v.exchanges, x.Name)
	v.routesGen++
	if x.Durable {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindExchange, v.name, x.Name)})
	}
	if x.holding != nil {
		v.dropHoldingLocked(x.holding)
	}
	v.dropPagesLocked(x.window)
	for _, b := range x.sources {
		v.unbindLocked(b)
	}
	for _, b := range x.targets {
		v.unbindLocked(b)
	}
}

// DeclareQueue makes a queue, or checks that the one that is there is the same.
func (c *Conn) DeclareQueue(spec QueueSpec) (QueueInfo, spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.deleted {
		return QueueInfo{}, 0, errVHostGone
	}
	if isReplyName(spec.Name) {
		info, err := v.checkReplyLocked(spec.Name)
		return info, 0, err
	}
	made := spec.Name == ""
	if made {
		spec.Name = newName("amq.gen-")
	}
	if err := c.allow(Configure, "queue", spec.Name); err != nil {
		return QueueInfo{}, 0, err
	}
	if q := v.queues[spec.Name]; q != nil {
		if err := v.sameQueue(c, q, spec); err != nil {
			return QueueInfo{}, 0, err
		}
		q.lastUsed = v.b.now()
		return q.info(), v.standing(q.durable()), nil
	}
	if !made {
		if err := v.freeName("queue", spec.Name); err != nil {
			return QueueInfo{}, 0, err
		}
	}
	if err := v.roomForQueueLocked(spec.Name); err != nil {
		return QueueInfo{}, 0, err
	}
	q, err := v.makeQueueLocked(c, spec)
	if err != nil {
		return QueueInfo{}, 0, err
	}
	return q.info(), v.finishLocked(), nil
}

// DeclareBound makes a queue that is not there yet together with a binding, as
// one change: a cut leaves both or neither.
func (c *Conn) DeclareBound(spec QueueSpec, exchange, key string, args amqp.Table) (spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.deleted {
		return 0, errVHostGone
	}
	if err := c.allow(Configure, "queue", spec.Name); err != nil {
		return 0, err
	}
	if v.queues[spec.Name] != nil {
		return 0, amqp.Errorf(amqp.PreconditionFailed, "%s is there already", v.named("queue", spec.Name))
	}
	if err := firstError(v.freeName("queue", spec.Name), v.roomForQueueLocked(spec.Name),
		atMost("bindings", v.bindings, v.b.limits.BindingsMax)); err != nil {
		return 0, err
	}
	x, err := v.sourceLocked(c, exchange)
	if err != nil {
		return 0, err
	}
	b := &binding{source: x, key: key, args: args, transient: isTrue(args, ArgTransient)}
	if err := firstError(c.allowTopic(Read, x, key), b.check()); err != nil {
		return 0, err
	}
	if b.queue, err = v.makeQueueLocked(c, spec); err != nil {
		return 0, err
	}
	return v.bindLocked(b)
}

// makeQueueLocked makes a queue that is not there yet.
func (v *VHost) makeQueueLocked(c *Conn, spec QueueSpec) (*queue, error) {
	thing := v.named("queue", spec.Name)
	args, err := parseQueueArgs(thing, spec.Args, v.b.types)
	if err == nil {
		err = fitsType(thing, spec, v.b.types)
	}
	if err == nil && args.deadLettering { // RabbitMQ's rule: it takes from one and gives to the other
		err = firstError(c.allow(Read, "queue", spec.Name), c.allow(Write, "exchange", args.deadExchange))
	}
	if err != nil {
		return nil, err
	}
	q := v.newQueueLocked(v.b.ids.next(args.lanes(), &v.batch), spec, args)
	q.lastUsed = v.b.now()
	v.touchLocked(q)
	if spec.Exclusive {
		q.owner = c
		c.exclusive[q] = struct{}{}
	}
	if q.durable() {
		v.batch.Puts = append(v.batch.Puts, q.put())
	}
	return q, nil
}

func (q *queue) info() QueueInfo {
	return QueueInfo{Name: q.name, Messages: q.count, Consumers: len(q.consumers)}
}

// CheckQueue answers for a queue that is there (a passive declaration).
func (c *Conn) CheckQueue(name string) (QueueInfo, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if isReplyName(name) {
		return v.checkReplyLocked(name)
	}
	q, err := v.queueLocked(c, name)
	if err != nil {
		return QueueInfo{}, err
	}
	return q.info(), nil
}

// DeleteQueue deletes a queue and says how many messages were ready in it. A
// missing one is no error.
func (c *Conn) DeleteQueue(name string, ifUnused, ifEmpty bool) (int, spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := c.allow(Configure, "queue", name); err != nil {
		return 0, 0, err
	}
	if v.queues[name] == nil {
		return 0, 0, nil
	}
	q, err := v.queueLocked(c, name)
	switch {
	case err != nil:
		return 0, 0, err
	case ifUnused && len(q.consumers) > 0:
		return 0, 0, amqp.Errorf(amqp.PreconditionFailed, "%s in use", v.named("queue", name))
	case ifEmpty && q.count > 0:
		return 0, 0, amqp.Errorf(amqp.PreconditionFailed, "%s not empty", v.named("queue", name))
	}
	n := v.deleteQueueLocked(q)
	return n, v.finishLocked(), nil
}

// deleteQueueLocked ends a queue: its consumers are told, its bindings go, and
// everything stored for it leaves.
func (v *VHost) deleteQueueLocked(q *queue) int {
	n := v.purgeLocked(q)
	q.deleted = true
	delete(v.queues, q.name)
	v.routesGen++
	if q.owner != nil {
		delete(q.owner.exclusive, q)
	}
	for b := range q.bindings {
		v.unbindLocked(b)
	}
	if q.durable() {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindQueue, v.name, q.name)})
	}
	v.unmarkAllLocked(q)
	v.dropPagesLocked(q.window)
	for _, l := range q.lanes {
		v.dropNoteLocked(l)
		if l.inSpool {
			v.batch.Purges = append(v.batch.Purges, spool.Purge{Queue: l.id, To: spool.MaxPos})
		}
	}
	for len(q.consumers) > 0 {
		c := q.consumers[0]
		v.endConsumerLocked(c)
		c.session.conn.pushLocked(Delivery{Session: c.session, Consumer: c})
	}
	return n
}

// Purge drops what is ready in a queue and says how many that was.
func (c *Conn) Purge(name string) (int, spool.LSN, error) {
	v := c.v
	v.mu.Lock()
	defer v.mu.Unlock()
	q, err := v.queueLocked(c, name)
	if err != nil {
		return 0, 0, err
	}
	if err := c.allow(Read, "queue", name); err != nil {
		return 0, 0, err
	}
	n := v.purgeLocked(q)
	return n, v.finishLocked(), nil
}

// queueLocked finds a queue that the connection may touch.
func (v *VHost) queueLocked(c *Conn, name string) (*queue, error) {
	q := v.queues[name]
	if q == nil {
		return nil, amqp.Errorf(amqp.NotFound, "no %s", v.named("queue", name))
	}
	if q.owner != nil && q.owner != c {
		return nil, v.lockedQueue(name)
	}
	return q, nil
}

func (v *VHost) lockedQueue(name string) error {
	return amqp.Errorf(amqp.ResourceLocked,
		"cannot obtain exclusive access to locked %s. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.",
		v.named("queue", name))
}

// freeName refuses names that are reserved or too long.
func (v *VHost) freeName(kind, name string) error {
	if strings.HasPrefix(name, "amq.") {
		return amqp.Errorf(amqp.AccessRefused, "%s name '%s' contains reserved prefix 'amq.*'", kind, name)
	}
	if len(name) > namesMax {
		return amqp.Errorf(amqp.PreconditionFailed, "%s name of %d bytes is longer than %d", kind, len(name), namesMax)
	}
	return nil
}
