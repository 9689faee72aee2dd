package broker

import "leveret/amqp"

// ExchangeSpec describes an exchange to declare.
type ExchangeSpec struct {
	Name       string
	Type       string // see newRoutes
	Durable    bool
	AutoDelete bool // goes when its last binding as a source is removed
	Internal   bool // only other exchanges may publish to it
	Args       amqp.Table
}

type exchange struct {
	ExchangeSpec
	routes routes
	// bindings by identity: what starts here, and what ends here.
	sources map[string]*binding
	targets map[string]*binding

	alternate string   // where messages go that found no queue; "" is nowhere
	window    *window  // of an exchange that takes each message once, or nil
	holding   *holding // of an exchange that holds messages back, or nil

	// cache holds routes by key, for the types that look at nothing else.
	cache     map[string][]target
	cacheable bool
	cacheGen  uint64 // the vhost's generation that the cache is of
	mark      uint64 // the walk that last visited this exchange
}

const cacheMax = 1024 // routes cached for each exchange

// routes finds the bindings that match a message.
type routes interface {
	add(*binding)
	remove(*binding)
	// match appends what matches to found, perhaps some of it twice.
	match(key string, props amqp.Properties, found []*binding) []*binding
}

// binding leads from an exchange to a queue or to another exchange.
type binding struct {
	source   *exchange
	queue    *queue    // nil when it leads to an exchange
	exchange *exchange // nil when it leads to a queue
	key      string
	args     amqp.Table
	// transient: messages that come only over such bindings are not stored in
	// a durable queue (MQTT subscriptions of QoS 0).
	transient bool
}

// target is a queue that a message goes to.
type target struct {
	queue     *queue
	transient bool
}

// ArgTransient as a binding argument (true) keeps what comes over the binding
// out of the spool.
const ArgTransient = "x-transient"

// Types of exchanges that somebody asks for by name; those with an x are more
// than 0-9-1 has: RabbitMQ's, or those of plugins that people meet.
const (
	typeTopic       = "topic"
	typeHeaders     = "headers"
	typeHash        = "x-consistent-hash"
	typeRandom      = "x-random"
	typeLocalRandom = "x-local-random"
	typeDedup       = "x-message-deduplication"
	typeDelayed     = "x-delayed-message"
)

// newRoutes makes the routes of a type of exchange; cacheable tells that they
// depend on nothing but the routing key.
func newRoutes(kind string, args amqp.Table) (r routes, cacheable bool, err error) {
	switch kind {
	case "direct":
		return make(directRoutes), true, nil
	case "fanout", typeDedup:
		return new(fanoutRoutes), true, nil
	case typeTopic:
		return new(topicRoutes), true, nil
	case typeHeaders:
		return new(headersRoutes), false, nil
	case typeRandom, typeLocalRandom:
		return new(randomRoutes), false, nil
	case typeHash:
		h, err := newHashRoutes(args)
		return h, err == nil && h.byKey(), err
	}
	return nil, false, amqp.Errorf(amqp.PreconditionFailed, "unknown exchange type '%s'", kind)
}

// kind is the type by which an exchange routes.
func (s *ExchangeSpec) kind() string {
	if s.Type != typeDelayed {
		return s.Type
	}
	v, _ := s.Args.Get(argDelayedType)
	inner, _ := v.(string)
	return inner
}

// newExchange makes one; thing names it where it is refused.
func newExchange(thing string, spec ExchangeSpec) (*exchange, error) {
	r, cacheable, err := newRoutes(spec.kind(), spec.Args)
	if err != nil && spec.Type == typeDelayed {
		err = errDelayedType
	}
	if err != nil {
		return nil, err
	}
	args := argReader{thing: thing, args: spec.Args}
	if spec.Type == typeDedup {
		args.args = args.args.With(argDeduplication, true)
	}
	x := &exchange{
		ExchangeSpec: spec,
		routes:       r,
		sources:      make(map[string]*binding),
		targets:      make(map[string]*binding),
		cacheable:    cacheable && spec.Type != typeDelayed,
		window:       args.window(),
	}
	x.alternate, _ = args.text("alternate-exchange")
	return x, args.err
}

// declaredAlternate is the alternate exchange that the declaration names.
func (s *ExchangeSpec) declaredAlternate() string {
	v, _ := s.Args.Get("alternate-exchange")
	name, _ := v.(string)
	return name
}

// id tells bindings of one source apart: 0-9-1 knows a binding by its two
// ends, its key and its arguments.
func (b *binding) id() string {
	kind, name := "queue", ""
	if b.queue != nil {
		name = b.queue.name
	} else {
		kind, name = "exchange", b.exchange.Name
	}
	return joined(kind, name, b.key, string(b.args.AppendTo(nil)))
}

// predeclared are the exchanges that every vhost has (0-9-1, section 3.1.3, and
// RabbitMQ's amq.match and amq.rabbitmq.trace). The default exchange, named "",
// leads to each queue by its name and has no bindings of its own.
var predeclared = []ExchangeSpec{
	{Name: "", Type: "direct", Durable: true},
	{Name: "amq.direct", Type: "direct", Durable: true},
	{Name: "amq.fanout", Type: "fanout", Durable: true},
	{Name: "amq.topic", Type: "topic", Durable: true},
	{Name: "amq.headers", Type: "headers", Durable: true},
	{Name: "amq.match", Type: "headers", Durable: true},
	{Name: "amq.rabbitmq.trace", Type: "topic", Durable: true, Internal: true},
}
