package broker

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"leveret/amqp"
	"leveret/spool"
)

// VHostLimits bounds one vhost beside the broker's own Limits; 0 is no bound of
// its own.
type VHostLimits struct {
	ConnectionsMax int
	QueuesMax      int
}

var (
	errVHostName    = errors.New("a vhost's name has 1 to 255 bytes")
	errDefaultVHost = errors.New("the default vhost cannot be deleted")
	errVHostGone    = amqp.Errorf(amqp.NotFound, "the vhost was deleted")
	// ErrDeleted is why the connections of a deleted vhost end.
	ErrDeleted = amqp.Errorf(amqp.ConnectionForced, "vhost is deleted")
)

// vhostsMax bounds the vhosts of a broker.
const vhostsMax = 1000

// AddVHost makes a vhost, or sets the limits of one that is there; nothing is
// written when it is as it shall be. The LSN says when that is on the disk.
func (b *Broker) AddVHost(name string, limits VHostLimits) (spool.LSN, error) {
	if name == "" || len(name) > namesMax {
		return 0, fmt.Errorf("add vhost %q: %w", name, errVHostName)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.vhosts[name]
	if v == nil {
		if err := atMost("vhosts", len(b.vhosts), vhostsMax); err != nil {
			return 0, err
		}
		v = b.newVHost(name)
	} else if v.has(limits) {
		return 0, nil
	}
	lsn, err := b.log.Append(&spool.Batch{Puts: []spool.Put{{
		Key: definitionKey(kindVHost, name), Value: encodeVHost(name, limits),
	}}})
	if err != nil {
		return 0, fmt.Errorf("add vhost %q: %w", name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.limits, b.vhosts[name] = limits, v
	return lsn, nil
}

func (v *VHost) has(limits VHostLimits) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.limits == limits
}

// DeleteVHost deletes a vhost with everything in it; its connections are ended.
// A missing one is no error.
func (b *Broker) DeleteVHost(name string) (spool.LSN, error) {
	if name == DefaultVHost {
		return 0, errDefaultVHost
	}
	b.mu.Lock()
	v := b.vhosts[name]
	delete(b.vhosts, name)
	b.mu.Unlock()
	if v == nil {
		return 0, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.deleted = true
	for c := range v.conns {
		c.end(ErrDeleted)
	}
	for _, q := range v.queues {
		v.deleteQueueLocked(q)
	}
	for _, x := range v.exchanges {
		v.deleteExchangeLocked(x)
	}
	for _, p := range v.policies {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: policyKey(v, p.Name, p.Operator)})
	}
	for at := range v.retained.values {
		v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindValue, v.name, at.exchange, at.key)})
	}
	v.batch.Puts = append(v.batch.Puts, spool.Put{Key: definitionKey(kindVHost, name)})
	return v.finishLocked(), nil
}

// VHosts are the names of all vhosts, in order.
func (b *Broker) VHosts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := make([]string, 0, len(b.vhosts))
	for name := range b.vhosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// end asks the shell to end a connection.
func (c *Conn) end(why *amqp.Error) {
	if c.who.End != nil {
		c.who.End(why)
	}
}

// admitLocked refuses a connection too many, in RabbitMQ's words. The product's
// own connections always get in.
func (v *VHost) admitLocked(who *Identity, ofUser int) error {
	if who.Access == nil {
		return nil
	}
	if most := v.limits.ConnectionsMax; most > 0 && len(v.conns) >= most {
		return amqp.Errorf(amqp.NotAllowed, "access to vhost '%s' refused for user '%s': connection limit (%d) is reached", v.name, who.User, most)
	}
	most := v.b.limits.UserConnectionsMax
	if a, ok := who.Access.(BoundedAccess); ok {
		most = cmp.Or(a.ConnectionsMax(), most)
	}
	if most > 0 && ofUser >= most {
		return amqp.Errorf(amqp.NotAllowed, "connection refused for user '%s': user connection limit (%d) is reached", who.User, most)
	}
	return nil
}

// roomForQueueLocked refuses a queue too many.
func (v *VHost) roomForQueueLocked(name string) error {
	most := v.b.limits.QueuesMax
	if own := v.limits.QueuesMax; own > 0 {
		most = min(most, own)
	}
	if len(v.queues) < most {
		return nil
	}
	return amqp.Errorf(amqp.PreconditionFailed, "cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached", name, v.name, most)
}

func encodeVHost(name string, l VHostLimits) []byte {
	b := appendText([]byte{definitionVersion}, name)
	b = binary.AppendUvarint(b, uint64(l.ConnectionsMax))
	return binary.AppendUvarint(b, uint64(l.QueuesMax))
}

func (r *recovery) ownVHost(value []byte) error {
	d := decode(value)
	name := d.text()
	limits := VHostLimits{ConnectionsMax: int(d.uvarint()), QueuesMax: int(d.uvarint())}
	if d.err == nil {
		r.vhost(name).limits = limits
	}
	return d.err
}
