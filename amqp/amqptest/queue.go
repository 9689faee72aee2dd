package amqptest

import (
	"leveret/amqp/wire091"
)

var queueTalk = []talk{
	{"queue", steps(Declare("q")), declared},
	{"queue twice", steps(Declare("q"), Declare("q")), declared + declared},
	{"queue without answer", steps(&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.QueueDeclare{Queue: "q", Passive: true}), declared},
	{"durable differs", steps(Declare("q"), &wire091.QueueDeclare{Queue: "q", Durable: true}),
		declared + "1 channel.close 406 50,10 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
	{"passive, missing queue", steps(&wire091.QueueDeclare{Queue: "q", Passive: true}), "1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"reserved queue name", steps(Declare("amq.foo")), "1 channel.close 403 50,10 ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'"},
	{"bind the last one by its name", steps(Declare("q"), &wire091.QueueBind{Exchange: "amq.direct"}, Publish(1, "amq.direct", "q", "m"), pause, Declare("q")),
		declared + "1 queue.bind-ok\n1 queue.declare-ok q 1 0"},
	{"bind, none declared", steps(&wire091.QueueBind{Exchange: "amq.direct"}), "1 channel.close 404 50,20 NOT_FOUND - no previously declared queue"},
	{"bind, missing exchange", steps(Declare("q"), &wire091.QueueBind{Queue: "q", Exchange: "x"}),
		declared + "1 channel.close 404 50,20 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"bind to the default exchange", steps(Declare("q"), &wire091.QueueBind{Queue: "q", RoutingKey: "k"}),
		declared + "1 channel.close 403 50,20 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"unbind from the default exchange", steps(Declare("q"), &wire091.QueueUnbind{Queue: "q", RoutingKey: "q"}),
		declared + "1 channel.close 403 50,50 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"passive", steps(Declare("q"), Publish(1, "", "q", "m"), pause, &wire091.QueueDeclare{Queue: "q", Passive: true}), declared + "1 queue.declare-ok q 1 0"},
	{"unbind what is not bound", steps(Declare("q"), &wire091.QueueUnbind{Queue: "q", Exchange: "amq.direct", RoutingKey: "k"}), declared + "1 queue.unbind-ok"},
	{"unbind, missing queue", steps(&wire091.QueueUnbind{Queue: "q", Exchange: "amq.direct"}), "1 queue.unbind-ok"},
	{"purge", steps(Declare("q"), Publish(1, "", "q", "a"), Publish(1, "", "q", "b"), &wire091.QueuePurge{}), declared + "1 queue.purge-ok 2"},
	{"purge, missing", steps(&wire091.QueuePurge{Queue: "q"}), "1 channel.close 404 50,30 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"delete of a missing queue", steps(&wire091.QueueDelete{Queue: "q"}), "1 queue.delete-ok 0"},
	{"delete, not empty", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.QueueDelete{Queue: "q", IfEmpty: true}),
		declared + "1 channel.close 406 50,40 PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"},
	{"delete, in use", steps(Declare("q"), Consume("q", "c"), &wire091.QueueDelete{Queue: "q", IfUnused: true}),
		declared + "1 basic.consume-ok c\n1 channel.close 406 50,40 PRECONDITION_FAILED - queue 'q' in vhost '/' in use"},
}
