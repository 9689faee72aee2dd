package amqptest

import (
	"leveret/amqp/wire091"
)

var txTalk = []talk{
	{"commit without select", steps(&wire091.TxCommit{}), "1 channel.close 406 90,20 PRECONDITION_FAILED - channel is not transactional"},
	{"rollback without select", steps(&wire091.TxRollback{}), "1 channel.close 406 90,30 PRECONDITION_FAILED - channel is not transactional"},
	{"confirms in tx mode", steps(&wire091.TxSelect{}, &wire091.ConfirmSelect{}),
		"1 tx.select-ok\n1 channel.close 406 85,10 PRECONDITION_FAILED - cannot switch from tx to confirm mode"},
	{"tx in confirm mode", steps(&wire091.ConfirmSelect{}, &wire091.TxSelect{}),
		"1 confirm.select-ok\n1 channel.close 406 90,10 PRECONDITION_FAILED - cannot switch from confirm to tx mode"},
	{"tx.select twice", steps(&wire091.TxSelect{}, &wire091.TxSelect{}), "1 tx.select-ok\n1 tx.select-ok"},
	{"nothing before the commit", steps(Declare("q"), &wire091.TxSelect{}, Publish(1, "", "q", "a"), Declare("q"), &wire091.TxCommit{}, Declare("q")),
		declared + "1 tx.select-ok\n" + declared + "1 tx.commit-ok\n1 queue.declare-ok q 1 0"},
	{"rollback", steps(Declare("q"), &wire091.TxSelect{}, Publish(1, "", "q", "a"), &wire091.TxRollback{}, &wire091.TxCommit{}, Declare("q")),
		declared + "1 tx.select-ok\n1 tx.rollback-ok\n1 tx.commit-ok\n" + declared},
	{"close rolls back", steps(Declare("q"), &wire091.TxSelect{}, Publish(1, "", "q", "a"), &wire091.ChannelClose{}, &wire091.ChannelOpen{}, Declare("q")),
		declared + "1 tx.select-ok\n1 channel.close-ok\n1 channel.open-ok\n" + declared},
	{"missing exchange in a tx, at once", steps(&wire091.TxSelect{}, Publish(1, "x", "k", "m")),
		"1 tx.select-ok\n1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"return before commit-ok", steps(&wire091.TxSelect{}, PublishWith(1, &wire091.BasicPublish{RoutingKey: "nobody", Mandatory: true}, Persistent, "m"), &wire091.BasicQos{}, &wire091.TxCommit{}),
		"1 tx.select-ok\n1 basic.qos-ok\n1 basic.return 312 NO_ROUTE  nobody\n1 header 1 mode=2\n1 body m\n1 tx.commit-ok"},
	{"unknown tag in a tx, at once", steps(&wire091.TxSelect{}, &wire091.BasicAck{DeliveryTag: 9}),
		"1 tx.select-ok\n1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 9"},
	{"ack twice in a tx", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.TxSelect{}, &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.BasicAck{DeliveryTag: 1}),
		declared + "1 tx.select-ok\n1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 1"},
	{"ack, rollback, ack", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.TxSelect{}, &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.TxRollback{},
		&wire091.BasicAck{DeliveryTag: 1}, &wire091.TxCommit{}, &wire091.QueueDelete{}),
		declared + "1 tx.select-ok\n1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 tx.rollback-ok\n1 tx.commit-ok\n1 queue.delete-ok 0"},
	{"recover in a tx", steps(Declare("q"), Publish(1, "", "q", "a"), &wire091.TxSelect{}, &wire091.BasicGet{}, &wire091.BasicAck{Multiple: true}, &wire091.BasicRecover{Requeue: true}, Declare("q"),
		&wire091.TxCommit{}, &wire091.ChannelClose{}, &wire091.ChannelOpen{}, Declare("q")),
		declared + "1 tx.select-ok\n1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 basic.recover-ok\n" + declared + "1 tx.commit-ok\n1 channel.close-ok\n1 channel.open-ok\n" + declared},
	{"a full queue refuses the whole tx", steps(Rejecting, &wire091.TxSelect{}, Publish(1, "", "q", "a"), Publish(1, "", "q", "b"), &wire091.TxCommit{}, &wire091.ChannelCloseOk{}, &wire091.ChannelOpen{}, &wire091.QueueDeclare{Queue: "q", Passive: true}),
		declared + "1 tx.select-ok\n1 channel.close 406 90,20 PRECONDITION_FAILED - transaction is not committed: a queue that it publishes to is full\n1 channel.open-ok\n" + declared},
}
