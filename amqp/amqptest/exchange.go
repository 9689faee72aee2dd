package amqptest

import (
	"leveret/amqp/wire091"
)

var exchangeTalk = []talk{
	{"declare", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "topic"}), "1 exchange.declare-ok"},
	{"declare without answer", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "topic", NoWait: true}), ""},
	{"unknown type", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "zorro"}), "1 channel.close 406 40,10 PRECONDITION_FAILED - unknown exchange type 'zorro'"},
	{"other type", steps(&wire091.ExchangeDeclare{Exchange: "amq.direct", Type: "fanout", Durable: true}),
		"1 channel.close 406 40,10 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct'"},
	{"passive, missing", steps(&wire091.ExchangeDeclare{Exchange: "x", Passive: true}), "1 channel.close 404 40,10 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"passive", steps(&wire091.ExchangeDeclare{Exchange: "amq.topic", Passive: true}), "1 exchange.declare-ok"},
	{"default exchange", steps(&wire091.ExchangeDeclare{Type: "direct"}), "1 channel.close 403 40,10 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"default exchange, delete", steps(&wire091.ExchangeDelete{}), "1 channel.close 403 40,20 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"default exchange, exchange bind", steps(&wire091.ExchangeBind{Destination: "amq.fanout"}),
		"1 channel.close 403 40,30 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"default exchange, exchange unbind", steps(&wire091.ExchangeUnbind{Destination: "amq.fanout"}),
		"1 channel.close 403 40,40 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"predeclared ones again", steps(&wire091.ExchangeDeclare{Exchange: "amq.direct", Type: "direct", Durable: true},
		&wire091.ExchangeDeclare{Exchange: "amq.fanout", Type: "fanout", Durable: true}, &wire091.ExchangeDeclare{Exchange: "amq.topic", Type: "topic", Durable: true},
		&wire091.ExchangeDeclare{Exchange: "amq.headers", Type: "headers", Durable: true}, &wire091.ExchangeDeclare{Exchange: "amq.match", Type: "headers", Durable: true}),
		"1 exchange.declare-ok\n1 exchange.declare-ok\n1 exchange.declare-ok\n1 exchange.declare-ok\n1 exchange.declare-ok"},
	{"reserved name", steps(&wire091.ExchangeDeclare{Exchange: "amq.x", Type: "direct"}),
		"1 channel.close 403 40,10 ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'"},
	{"line breaks in a name", steps(&wire091.ExchangeDeclare{Exchange: "a\r\nb", Type: "direct"}, &wire091.ExchangeDeclare{Exchange: "ab", Passive: true}),
		"1 exchange.declare-ok\n1 exchange.declare-ok"},
	{"delete", steps(&wire091.ExchangeDelete{Exchange: "x"}), "1 exchange.delete-ok"},
	{"delete of a system exchange", steps(&wire091.ExchangeDelete{Exchange: "amq.direct"}),
		"1 channel.close 403 40,20 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"},
	{"delete in use", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "fanout", NoWait: true},
		&wire091.ExchangeBind{Destination: "amq.fanout", Source: "x", NoWait: true}, &wire091.ExchangeDelete{Exchange: "x", IfUnused: true}),
		"1 channel.close 406 40,20 PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"},
	{"exchange bind and unbind", steps(&wire091.ExchangeBind{Destination: "amq.fanout", Source: "amq.topic", RoutingKey: "#"},
		&wire091.ExchangeUnbind{Destination: "amq.fanout", Source: "amq.topic", RoutingKey: "#"}), "1 exchange.bind-ok\n1 exchange.unbind-ok"},
	{"exchange bind, missing", steps(&wire091.ExchangeBind{Destination: "nope", Source: "amq.topic"}), "1 channel.close 404 40,30 NOT_FOUND - no exchange 'nope' in vhost '/'"},
	{"exchange unbind, missing", steps(&wire091.ExchangeUnbind{Destination: "amq.topic", Source: "nope"}), "1 exchange.unbind-ok"},
}
