package mqtt

import (
	"errors"
	"slices"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// Route says in which exchange topics live. Of several routes that match a
// topic the first one counts; what matches none is in Options.Exchange.
//
// A filter may meet the topics of several exchanges (# meets all of them). Its
// subscription is then a binding in each, and since the core gives a queue each
// message once, the subscriber gets it once, also where one of the exchanges
// leads on to another.
type Route struct {
	Filter   string // a topic filter, not a shared one
	Exchange string // a topic exchange
}

// exchangeOf is where a topic lives.
func (d *Door) exchangeOf(topic string) string {
	for i := range d.Routes {
		if mqttwire.MatchFilter(d.Dots.Seen(d.Routes[i].Filter), topic) {
			return d.Routes[i].Exchange
		}
	}
	return d.Exchange
}

// exchangesOf is where topics that a filter matches may live, without repeats.
func (d *Door) exchangesOf(filter string) []string {
	if len(d.Routes) == 0 {
		return []string{d.Exchange}
	}
	filter = d.Dots.Seen(filter)
	var all []string
	add := func(exchange string) {
		if !slices.Contains(all, exchange) {
			all = append(all, exchange)
		}
	}
	for i := range d.Routes {
		r := &d.Routes[i]
		of := d.Dots.Seen(r.Filter)
		if mqttwire.FiltersMeet(of, filter) {
			add(r.Exchange)
		}
		if mqttwire.FilterCovers(of, filter) {
			return all // nothing is left for those behind it
		}
	}
	add(d.Exchange)
	return all
}

// isExchange reports whether topics may live in an exchange of that name.
func (d *Door) isExchange(name string) bool {
	return name == d.Exchange || slices.ContainsFunc(d.Routes, func(r Route) bool { return r.Exchange == name })
}

// bind makes a subscription the bindings that it is: all of them, or none.
func (d *Door) bind(by *broker.Conn, queue, filter, key string, args amqp.Table) (lsn spool.LSN, err error) {
	exchanges := d.exchangesOf(filter)
	for i, exchange := range exchanges {
		at, err := by.BindQueue(queue, exchange, key, args)
		if err != nil {
			return 0, errors.Join(err, unbindFrom(by, exchanges[:i], queue, key, args))
		}
		lsn = max(lsn, at)
	}
	return lsn, nil
}

// unbind takes them away.
func (d *Door) unbind(by *broker.Conn, queue, filter, key string, args amqp.Table) (lsn spool.LSN, err error) {
	for _, exchange := range d.exchangesOf(filter) {
		at, err := by.UnbindQueue(queue, exchange, key, args)
		if err != nil {
			return 0, err
		}
		lsn = max(lsn, at)
	}
	return lsn, nil
}

func unbindFrom(by *broker.Conn, exchanges []string, queue, key string, args amqp.Table) error {
	var errs []error
	for _, exchange := range exchanges {
		_, err := by.UnbindQueue(queue, exchange, key, args)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// reroute brings the bindings of a session or a group that the spool has to
// where the routes of today want them. They are made before old ones go: what is
// published meanwhile comes once, whichever way.
func (d *Door) reroute(queue string, bindings []broker.Binding, subs []subscription) error {
	var errs []error
	for i := range subs {
		s := &subs[i]
		if s.share == "" {
			_, err := d.bind(d.keeper, queue, s.filter, s.key(), s.args())
			errs = append(errs, err)
		}
	}
	for _, b := range bindings {
		if b.Source == recordExchange || d.wanted(b, subs) {
			continue
		}
		_, err := d.keeper.UnbindQueue(queue, b.Source, b.Key, b.Args)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// wanted reports whether a binding is part of one of the subscriptions, or no
// subscription at all: AMQP clients may have bound the queue.
func (d *Door) wanted(b broker.Binding, subs []subscription) bool {
	s, ok := d.subscriptionOf(b)
	if !ok {
		return true
	}
	i := slices.IndexFunc(subs, func(of subscription) bool { return of == s })
	return i >= 0 && b.Key == s.key() && slices.Contains(d.exchangesOf(s.filter), b.Source)
}

// rerouteShare does the same for a group's queue.
func (d *Door) rerouteShare(s *subscription) {
	bindings, err := d.keeper.Bindings(s.share)
	if err == nil {
		_, err = d.bind(d.keeper, s.share, s.plain(), s.pattern(), nil)
	}
	for _, b := range bindings {
		if b.Source != recordExchange && s.hadPattern(b.Key) && (b.Key != s.pattern() || !slices.Contains(d.exchangesOf(s.plain()), b.Source)) {
			_, gone := d.keeper.UnbindQueue(s.share, b.Source, b.Key, b.Args)
			err = errors.Join(err, gone)
		}
	}
	if err != nil {
		d.Log.Warn("mqtt shared subscription cannot follow the routes", "queue", s.share, "err", err)
	}
}

// rerouteRetained takes the retained values of topics along to the exchanges
// where these live now. Those in an exchange that no topic lives in any more are
// not the door's to move.
func (d *Door) rerouteRetained() {
	if len(d.Routes) == 0 {
		return
	}
	moved := 0
	for _, m := range d.keeper.Retained("#") {
		to := d.exchangeOf(d.Dots.Topic(m.Key))
		if m.Exchange == to || !d.isExchange(m.Exchange) {
			continue
		}
		d.keeper.MoveRetained(m, to)
		moved++
	}
	if moved > 0 {
		d.Log.Info("retained values follow the mqtt routes", "values", moved)
	}
}
