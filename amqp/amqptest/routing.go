package amqptest

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

// bound is queue q bound to an exchange.
func bound(exchange, key string, fields ...any) []any {
	return steps(Declare("q"), &wire091.QueueBind{Queue: "q", Exchange: exchange, RoutingKey: key, NoWait: true, Arguments: args(fields...)})
}

// keys publishes to an exchange once with each key.
func keys(exchange string, keys ...string) (s []any) {
	for _, k := range keys {
		s = append(s, Publish(1, exchange, k, "m")...)
	}
	return s
}

func withHeaders(fields ...any) []any {
	return PublishWith(1, &wire091.BasicPublish{Exchange: "amq.headers"}, amqp.PropertyList{Headers: args(fields...), Flags: amqp.HasHeaders}, "m")
}

// holds is how many messages queue q has in the end.
func holds(n string) string { return declared + "1 queue.declare-ok q " + n + " 0" }

var routingTalk = []talk{
	{"direct", steps(bound("amq.direct", "k"), keys("amq.direct", "k", "k", "other", ""), pause, Declare("q")), holds("2")},
	{"fanout", steps(bound("amq.fanout", "k"), keys("amq.fanout", "k", "other", ""), pause, Declare("q")), holds("3")},
	{"topic, one word", steps(bound("amq.topic", "a.*"), keys("amq.topic", "a", "a.b", "a.", "a.b.c", "b.a"), pause, Declare("q")), holds("2")},
	{"topic, any words", steps(bound("amq.topic", "a.#"), keys("amq.topic", "a", "a.b", "a.", "a.b.c", "b.a", ""), pause, Declare("q")), holds("4")},
	{"topic, words in the middle", steps(bound("amq.topic", "a.#.z"), keys("amq.topic", "a.z", "a.b.z", "a..z", "a.b.c.z", "az", "a.b"), pause, Declare("q")), holds("4")},
	{"topic, the empty key", steps(bound("amq.topic", "*"), keys("amq.topic", "", "a"), pause, Declare("q")), holds("1")},
	{"topic, everything", steps(bound("amq.topic", "#"), keys("amq.topic", "", "a", "a.b"), pause, Declare("q")), holds("3")},
	{"topic, an empty word", steps(bound("amq.topic", "a.*.b"), keys("amq.topic", "a..b", "a.b", "a.x.b"), pause, Declare("q")), holds("2")},
	{"headers, all", steps(bound("amq.headers", "", "x-match", "all", "a", "1", "b", int32(2)), withHeaders("a", "1", "b", int32(2)), withHeaders("a", "1", "b", int64(2), "c", "3"),
		withHeaders("a", "1"), withHeaders("a", "1", "b", "2"), pause, Declare("q")), holds("2")},
	{"headers, any", steps(bound("amq.headers", "", "x-match", "any", "a", "1", "b", "2"), withHeaders("a", "1"), withHeaders("b", "2", "a", "9"), withHeaders("a", "9"), withHeaders(), pause, Declare("q")), holds("2")},
	{"headers, all is meant", steps(bound("amq.headers", "", "a", "1", "b", "2"), withHeaders("a", "1"), withHeaders("a", "1", "b", "2"), pause, Declare("q")), holds("1")},
	{"headers, nothing asked for", steps(bound("amq.headers", "", "x-match", "all"), withHeaders(), withHeaders("a", "1"), pause, Declare("q")), holds("2")},
	{"headers, any of nothing", steps(bound("amq.headers", "", "x-match", "any"), withHeaders(), withHeaders("a", "1"), pause, Declare("q")), holds("0")},
	{"headers, x- is passed over", steps(bound("amq.headers", "", "x-match", "all", "x-a", "1"), withHeaders("b", "2"), pause, Declare("q")), holds("1")},
	{"headers, all-with-x", steps(bound("amq.headers", "", "x-match", "all-with-x", "x-a", "1"), withHeaders("b", "2"), withHeaders("x-a", "1"), pause, Declare("q")), holds("1")},
	{"headers, any-with-x", steps(bound("amq.headers", "", "x-match", "any-with-x", "x-a", "1", "b", "2"), withHeaders("c", "2"), withHeaders("x-a", "1"), pause, Declare("q")), holds("1")},
	{"headers, there or not", steps(bound("amq.headers", "", "x-match", "all", "a", nil), withHeaders("a", "anything"), withHeaders("b", "2"), pause, Declare("q")), holds("1")},
	{"headers, unknown x-match", steps(Declare("q"), &wire091.QueueBind{Queue: "q", Exchange: "amq.headers", Arguments: args("x-match", "some")}),
		declared + `1 channel.close 406 50,20 PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x`},
	{"one copy over two bindings", steps(bound("amq.topic", "a.#"), &wire091.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "#.b", NoWait: true}, keys("amq.topic", "a.b"), pause, Declare("q")), holds("1")},
	{"bound twice is bound once", steps(bound("amq.direct", "k"), &wire091.QueueBind{Queue: "q", Exchange: "amq.direct", RoutingKey: "k", NoWait: true},
		&wire091.QueueUnbind{Queue: "q", Exchange: "amq.direct", RoutingKey: "k"}, keys("amq.direct", "k"), pause, Declare("q")), declared + "1 queue.unbind-ok\n" + declared},
	{"over an exchange", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "fanout", NoWait: true}, bound("x", ""), &wire091.ExchangeBind{Destination: "x", Source: "amq.direct", RoutingKey: "k", NoWait: true},
		keys("amq.direct", "k", "other"), pause, Declare("q")), holds("1")},
	{"exchanges in a circle", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "fanout", NoWait: true}, &wire091.ExchangeDeclare{Exchange: "y", Type: "fanout", NoWait: true}, bound("x", ""),
		&wire091.ExchangeBind{Destination: "x", Source: "y", NoWait: true}, &wire091.ExchangeBind{Destination: "y", Source: "x", NoWait: true}, keys("y", ""), pause, Declare("q")), holds("1")},
	{"alternate exchange", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "direct", NoWait: true, Arguments: args("alternate-exchange", "amq.fanout")}, bound("amq.fanout", ""),
		PublishWith(1, &wire091.BasicPublish{Exchange: "x", RoutingKey: "nobody", Mandatory: true}, amqp.PropertyList{}, "m"), pause, Declare("q")), holds("1")},
	{"alternate exchange of a number", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "direct", Arguments: args("alternate-exchange", int32(1))}),
		"1 channel.close 406 40,10 PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"},
	{"alternate exchange differs", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "direct", Arguments: args("alternate-exchange", "a")}, &wire091.ExchangeDeclare{Exchange: "x", Type: "direct"}),
		"1 exchange.declare-ok\n1 channel.close 406 40,10 PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received none but current is the value 'a' of type 'longstr'"},
	{"an auto-delete exchange goes with its last binding", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "direct", AutoDelete: true, NoWait: true}, bound("x", "k"),
		&wire091.QueueUnbind{Queue: "q", Exchange: "x", RoutingKey: "k"}, &wire091.ExchangeDeclare{Exchange: "x", Passive: true}),
		declared + "1 queue.unbind-ok\n1 channel.close 404 40,10 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"CC", steps(Declare("q"), PublishWith(1, &wire091.BasicPublish{RoutingKey: "nobody"}, amqp.PropertyList{Headers: args("CC", amqp.Array{"q"}), Flags: amqp.HasHeaders}, "m"), pause, get),
		declared + "1 basic.get-ok 1 false  nobody 0\n1 header 1 CC=[q]\n1 body m"},
	{"BCC", steps(Declare("q"), PublishWith(1, &wire091.BasicPublish{RoutingKey: "nobody"}, amqp.PropertyList{Headers: args("BCC", amqp.Array{"q"}, "k", "v"), Flags: amqp.HasHeaders}, "m"), pause, get),
		declared + "1 basic.get-ok 1 false  nobody 0\n1 header 1 k=v\n1 body m"},
	{"CC of text", steps(PublishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, amqp.PropertyList{Headers: args("CC", "q"), Flags: amqp.HasHeaders}, "m")),
		`1 channel.close 406 60,40 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`},
}
