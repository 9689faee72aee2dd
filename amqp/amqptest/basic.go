package amqptest

import (
	"leveret/amqp/wire091"
)

var basicTalk = []talk{
	{"qos", steps(&wire091.BasicQos{PrefetchCount: 3}, &wire091.BasicQos{PrefetchCount: 3, Global: true}), "1 basic.qos-ok\n1 basic.qos-ok"},
	{"qos by size", steps(&wire091.BasicQos{PrefetchSize: 10}), "0 connection.close 540 60,10 NOT_IMPLEMENTED - prefetch_size!=0 (10)"},
	{"consume, missing", steps(Consume("q", "")), "1 channel.close 404 60,20 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"tag twice", steps(Declare("q"), Consume("q", "a"), Consume("q", "a")),
		declared + "1 basic.consume-ok a\n0 connection.close 530 60,20 NOT_ALLOWED - attempt to reuse consumer tag 'a'"},
	{"exclusive consumer", steps(Declare("q"), &wire091.BasicConsume{Queue: "q", ConsumerTag: "a", Exclusive: true}, Consume("q", "b")),
		declared + "1 basic.consume-ok a\n1 channel.close 403 60,20 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"},
	{"priority of the wrong type", steps(Declare("q"), &wire091.BasicConsume{Queue: "q", Arguments: args("x-priority", "high")}),
		declared + `1 channel.close 406 60,20 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "expected integer, got longstr"`},
	{"cancel of nothing", steps(&wire091.BasicCancel{ConsumerTag: "c"}), "1 basic.cancel-ok c"},
	{"consume-ok before the delivery", steps(Declare("q"), Publish(1, "", "q", "m"), Consume("q", "c")),
		declared + "1 basic.consume-ok c\n1 basic.deliver c 1 false  q\n1 header 1\n1 body m"},
	{"consume without answer", steps(Declare("q"), Publish(1, "", "q", ""), &wire091.BasicConsume{Queue: "q", ConsumerTag: "c", NoWait: true}),
		declared + "1 basic.deliver c 1 false  q\n1 header 0"},
	{"get", steps(Declare("q"), Publish(1, "", "q", "a"), Publish(1, "", "q", "b"), &wire091.BasicGet{}),
		declared + "1 basic.get-ok 1 false  q 1\n1 header 1\n1 body a"},
	{"get of nothing", steps(Declare("q"), &wire091.BasicGet{}), declared + "1 basic.get-empty"},
	{"get, missing", steps(&wire091.BasicGet{Queue: "q"}), "1 channel.close 404 60,70 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"ack of unknown tag", steps(&wire091.BasicAck{DeliveryTag: 99}), "1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 99"},
	{"nack of unknown tag", steps(&wire091.BasicNack{DeliveryTag: 7}), "1 channel.close 406 60,120 PRECONDITION_FAILED - unknown delivery tag 7"},
	{"reject of tag 0", steps(&wire091.BasicReject{}), "1 channel.close 406 60,90 PRECONDITION_FAILED - unknown delivery tag 0"},
	{"ack of all of nothing", steps(&wire091.BasicAck{Multiple: true}, &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"ack twice", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.BasicAck{DeliveryTag: 1}),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 1"},
	{"the wrong one of a run is named", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.BasicNack{DeliveryTag: 5}),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 channel.close 406 60,120 PRECONDITION_FAILED - unknown delivery tag 5"},
	{"requeued", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicNack{DeliveryTag: 1, Requeue: true}, &wire091.BasicGet{}),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 basic.get-ok 2 true  q 0\n1 header 1\n1 body a"},
	{"recover", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicRecover{Requeue: true}, Declare("q")),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 basic.recover-ok\n1 queue.declare-ok q 1 0"},
	{"recover without requeue", steps(&wire091.BasicRecover{}), "0 connection.close 540 60,110 NOT_IMPLEMENTED - requeue=false"},
	{"recover-async", steps(&wire091.BasicRecoverAsync{Requeue: true}, &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"recover-async without requeue", steps(&wire091.BasicRecoverAsync{}), "0 connection.close 540 60,100 NOT_IMPLEMENTED - requeue=false"},
}
