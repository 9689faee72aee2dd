package broker

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"leveret/amqp"
	"leveret/spool"
)

// Policy gives arguments to the queues and exchanges whose names match, without
// their being declared anew (an extension of RabbitMQ's). Of several that match
// the one of the highest priority applies. An operator policy is there for who
// runs the broker: it applies on top, and can only make limits narrower.
type Policy struct {
	Name       string
	Pattern    string // a regular expression, searched in the name
	ApplyTo    string // all, queues, classic_queues, quorum_queues, exchanges
	Priority   int
	Definition amqp.Table // arguments without their "x-"
	Operator   bool
	// Declared policies stand in a configuration, whose owner takes them away
	// when they no longer do. The mark outlives a restart.
	Declared bool
}

// policy is one in force.
type policy struct {
	Policy
	re *regexp.Regexp
}

const (
	policiesMax      = 1000 // of a vhost
	policyPatternMax = 4096 // bytes
)

// merging is how the value of a policy and that of a declaration become one.
type merging uint8

const (
	ownWins     merging = iota // the declaration knows better
	smallerWins                // both are limits
	ignored                    // RabbitMQ's, and without meaning here
)

// policyKeys are what a policy may define.
var policyKeys = map[string]merging{
	"message-ttl": smallerWins, "expires": smallerWins, "max-length": smallerWins, "max-length-bytes": smallerWins,
	"delivery-limit": smallerWins, "consumer-timeout": smallerWins,
	"overflow": ownWins, "dead-letter-exchange": ownWins, "dead-letter-routing-key": ownWins,
	"delayed-retry-type": ownWins, "delayed-retry-min": ownWins, "delayed-retry-max": ownWins,
	"alternate-exchange": ownWins,

	"dead-letter-strategy": ignored, "queue-mode": ignored, "queue-version": ignored, "queue-leader-locator": ignored,
	"queue-master-locator": ignored, "ha-mode": ignored, "ha-params": ignored, "ha-sync-mode": ignored,
	"ha-sync-batch-size": ignored, "ha-promote-on-shutdown": ignored, "ha-promote-on-failure": ignored,
	"max-in-memory-length": ignored, "max-in-memory-bytes": ignored, "target-group-size": ignored,
}

// SetPolicy makes a policy, or changes the one of that name, and applies it to
// what is there. The LSN says when it is on the disk.
func (b *Broker) SetPolicy(vhost string, p Policy) (spool.LSN, error) {
	checked, err := checkPolicy(p)
	if err != nil {
		return 0, fmt.Errorf("set policy %q: %w", p.Name, err)
	}
	v, err := b.vhost(vhost)
	if err != nil {
		return 0, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dropPolicyLocked(p.Name, p.Operator)
	if err := atMost("policies", len(v.policies), policiesMax); err != nil {
		return 0, err
	}
	v.policies = append(v.policies, checked)
	v.applyAllLocked()
	v.batch.Puts = append(v.batch.Puts, spool.Put{Key: policyKey(v, p.Name, p.Operator), Value: encodePolicy(v.name, p)})
	return v.finishLocked(), nil
}

// DeletePolicy takes a policy away. A missing one is no error.
func (b *Broker) DeletePolicy(vhost, name string, operator bool) (spool.LSN, error) {
	v, err := b.vhost(vhost)
	if err != nil {
		return 0, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.dropPolicyLocked(name, operator) {
		return 0, nil
	}
	v.applyAllLocked()
	v.batch.Puts = append(v.batch.Puts, spool.Put{Key: policyKey(v, name, operator)})
	return v.finishLocked(), nil
}

// Policies are those of a vhost, operators' last, by name.
func (b *Broker) Policies(vhost string) ([]Policy, error) {
	v, err := b.vhost(vhost)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	ps := make([]Policy, 0, len(v.policies))
	for _, p := range v.policies {
		ps = append(ps, p.Policy)
	}
	sort.Slice(ps, func(i, j int) bool {
		a, b := &ps[i], &ps[j]
		return cmp.Or(compareBool(a.Operator, b.Operator), strings.Compare(a.Name, b.Name)) < 0
	})
	return ps, nil
}

func compareBool(a, b bool) int { return int(flags(a)) - int(flags(b)) }

func (b *Broker) vhost(name string) (*VHost, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.vhosts[name]; v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNoVHost, name)
}

// CheckPolicy tells why SetPolicy would refuse a policy, or nil.
func CheckPolicy(p Policy) error {
	_, err := checkPolicy(p)
	return err
}

// checkPolicy refuses what could never apply.
func checkPolicy(p Policy) (*policy, error) {
	if p.Name == "" || len(p.Pattern) > policyPatternMax {
		return nil, fmt.Errorf("it has no name, or a pattern of more than %d bytes", policyPatternMax)
	}
	re, err := regexp.Compile(p.Pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	if !slices.Contains([]string{"all", "queues", "classic_queues", "quorum_queues", "exchanges", "streams"}, p.ApplyTo) {
		return nil, fmt.Errorf("it applies to %q, which is none of all, queues, classic_queues, quorum_queues, exchanges", p.ApplyTo)
	}
	for _, f := range p.Definition {
		how, known := policyKeys[f.Key]
		if !known || p.Operator && how != smallerWins {
			return nil, fmt.Errorf("%q is not recognised as a setting of such a policy", f.Key)
		}
		if err := checkPolicyValue(f); err != nil {
			return nil, err
		}
	}
	return &policy{Policy: p, re: re}, nil
}

// checkPolicyValue reads a value as a declaration's would be.
func checkPolicyValue(f amqp.Field) error {
	if f.Key == "alternate-exchange" {
		if _, isText := f.Value.(string); !isText {
			return fmt.Errorf("alternate-exchange is of type %s, not longstr", amqp.TypeName(f.Value))
		}
		return nil
	}
	args := amqp.Table{{Key: "x-" + f.Key, Value: f.Value}}
	if f.Key == "dead-letter-routing-key" {
		args = args.With("x-dead-letter-exchange", "")
	}
	_, err := parseQueueArgs("the policy's queues", args, QueueTypes{})
	return err
}

func (v *VHost) dropPolicyLocked(name string, operator bool) bool {
	n := len(v.policies)
	v.policies = slices.DeleteFunc(v.policies, func(p *policy) bool { return p.Name == name && p.Operator == operator })
	return len(v.policies) < n
}

// bestLocked is the policy for a thing of these kinds, or nil. Of equal
// priorities the first by name applies.
func (v *VHost) bestLocked(name string, operator bool, kinds ...string) (best *policy) {
	for _, p := range v.policies {
		if p.Operator != operator || !slices.Contains(kinds, p.ApplyTo) || !p.re.MatchString(name) {
			continue
		}
		if best == nil || p.Priority > best.Priority || p.Priority == best.Priority && p.Name < best.Name {
			best = p
		}
	}
	return best
}

// applyAllLocked makes all queues and exchanges what they are to be now.
func (v *VHost) applyAllLocked() {
	for _, q := range v.queues {
		v.applyLocked(q)
	}
	for _, x := range v.exchanges {
		v.alternateLocked(x)
	}
	v.routesGen++
}

// applyLocked gives a queue the arguments of its declaration and its policies.
func (v *VHost) applyLocked(q *queue) {
	if len(v.policies) == 0 && q.policy == nil && q.operator == nil {
		return
	}
	kind := "classic_queues"
	if (&argReader{args: q.spec.Args, types: v.b.types.keeping()}).kind() == TypeQuorum {
		kind = "quorum_queues"
	}
	q.policy, q.operator = nil, nil
	if !q.isReply() {
		q.policy = v.bestLocked(q.name, false, "all", "queues", kind)
		q.operator = v.bestLocked(q.name, true, "all", "queues", kind)
	}
	args, err := parseQueueArgs(v.named("queue", q.name), q.operator.onto(q.policy.onto(q.spec.Args)), v.b.types.keeping())
	if err != nil { // each is right by itself; together they may not be
		v.b.trouble("policy does not fit a queue, which goes without", "queue", q.name, "err", err)
		return
	}
	if args.overflow == keepLast && q.args.overflow != keepLast && q.count > 0 {
		q.relearn = true
		v.askForCold(q.lanes[0])
	}
	q.args = args
	for _, l := range q.lanes {
		l.newDeadlines()
	}
	v.touchLocked(q)
}

// onto merges a policy into arguments; nil changes nothing.
func (p *policy) onto(args amqp.Table) amqp.Table {
	if p == nil {
		return args
	}
	for _, f := range p.Definition {
		key := "x-" + f.Key
		own, given := args.Get(key)
		switch how := policyKeys[f.Key]; {
		case how == ignored || given && how == ownWins:
			continue
		case given:
			a, aIsNumber := amqp.Int(own)
			b, _ := amqp.Int(f.Value)
			if aIsNumber && a >= 0 && (a <= b || b < 0) {
				continue
			}
		}
		args = args.With(key, f.Value)
	}
	return args
}

// alternateLocked finds where an exchange's messages go that found no queue.
func (v *VHost) alternateLocked(x *exchange) {
	x.alternate = x.declaredAlternate()
	if p := v.bestLocked(x.Name, false, "all", "exchanges"); p != nil && x.alternate == "" && x.Name != "" {
		to, _ := p.Definition.Get("alternate-exchange")
		x.alternate, _ = to.(string)
	}
}

// newDeadlines: the queue's time to live has changed.
func (l *lane) newDeadlines() {
	for _, held := range []*ring[entry]{&l.returned, &l.ready} {
		for i := range held.len() {
			e := held.at(i)
			e.deadline = l.q.v.b.deadlineOf(l.q, e.msg)
		}
	}
	l.coldMortal = l.coldMortal || l.q.args.ttl >= 0
}

func policyKey(v *VHost, name string, operator bool) string {
	return definitionKey(kindPolicy, v.name, name, string([]byte{flags(operator)}))
}

func encodePolicy(vhost string, p Policy) []byte {
	b := appendText([]byte{definitionVersion}, vhost)
	b = appendText(b, p.Name)
	b = appendText(append(b, flags(p.Operator, p.Declared)), p.Pattern)
	b = appendText(b, p.ApplyTo)
	b = binary.BigEndian.AppendUint64(b, uint64(int64(p.Priority)))
	return p.Definition.AppendTo(b)
}

func (r *recovery) policy(value []byte) error {
	d := decode(value)
	v := r.vhost(d.text())
	p := Policy{Name: d.text()}
	marks := d.u8()
	p.Operator, p.Declared = marks&1 != 0, marks&2 != 0
	p.Pattern, p.ApplyTo, p.Priority = d.text(), d.text(), int(int64(d.u64()))
	p.Definition = d.table()
	if d.err != nil {
		return d.err
	}
	checked, err := checkPolicy(p)
	if err == nil {
		v.policies = append(v.policies, checked)
	}
	return err
}
