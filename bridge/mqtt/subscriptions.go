package mqtt

import (
	"slices"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// subscription is a topic filter with what was granted for it.
type subscription struct {
	filter            string
	qos               byte
	noLocal           bool
	retainAsPublished bool
	id                uint32 // subscription identifier; 0 is none
	share             string // the group's queue; "" if it is not shared
	dots              bridge.Dots
}

// Arguments of the binding that a subscription is. Absent ones are zero.
const (
	argFilter            = "x-mqtt-filter"
	argQoS               = "x-mqtt-qos"
	argNoLocal           = "x-mqtt-no-local"
	argRetainAsPublished = "x-mqtt-retain-as-published"
	argSubscriptionID    = "x-mqtt-subscription-id"
)

// key is the binding's: of a shared subscription there is only a record.
func (s *subscription) key() string {
	if s.share != "" {
		return s.share
	}
	return s.pattern()
}

// pattern is what the topics look like as routing keys.
func (s *subscription) pattern() string { return s.dots.Pattern(s.plain()) }

// matches reports whether a message of the topic is for it.
func (s *subscription) matches(topic string) bool {
	return mqttwire.MatchFilter(s.dots.Seen(s.plain()), topic)
}

// plain is the filter without the group.
func (s *subscription) plain() string {
	if _, filter, shared := mqttwire.SplitShare(s.filter); shared && s.share != "" {
		return filter
	}
	return s.filter
}

// args is what rides on the binding. Copies for a subscription of QoS 0 alone
// are kept out of the spool.
func (s *subscription) args() amqp.Table {
	t := amqp.Table{{Key: argFilter, Value: s.filter}, {Key: argQoS, Value: int32(s.qos)}}
	if s.noLocal {
		t = append(t, amqp.Field{Key: argNoLocal, Value: true})
	}
	if s.retainAsPublished {
		t = append(t, amqp.Field{Key: argRetainAsPublished, Value: true})
	}
	if s.id != 0 {
		t = append(t, amqp.Field{Key: argSubscriptionID, Value: int64(s.id)})
	}
	if s.qos == 0 {
		t = append(t, amqp.Field{Key: broker.ArgTransient, Value: true})
	}
	return t
}

// subscriptionOf reads a binding back. Not ok means that it is none of ours:
// AMQP clients may bind the queue, too. One whose key is spelled otherwise was
// made when the door's Dots were others.
func (d *Door) subscriptionOf(b broker.Binding) (s subscription, ok bool) {
	s.dots = d.Dots
	filter, _ := b.Args.Get(argFilter)
	qos, _ := b.Args.Get(argQoS)
	noLocal, _ := b.Args.Get(argNoLocal)
	asPublished, _ := b.Args.Get(argRetainAsPublished)
	id, _ := b.Args.Get(argSubscriptionID)
	s.filter, ok = filter.(string)
	if group, shared, isShared := mqttwire.SplitShare(s.filter); isShared && b.Source == recordExchange {
		s.share = shareQueue(group, shared)
	}
	level, isInt := amqp.Int(qos)
	number, _ := amqp.Int(id)
	s.qos, s.id = byte(min(max(level, 0), 2)), uint32(number)
	s.noLocal, _ = noLocal.(bool)
	s.retainAsPublished, _ = asPublished.(bool)
	return s, ok && isInt && mqttwire.ValidFilter(s.filter) && s.hasKey(b.Key)
}

// hasKey reports whether the key is its binding's, by whatever Dots.
func (s *subscription) hasKey(key string) bool {
	if s.share != "" {
		return key == s.share
	}
	return s.hadPattern(key)
}

func (s *subscription) hadPattern(key string) bool {
	plain := s.plain()
	return key == bridge.DotsExact.Pattern(plain) || key == bridge.DotsRabbit.Pattern(plain)
}

// subscriptions is all of a session. It is never changed: the reader makes a
// new one and both goroutines go on with it.
type subscriptions struct {
	list []subscription
}

func (ss *subscriptions) find(filter string) *subscription {
	for i := range ss.list {
		if ss.list[i].filter == filter {
			return &ss.list[i]
		}
	}
	return nil
}

// with is a copy that has s, in place of one with the same filter.
func (ss *subscriptions) with(s subscription) *subscriptions {
	fresh := &subscriptions{list: make([]subscription, 0, len(ss.list)+1)}
	replaced := false
	for _, old := range ss.list {
		if old.filter == s.filter {
			old, replaced = s, true
		}
		fresh.list = append(fresh.list, old)
	}
	if !replaced {
		fresh.list = append(fresh.list, s)
	}
	return fresh
}

// without is a copy that does not have the filter.
func (ss *subscriptions) without(filter string) *subscriptions {
	return &subscriptions{list: slices.DeleteFunc(slices.Clone(ss.list), func(s subscription) bool { return s.filter == filter })}
}

// echoes reports whether a message to the topic would come back to this session
// over a subscription without echo only, so that its origin must be known.
func (ss *subscriptions) echoes(topic string) bool {
	for i := range ss.list {
		if s := &ss.list[i]; s.noLocal && s.matches(topic) {
			return true
		}
	}
	return false
}

// grant is how a message leaves that matched some subscriptions.
type grant struct {
	subscriptions     int // that matched
	qos               byte
	retainAsPublished bool
	ids               []uint32
}

func (g *grant) add(s *subscription) {
	g.subscriptions++
	g.qos = max(g.qos, s.qos)
	g.retainAsPublished = g.retainAsPublished || s.retainAsPublished
	if s.id != 0 {
		g.ids = append(g.ids, s.id)
	}
}

// address is what is known of a routing key: its topic, and what the
// subscriptions grant to messages of others and to the client's own.
type address struct {
	topic       string
	valid       bool // the key is a topic
	denied      bool // the user may not be given it, though it may subscribe
	others, own grant
}

func (ss *subscriptions) address(topic string) *address {
	a := &address{topic: topic}
	a.valid = mqttwire.ValidTopic(a.topic)
	for i := range ss.list {
		s := &ss.list[i]
		if s.share != "" || !s.matches(a.topic) {
			continue
		}
		a.others.add(s)
		if !s.noLocal {
			a.own.add(s)
		}
	}
	return a
}

// topicReader is what a broker.Access may also be: one that lets a client
// subscribe to more than it may be given. It may be asked by several at once.
type topicReader interface {
	MayReceive(topic string) bool
}

// addressesMax bounds the addresses that a connection remembers.
const addressesMax = 256

// addresses remembers the routing keys of the last messages, as long as the
// subscriptions are the same. It is the writer's.
type addresses struct {
	of    *subscriptions
	byKey map[string]*address
}

func (as *addresses) find(subs *subscriptions, key string, dots bridge.Dots, may topicReader) *address {
	if as.of != subs || len(as.byKey) >= addressesMax {
		as.of, as.byKey = subs, nil
	}
	if a := as.byKey[key]; a != nil {
		return a
	}
	if as.byKey == nil {
		as.byKey = make(map[string]*address)
	}
	a := subs.address(dots.Topic(key))
	if may != nil && a.valid && !may.MayReceive(a.topic) {
		a.others, a.own, a.denied = grant{}, grant{}, true
	}
	as.byKey[key] = a
	return a
}
