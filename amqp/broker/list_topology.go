package broker

import (
	"cmp"
	"slices"

	"leveret/amqp"
)

// ExchangeTypes are the types that an exchange may be declared with.
var ExchangeTypes = [...]string{
	"direct", "fanout", typeTopic, typeHeaders, typeHash, typeRandom, typeLocalRandom, typeDedup, typeDelayed,
}

// ExchangeStatus is what an operator sees of an exchange.
type ExchangeStatus struct {
	ExchangeSpec
	VHost    string
	Bindings int // that start here
}

// Exchanges gives all exchanges, by vhost and name.
func (b *Broker) Exchanges() (list []*ExchangeStatus) {
	b.eachVHost(func(v *VHost) {
		for _, x := range v.exchanges {
			list = append(list, &ExchangeStatus{x.ExchangeSpec, v.name, len(x.sources)})
		}
	})
	slices.SortFunc(list, func(a, b *ExchangeStatus) int {
		return cmp.Or(cmp.Compare(a.VHost, b.VHost), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// BindingStatus is what an operator sees of a binding.
type BindingStatus struct {
	VHost, Source, Destination string
	ToExchange                 bool
	Key                        string
	Args                       amqp.Table
}

// AllBindings gives all bindings, those of the default exchange among them
// (each queue by its name), by vhost, source, destination and key.
func (b *Broker) AllBindings() (list []*BindingStatus) {
	b.eachVHost(func(v *VHost) {
		for _, q := range v.queues {
			if !q.isReply() {
				list = append(list, &BindingStatus{VHost: v.name, Destination: q.name, Key: q.name})
			}
		}
		for _, x := range v.exchanges {
			for _, one := range x.sources {
				list = append(list, one.status(v))
			}
		}
	})
	slices.SortFunc(list, func(a, b *BindingStatus) int {
		return cmp.Or(cmp.Compare(a.VHost, b.VHost), cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Key, b.Key))
	})
	return list
}

func (b *binding) status(v *VHost) *BindingStatus {
	st := &BindingStatus{VHost: v.name, Source: b.source.Name, Key: b.key, Args: b.args}
	if b.queue != nil {
		st.Destination = b.queue.name
	} else {
		st.Destination, st.ToExchange = b.exchange.Name, true
	}
	return st
}

// Bound reports whether anything is bound to an exchange.
func (b *Broker) Bound(vhost, exchange string) bool {
	v, err := b.vhost(vhost)
	if err != nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.exchanges[exchange]
	return x != nil && len(x.sources) > 0
}

// RetainedValues gives the retained values of a vhost whose routing keys match a
// topic pattern, by exchange and key.
func (b *Broker) RetainedValues(vhost, pattern string) ([]*amqp.Message, error) {
	v, err := b.vhost(vhost)
	if err != nil {
		return nil, err
	}
	found := v.retainedBy(pattern)
	slices.SortFunc(found, func(a, b *amqp.Message) int {
		return cmp.Or(cmp.Compare(a.Exchange, b.Exchange), cmp.Compare(a.Key, b.Key))
	})
	return found, nil
}

// RetainedValue is the value of one routing key; nil is none.
func (b *Broker) RetainedValue(vhost, exchange, key string) *amqp.Message {
	v, err := b.vhost(vhost)
	if err != nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.retained.values[address{exchange, key}]
}
