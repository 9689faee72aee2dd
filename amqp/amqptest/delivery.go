package amqptest

import (
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

var (
	get       = &wire091.BasicGet{Queue: "q"}
	nackAgain = &wire091.BasicNack{DeliveryTag: 1, Requeue: true}
	rejection = &wire091.BasicReject{DeliveryTag: 1}
)

func qos(n uint16) *wire091.BasicQos { return &wire091.BasicQos{PrefetchCount: n} }

// pause lets everything before it take effect.
const pause = 100 * time.Millisecond

// send publishes bodies to queue q.
func send(bodies ...string) (s []any) {
	for _, b := range bodies {
		s = append(s, Publish(1, "", "q", b)...)
	}
	return s
}

// ready declares queue q and fills it.
func ready(bodies ...string) []any { return append(steps(Declare("q")), send(bodies...)...) }

func deliver(tag, n, redelivered, body string) string {
	return "1 basic.deliver " + tag + " " + n + " " + redelivered + "  q\n1 header 1\n1 body " + body + "\n"
}

func gotten(n, redelivered, left, body string) string {
	return "1 basic.get-ok " + n + " " + redelivered + "  q " + left + "\n1 header 1\n1 body " + body + "\n"
}

var deliveryTalk = []talk{
	{"in turn", steps(Declare("q"), Consume("q", "a"), Consume("q", "b"), Consume("q", "c"), pause, send("1", "2", "3", "4")),
		declared + "1 basic.consume-ok a\n1 basic.consume-ok b\n1 basic.consume-ok c\n" +
			deliver("a", "1", "false", "1") + deliver("b", "2", "false", "2") + deliver("c", "3", "false", "3") + deliver("a", "4", "false", "4")},
	{"not in turn for who is busy", steps(Declare("q"), qos(1), Consume("q", "a"), qos(0), Consume("q", "b"), pause, send("1", "2", "3")),
		declared + "1 basic.qos-ok\n1 basic.consume-ok a\n1 basic.qos-ok\n1 basic.consume-ok b\n" +
			deliver("a", "1", "false", "1") + deliver("b", "2", "false", "2") + deliver("b", "3", "false", "3")},
	{"prefetch of each consumer", steps(ready("1", "2", "3"), qos(1), Consume("q", "a"), pause, &wire091.BasicAck{DeliveryTag: 1}),
		declared + "1 basic.qos-ok\n1 basic.consume-ok a\n" + deliver("a", "1", "false", "1") + deliver("a", "2", "false", "2")},
	{"prefetch of the channel", steps(Declare("q"), &wire091.BasicQos{PrefetchCount: 2, Global: true}, Consume("q", "a"), Consume("q", "b"), pause, send("1", "2", "3")),
		declared + "1 basic.qos-ok\n1 basic.consume-ok a\n1 basic.consume-ok b\n" + deliver("a", "1", "false", "1") + deliver("b", "2", "false", "2")},
	{"prefetch means nothing without acks", steps(ready("1", "2"), qos(1), &wire091.BasicConsume{Queue: "q", ConsumerTag: "a", NoAck: true}),
		declared + "1 basic.qos-ok\n1 basic.consume-ok a\n" + deliver("a", "1", "false", "1") + deliver("a", "2", "false", "2")},
	{"priority of consumers", steps(Declare("q"), Consume("q", "low"), &wire091.BasicConsume{Queue: "q", ConsumerTag: "high", Arguments: args("x-priority", int32(5))}, pause, send("1", "2")),
		declared + "1 basic.consume-ok low\n1 basic.consume-ok high\n" + deliver("high", "1", "false", "1") + deliver("high", "2", "false", "2")},
	{"the lower one when the higher is busy", steps(Declare("q"), Consume("q", "low"), qos(1), &wire091.BasicConsume{Queue: "q", ConsumerTag: "high", Arguments: args("x-priority", int32(5))}, pause, send("1", "2")),
		declared + "1 basic.consume-ok low\n1 basic.qos-ok\n1 basic.consume-ok high\n" + deliver("high", "1", "false", "1") + deliver("low", "2", "false", "2")},
	{"single active consumer", steps(declareWith("q", "x-single-active-consumer", true), Consume("q", "a"), Consume("q", "b"), pause, send("1", "2")),
		declared + "1 basic.consume-ok a\n1 basic.consume-ok b\n" + deliver("a", "1", "false", "1") + deliver("a", "2", "false", "2")},
	{"single active consumer leaves", steps(declareWith("q", "x-single-active-consumer", true), Consume("q", "a"), Consume("q", "b"), &wire091.BasicCancel{ConsumerTag: "a"}, pause, send("1")),
		declared + "1 basic.consume-ok a\n1 basic.consume-ok b\n1 basic.cancel-ok a\n" + deliver("b", "1", "false", "1")},
	{"requeued to its old place", steps(ready("1", "2", "3"), get, get, nackAgain, get),
		declared + gotten("1", "false", "2", "1") + gotten("2", "false", "1", "2") + gotten("3", "true", "1", "1")},
	{"requeued in the order of old", steps(ready("1", "2", "3"), get, get, &wire091.BasicNack{Requeue: true, Multiple: true}, get, get, get),
		declared + gotten("1", "false", "2", "1") + gotten("2", "false", "1", "2") + gotten("3", "true", "2", "1") + gotten("4", "true", "1", "2") + gotten("5", "false", "0", "3")},
	{"reject with requeue", steps(ready("1"), get, &wire091.BasicReject{DeliveryTag: 1, Requeue: true}, get),
		declared + gotten("1", "false", "0", "1") + gotten("2", "true", "0", "1")},
	{"reject", steps(ready("1"), get, rejection, get), declared + gotten("1", "false", "0", "1") + "1 basic.get-empty"},
	{"get counts what is left", steps(ready("1", "2", "3"), get, get, get, get),
		declared + gotten("1", "false", "2", "1") + gotten("2", "false", "1", "2") + gotten("3", "false", "0", "3") + "1 basic.get-empty"},
	{"get without acks", steps(ready("1"), &wire091.BasicGet{Queue: "q", NoAck: true}, &wire091.BasicAck{DeliveryTag: 1}),
		declared + gotten("1", "false", "0", "1") + "1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 1"},
	{"ack of several", steps(ready("1", "2", "3"), get, get, get, &wire091.BasicAck{DeliveryTag: 2, Multiple: true}, &wire091.BasicAck{DeliveryTag: 3}, &wire091.BasicAck{DeliveryTag: 2}),
		declared + gotten("1", "false", "2", "1") + gotten("2", "false", "1", "2") + gotten("3", "false", "0", "3") + "1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 2"},
	{"ack of all", steps(ready("1", "2", "3"), get, get, &wire091.BasicAck{Multiple: true}, get, nackAgain),
		declared + gotten("1", "false", "2", "1") + gotten("2", "false", "1", "2") + gotten("3", "false", "0", "3") +
			"1 channel.close 406 60,120 PRECONDITION_FAILED - unknown delivery tag 1"},
	{"nack of several", steps(ready("1", "2", "3"), get, get, get, &wire091.BasicNack{DeliveryTag: 2, Multiple: true, Requeue: true}, pause, get),
		declared + gotten("1", "false", "2", "1") + gotten("2", "false", "1", "2") + gotten("3", "false", "0", "3") + gotten("4", "true", "1", "1")},
	{"a channel's end gives back", steps(ready("1"), get, &wire091.ChannelClose{}, &wire091.ChannelOpen{}, get),
		declared + gotten("1", "false", "0", "1") + "1 channel.close-ok\n1 channel.open-ok\n" + gotten("1", "true", "0", "1")},
	{"a cancelled consumer's messages stay out", steps(ready("1"), Consume("q", "a"), pause, &wire091.BasicCancel{ConsumerTag: "a"}, pause, get, &wire091.BasicAck{DeliveryTag: 1}),
		declared + "1 basic.consume-ok a\n" + deliver("a", "1", "false", "1") + "1 basic.cancel-ok a\n1 basic.get-empty"},
	{"unacked messages are not counted", steps(ready("1", "2"), get, Declare("q")), declared + gotten("1", "false", "1", "1") + "1 queue.declare-ok q 1 0"},
	{"purge leaves what is unacked", steps(ready("1", "2"), get, &wire091.QueuePurge{Queue: "q"}, nackAgain, get),
		declared + gotten("1", "false", "1", "1") + "1 queue.purge-ok 1\n" + gotten("2", "true", "0", "1")},
	{"auto-delete goes with its last consumer", steps(&wire091.QueueDeclare{Queue: "q", AutoDelete: true}, Consume("q", "a"), &wire091.BasicCancel{ConsumerTag: "a"}, pause, &wire091.QueueDeclare{Queue: "q", Passive: true}),
		declared + "1 basic.consume-ok a\n1 basic.cancel-ok a\n1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"auto-delete that never had one stays", steps(&wire091.QueueDeclare{Queue: "q", AutoDelete: true}, pause, send("1"), pause, &wire091.QueueDeclare{Queue: "q", Passive: true}),
		declared + "1 queue.declare-ok q 1 0"},
	{"declare counts consumers", steps(Declare("q"), Consume("q", "a"), Consume("q", "b"), pause, Declare("q")),
		declared + "1 basic.consume-ok a\n1 basic.consume-ok b\n1 queue.declare-ok q 0 2"},
	{"priority of messages", steps(declareWith("q", "x-max-priority", int32(3)), prioritised("1", 1), prioritised("9", 9), prioritised("3", 3), prioritised("2", 2),
		&wire091.BasicGet{NoAck: true}, &wire091.BasicGet{NoAck: true}, &wire091.BasicGet{NoAck: true}, &wire091.BasicGet{NoAck: true}),
		declared + "1 basic.get-ok 1 false  q 3\n1 header 1 priority=9\n1 body 9\n1 basic.get-ok 2 false  q 2\n1 header 1 priority=3\n1 body 3\n" +
			"1 basic.get-ok 3 false  q 1\n1 header 1 priority=2\n1 body 2\n1 basic.get-ok 4 false  q 0\n1 header 1 priority=1\n1 body 1"},
	{"the oldest go", steps(declareWith("q", "x-max-length", int32(2)), pause, send("1", "2", "3"), get), declared + gotten("1", "false", "1", "2")},
	{"the oldest bytes go", steps(declareWith("q", "x-max-length-bytes", int32(2)), pause, send("1", "2", "3"), get), declared + gotten("1", "false", "1", "2")},
	{"a length of 0", steps(declareWith("q", "x-max-length", int32(0)), pause, send("1"), get), declared + "1 basic.get-empty"},
	{"expired", steps(declareWith("q", "x-message-ttl", int32(20)), send("1"), 200*time.Millisecond, get), declared + "1 basic.get-empty"},
	{"a ttl of 0", steps(declareWith("q", "x-message-ttl", int32(0)), send("1"), pause, get), declared + "1 basic.get-empty"},
	{"a ttl of 0 with a consumer", steps(declareWith("q", "x-message-ttl", int32(0)), Consume("q", "a"), pause, send("1")),
		declared + "1 basic.consume-ok a\n" + deliver("a", "1", "false", "1")},
	{"its own expiration", steps(Declare("q"), PublishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, amqp.PropertyList{Expiration: "20"}, "1"), 200*time.Millisecond, get),
		declared + "1 basic.get-empty"},
	{"an unused queue goes", steps(declareWith("q", "x-expires", int32(50)), 500*time.Millisecond, &wire091.QueueDeclare{Queue: "q", Passive: true}),
		declared + "1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"delivery limit", steps(durableWith("q", "x-queue-type", "quorum", "x-delivery-limit", int32(1)), PublishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, Persistent, "1"), pause,
		get, nackAgain, pause, get, &wire091.BasicNack{DeliveryTag: 2, Requeue: true}, pause, get),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1 mode=2\n1 body 1\n1 basic.get-ok 2 true  q 0\n1 header 1 mode=2 x-delivery-count=1\n1 body 1\n1 basic.get-empty"},
}

func prioritised(body string, n uint8) []any {
	return PublishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, amqp.PropertyList{Priority: n}, body)
}
