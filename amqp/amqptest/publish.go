package amqptest

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

var publishTalk = []talk{
	{"missing exchange", steps(Publish(1, "x", "k", "m")), "1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"internal exchange", steps(Publish(1, "amq.rabbitmq.trace", "k", "m")),
		"1 channel.close 403 60,40 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"},
	{"immediate", steps(&wire091.BasicPublish{Immediate: true}), "0 connection.close 540 60,40 NOT_IMPLEMENTED - immediate=true"},
	{"too large", steps(&wire091.BasicPublish{}, Header(1, 60, 17<<20)),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - message size 17825792 is larger than configured max size 16777216"},
	{"user-id of somebody else", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{UserID: "bob"}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"},
	{"own user-id", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{UserID: "guest"}, "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"expiration is no number", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{Expiration: "abc"}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - invalid expiration 'abc': no_integer"},
	{"negative expiration", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{Expiration: "-1"}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}"},
	{"unroutable", steps(Publish(1, "", "nobody", "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"mandatory", steps(PublishWith(1, &wire091.BasicPublish{RoutingKey: "nobody", Mandatory: true}, Persistent, "m")),
		"1 basic.return 312 NO_ROUTE  nobody\n1 header 1 mode=2\n1 body m"},
	{"return before its confirm", steps(&wire091.ConfirmSelect{}, Publish(1, "", "nobody", "a"),
		PublishWith(1, &wire091.BasicPublish{RoutingKey: "nobody", Mandatory: true}, amqp.PropertyList{}, "b")),
		"1 confirm.select-ok\n1 basic.ack 1 false\n1 basic.return 312 NO_ROUTE  nobody\n1 header 1\n1 body b\n1 basic.ack 2 false"},
	{"confirmed before the channel closes", steps(&wire091.ConfirmSelect{NoWait: true}, Publish(1, "", "q", "a"), Publish(1, "x", "q", "b"), Publish(1, "", "q", "c"), &wire091.BasicQos{}),
		"1 basic.ack 1 false\n1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"nack of what a full queue refuses", steps(&wire091.ConfirmSelect{NoWait: true}, Rejecting, Publish(1, "", "q", "a"), Publish(1, "", "q", "b")),
		declared + "1 basic.ack 1 false\n1 basic.nack 2 false false"},
}
