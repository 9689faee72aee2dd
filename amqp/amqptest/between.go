package amqptest

import (
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

const locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."

// mine is an exclusive queue q.
var mine = &wire091.QueueDeclare{Queue: "q", Exclusive: true}

// lockedAt has a second peer touch the first one's exclusive queue.
func lockedAt(name, at string, m wire091.Method) Conversation {
	return Conversation{Name: "exclusive queue, " + name, Turns: []Turn{
		{0, steps(mine), declared}, {1, steps(m), "1 channel.close 405 " + at + " " + locked}, {0, steps(mine), declared},
	}}
}

// exclusively is an exclusive consumer of q.
var exclusively = &wire091.BasicConsume{Queue: "q", ConsumerTag: "e", Exclusive: true}

const inUse = "1 channel.close 403 60,20 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"

var betweenTalk = []Conversation{
	lockedAt("declare", "50,10", mine),
	lockedAt("passive declare", "50,10", &wire091.QueueDeclare{Queue: "q", Passive: true}),
	lockedAt("consume", "60,20", Consume("q", "c")),
	lockedAt("get", "60,70", get),
	lockedAt("purge", "50,30", &wire091.QueuePurge{Queue: "q"}),
	lockedAt("delete", "50,40", &wire091.QueueDelete{Queue: "q"}),
	lockedAt("bind", "50,20", &wire091.QueueBind{Queue: "q", Exchange: "amq.direct"}),
	lockedAt("unbind", "50,50", &wire091.QueueUnbind{Queue: "q", Exchange: "amq.direct"}),
	{Name: "exclusive queue, publish", Turns: []Turn{
		{0, steps(mine), declared}, {1, steps(send("1"), &wire091.BasicQos{}), "1 basic.qos-ok"}, {0, steps(50*time.Millisecond, get), gotten("1", "false", "0", "1")},
	}},
	{Name: "exclusive queue goes with its connection", Turns: []Turn{
		{0, steps(mine), declared}, {0, steps(&wire091.ConnectionClose{}), "0 connection.close-ok"},
		{1, steps(50*time.Millisecond, &wire091.QueueDeclare{Queue: "q", Passive: true}), "1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'"},
	}},
	{Name: "exclusive consumer keeps others out", Turns: []Turn{
		{0, steps(Declare("q"), exclusively), declared + "1 basic.consume-ok e"}, {1, steps(Consume("q", "c")), inUse},
	}},
	{Name: "exclusive consumer is kept out", Turns: []Turn{
		{0, steps(Declare("q"), Consume("q", "c")), declared + "1 basic.consume-ok c"}, {1, steps(exclusively), inUse},
	}},
	{Name: "exclusive consumer is no bar to get", Turns: []Turn{
		{0, steps(Declare("q"), exclusively), declared + "1 basic.consume-ok e"}, {1, steps(get), "1 basic.get-empty"},
	}},
	{Name: "a connection's end gives back", Turns: []Turn{
		{0, steps(ready("1"), get), declared + gotten("1", "false", "0", "1")}, {0, steps(&wire091.ConnectionClose{}), "0 connection.close-ok"},
		{1, steps(50*time.Millisecond, get), gotten("1", "true", "0", "1")},
	}},
	{Name: "cancelled by a delete", Turns: []Turn{
		{0, steps(Declare("q"), Consume("q", "c")), declared + "1 basic.consume-ok c"},
		{1, steps(&wire091.QueueDelete{Queue: "q"}), "1 queue.delete-ok 0"},
		{0, nil, "1 basic.cancel c true"},
	}},
	{Name: "in turn between peers", Turns: []Turn{
		{0, steps(Declare("q"), Consume("q", "a")), declared + "1 basic.consume-ok a"}, {1, steps(Consume("q", "b")), "1 basic.consume-ok b"},
		{2, steps(send("1", "2", "3"), &wire091.BasicQos{}), "1 basic.qos-ok"},
		{0, nil, deliver("a", "1", "false", "1") + deliver("a", "2", "false", "3")}, {1, nil, deliver("b", "1", "false", "2")},
	}},
	{Name: "single active consumer dies", Turns: []Turn{
		{0, steps(declareWith("q", "x-single-active-consumer", true), Consume("q", "a"), send("1")), declared + "1 basic.consume-ok a\n" + deliver("a", "1", "false", "1")},
		{1, steps(Consume("q", "b")), "1 basic.consume-ok b"}, {0, steps(&wire091.ConnectionClose{}), "0 connection.close-ok"}, {1, nil, deliver("b", "1", "true", "1")},
	}},
	{Name: "commit is seen at once as a whole", Turns: []Turn{
		{0, steps(Declare("q"), &wire091.TxSelect{}, send("1", "2")), declared + "1 tx.select-ok"}, {1, steps(get), "1 basic.get-empty"},
		{0, steps(&wire091.TxCommit{}), "1 tx.commit-ok"}, {1, steps(get), gotten("1", "false", "1", "1")},
	}},
	{Name: "question and answer", Turns: []Turn{
		{0, steps(Declare("q"), &wire091.BasicConsume{Queue: replyTo, ConsumerTag: "r", NoAck: true}), declared + "1 basic.consume-ok r"},
		{0, steps(PublishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, amqp.PropertyList{ReplyTo: replyTo}, "?"), Declare("q")), "1 queue.declare-ok q 1 0"},
	}},
}
