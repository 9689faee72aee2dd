package amqptest

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

var replyTalk = []talk{
	{"reply consumer", steps(&wire091.BasicConsume{Queue: replyTo, ConsumerTag: "c", NoAck: true}, &wire091.BasicCancel{ConsumerTag: "c"}), "1 basic.consume-ok c\n1 basic.cancel-ok c"},
	{"reply consumer that acknowledges", steps(Consume(replyTo, "c")), "1 channel.close 406 60,20 PRECONDITION_FAILED - reply consumer cannot acknowledge"},
	{"second reply consumer", steps(&wire091.BasicConsume{Queue: replyTo, ConsumerTag: "c", NoAck: true}, &wire091.BasicConsume{Queue: replyTo, ConsumerTag: "d", NoAck: true}),
		"1 basic.consume-ok c\n1 channel.close 406 60,20 PRECONDITION_FAILED - reply consumer already set"},
	{"reply-to without a consumer", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{ReplyTo: replyTo}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - fast reply consumer does not exist"},
	{"reply-to without a consumer in a tx", steps(&wire091.TxSelect{}, PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{ReplyTo: replyTo}, "m")),
		"1 tx.select-ok\n1 channel.close 406 60,40 PRECONDITION_FAILED - fast reply consumer does not exist"},
	{"reply-to of the publisher's own", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{ReplyTo: "mine"}, "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"passive declaration of reply-to", steps(&wire091.QueueDeclare{Queue: replyTo, Passive: true}), "1 queue.declare-ok amq.rabbitmq.reply-to 0 1"},
	{"passive declaration of a reply name that is gone", steps(&wire091.QueueDeclare{Queue: "amq.rabbitmq.reply-to.x", Passive: true}),
		"1 channel.close 404 50,10 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.x' in vhost '/'"},
	{"answer to nobody", steps(PublishWith(1, &wire091.BasicPublish{RoutingKey: "amq.rabbitmq.reply-to.x", Mandatory: true}, amqp.PropertyList{}, "m")),
		"1 basic.return 312 NO_ROUTE  amq.rabbitmq.reply-to.x\n1 header 1\n1 body m"},
	{"get from reply-to", steps(&wire091.BasicGet{Queue: replyTo}), "1 channel.close 404 60,70 NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'"},
}
