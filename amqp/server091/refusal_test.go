package server091

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// conversation is what a peer sends after its handshake with one open channel,
// and what it hears.
type conversation struct {
	name  string
	steps []any
	want  string
}

func declare(queue string) *wire091.QueueDeclare { return &wire091.QueueDeclare{Queue: queue} }

func consume(queue, tag string) *wire091.BasicConsume {
	return &wire091.BasicConsume{Queue: queue, ConsumerTag: tag}
}

func steps(s ...any) []any { return s }

func args(key string, v any) amqp.Table { return amqp.Table{{Key: key, Value: v}} }

// rejecting is a queue for one message that refuses more.
var rejecting = &wire091.QueueDeclare{Queue: "q", Arguments: amqp.Table{
	{Key: "x-max-length", Value: int32(1)}, {Key: "x-overflow", Value: "reject-publish"},
}}

const declared = "1 queue.declare-ok q 0 0\n"

var conversations = []conversation{
	// channel
	{"second channel.open", steps(&wire091.ChannelOpen{}), "0 connection.close 504 20,10 CHANNEL_ERROR - second 'channel.open' seen"},
	{"method before channel.open", steps(on{2, declare("q")}), "0 connection.close 504 50,10 CHANNEL_ERROR - expected 'channel.open'"},
	{"channel.close before channel.open", steps(on{2, &wire091.ChannelClose{}}), "0 connection.close 504 20,40 CHANNEL_ERROR - expected 'channel.open'"},
	{"content before channel.open", steps(message{2, amqp.PropertyList{}, "x"}), "0 connection.close 504 0,0 CHANNEL_ERROR - expected 'channel.open'"},
	{"flow on", steps(&wire091.ChannelFlow{Active: true}), "1 channel.flow-ok true"},
	{"flow off", steps(&wire091.ChannelFlow{}), "0 connection.close 540 20,20 NOT_IMPLEMENTED - active=false"},
	{"close", steps(&wire091.ChannelClose{ReplyCode: 200, ReplyText: "Goodbye"}), "1 channel.close-ok"},
	{"close and open again", steps(&wire091.ChannelClose{}, &wire091.ChannelOpen{}), "1 channel.close-ok\n1 channel.open-ok"},
	{"high channel number", steps(on{65535, &wire091.ChannelOpen{}}), "65535 channel.open-ok"},
	{"connection method on a channel", steps(on{1, &wire091.ConnectionOpen{}}), "0 connection.close 503 10,40 COMMAND_INVALID - unimplemented method"},
	{"connection method on no channel", steps(on{9, &wire091.ConnectionClose{}}), "0 connection.close 503 10,50 COMMAND_INVALID - unimplemented method"},
	{"channel method on channel 0", steps(on{0, &wire091.ChannelOpen{}}), "0 connection.close 504 20,10 CHANNEL_ERROR - unexpected method in connection state running"},
	{"open again", steps(openVHost), "0 connection.close 504 10,40 CHANNEL_ERROR - unexpected method in connection state running"},
	{"method of a server", steps(&wire091.QueueDeclareOk{}), "0 connection.close 503 50,11 COMMAND_INVALID - unimplemented method"},
	{"unknown method", steps(frame(1, 1, "\x00\x3c\x00\x63")), "0 connection.close 503 60,99 COMMAND_INVALID - unimplemented method"},
	{"unknown class on channel 0", steps(frame(1, 0, "\x00\x63\x00\x0a")), "0 connection.close 503 99,10 COMMAND_INVALID - unimplemented method"},
	{"access.request", steps(&wire091.AccessRequest{Realm: "/data"}), "1 access.request-ok 1"},
	{"update-secret", steps(&wire091.ConnectionUpdateSecret{NewSecret: "guest"}), "0 connection.update-secret-ok"},
	{"wrong update-secret", steps(&wire091.ConnectionUpdateSecret{NewSecret: "no"}),
		"0 connection.close 530 10,70 NOT_ALLOWED - New secret was refused using authentication mechanism PLAIN. For details see the broker logfile."},
	{"close of the connection", steps(&wire091.ConnectionClose{ReplyCode: 200, ReplyText: "Goodbye"}), "0 connection.close-ok"},

	// exchange
	{"declare", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "topic"}), "1 exchange.declare-ok"},
	{"declare without answer", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "topic", NoWait: true}), ""},
	{"unknown type", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "zorro"}), "1 channel.close 406 40,10 PRECONDITION_FAILED - unknown exchange type 'zorro'"},
	{"other type", steps(&wire091.ExchangeDeclare{Exchange: "amq.direct", Type: "fanout", Durable: true}),
		"1 channel.close 406 40,10 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct'"},
	{"passive, missing", steps(&wire091.ExchangeDeclare{Exchange: "x", Passive: true}), "1 channel.close 404 40,10 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"passive", steps(&wire091.ExchangeDeclare{Exchange: "amq.topic", Passive: true}), "1 exchange.declare-ok"},
	{"default exchange", steps(&wire091.ExchangeDeclare{Type: "direct"}), "1 channel.close 403 40,10 ACCESS_REFUSED - operation not permitted on the default exchange"},
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
	{"exchange unbind, missing", steps(&wire091.ExchangeUnbind{Destination: "amq.topic", Source: "nope"}), "1 channel.close 404 40,40 NOT_FOUND - no exchange 'nope' in vhost '/'"},

	// queue
	{"queue", steps(declare("q")), declared},
	{"queue twice", steps(declare("q"), declare("q")), declared + declared},
	{"queue without answer", steps(&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.QueueDeclare{Queue: "q", Passive: true}), declared},
	{"durable differs", steps(declare("q"), &wire091.QueueDeclare{Queue: "q", Durable: true}),
		declared + "1 channel.close 406 50,10 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
	{"passive, missing queue", steps(&wire091.QueueDeclare{Queue: "q", Passive: true}), "1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"reserved queue name", steps(declare("amq.foo")), "1 channel.close 403 50,10 ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'"},
	{"bind the last one by its name", steps(declare("q"), &wire091.QueueBind{Exchange: "amq.direct"}, publish(1, "amq.direct", "q", "m"), declare("q")),
		declared + "1 queue.bind-ok\n1 queue.declare-ok q 1 0"},
	{"bind, none declared", steps(&wire091.QueueBind{Exchange: "amq.direct"}), "1 channel.close 404 50,20 NOT_FOUND - no previously declared queue"},
	{"bind, missing exchange", steps(declare("q"), &wire091.QueueBind{Queue: "q", Exchange: "x"}),
		declared + "1 channel.close 404 50,20 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"bind to the default exchange", steps(declare("q"), &wire091.QueueBind{Queue: "q", RoutingKey: "k"}),
		declared + "1 channel.close 403 50,20 ACCESS_REFUSED - operation not permitted on the default exchange"},
	{"unbind what is not bound", steps(declare("q"), &wire091.QueueUnbind{Queue: "q", Exchange: "amq.direct", RoutingKey: "k"}), declared + "1 queue.unbind-ok"},
	{"unbind, missing queue", steps(&wire091.QueueUnbind{Queue: "q", Exchange: "amq.direct"}), "1 channel.close 404 50,50 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"purge", steps(declare("q"), publish(1, "", "q", "a"), publish(1, "", "q", "b"), &wire091.QueuePurge{}), declared + "1 queue.purge-ok 2"},
	{"purge, missing", steps(&wire091.QueuePurge{Queue: "q"}), "1 channel.close 404 50,30 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"delete of a missing queue", steps(&wire091.QueueDelete{Queue: "q"}), "1 queue.delete-ok 0"},
	{"delete, not empty", steps(declare("q"), publish(1, "", "q", "a"), &wire091.QueueDelete{Queue: "q", IfEmpty: true}),
		declared + "1 channel.close 406 50,40 PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"},
	{"delete, in use", steps(declare("q"), consume("q", "c"), &wire091.QueueDelete{Queue: "q", IfUnused: true}),
		declared + "1 basic.consume-ok c\n1 channel.close 406 50,40 PRECONDITION_FAILED - queue 'q' in vhost '/' in use"},

	// basic
	{"qos", steps(&wire091.BasicQos{PrefetchCount: 3}, &wire091.BasicQos{PrefetchCount: 3, Global: true}), "1 basic.qos-ok\n1 basic.qos-ok"},
	{"qos by size", steps(&wire091.BasicQos{PrefetchSize: 10}), "0 connection.close 540 60,10 NOT_IMPLEMENTED - prefetch_size!=0 (10)"},
	{"consume, missing", steps(consume("q", "")), "1 channel.close 404 60,20 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"tag twice", steps(declare("q"), consume("q", "a"), consume("q", "a")),
		declared + "1 basic.consume-ok a\n0 connection.close 530 60,20 NOT_ALLOWED - attempt to reuse consumer tag 'a'"},
	{"exclusive consumer", steps(declare("q"), &wire091.BasicConsume{Queue: "q", ConsumerTag: "a", Exclusive: true}, consume("q", "b")),
		declared + "1 basic.consume-ok a\n1 channel.close 403 60,20 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"},
	{"priority of the wrong type", steps(declare("q"), &wire091.BasicConsume{Queue: "q", Arguments: args("x-priority", "high")}),
		declared + `1 channel.close 406 60,20 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "expected integer, got longstr"`},
	{"cancel of nothing", steps(&wire091.BasicCancel{ConsumerTag: "c"}), "1 basic.cancel-ok c"},
	{"consume-ok before the delivery", steps(declare("q"), publish(1, "", "q", "m"), consume("q", "c")),
		declared + "1 basic.consume-ok c\n1 basic.deliver c 1 false  q\n1 header 1\n1 body m"},
	{"consume without answer", steps(declare("q"), publish(1, "", "q", ""), &wire091.BasicConsume{Queue: "q", ConsumerTag: "c", NoWait: true}),
		declared + "1 basic.deliver c 1 false  q\n1 header 0"},
	{"get", steps(declare("q"), publish(1, "", "q", "a"), publish(1, "", "q", "b"), &wire091.BasicGet{}),
		declared + "1 basic.get-ok 1 false  q 1\n1 header 1\n1 body a"},
	{"get of nothing", steps(declare("q"), &wire091.BasicGet{}), declared + "1 basic.get-empty"},
	{"get, missing", steps(&wire091.BasicGet{Queue: "q"}), "1 channel.close 404 60,70 NOT_FOUND - no queue 'q' in vhost '/'"},
	{"ack of unknown tag", steps(&wire091.BasicAck{DeliveryTag: 99}), "1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 99"},
	{"nack of unknown tag", steps(&wire091.BasicNack{DeliveryTag: 7}), "1 channel.close 406 60,120 PRECONDITION_FAILED - unknown delivery tag 7"},
	{"reject of tag 0", steps(&wire091.BasicReject{}), "1 channel.close 406 60,90 PRECONDITION_FAILED - unknown delivery tag 0"},
	{"ack of all of nothing", steps(&wire091.BasicAck{Multiple: true}, &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"ack twice", steps(declare("q"), publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.BasicAck{DeliveryTag: 1}),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 1"},
	{"the wrong one of a run is named", steps(declare("q"), publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.BasicNack{DeliveryTag: 5}),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 channel.close 406 60,120 PRECONDITION_FAILED - unknown delivery tag 5"},
	{"requeued", steps(declare("q"), publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicNack{DeliveryTag: 1, Requeue: true}, &wire091.BasicGet{}),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 basic.get-ok 2 true  q 0\n1 header 1\n1 body a"},
	{"recover", steps(declare("q"), publish(1, "", "q", "a"), &wire091.BasicGet{}, &wire091.BasicRecover{Requeue: true}, declare("q")),
		declared + "1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 basic.recover-ok\n1 queue.declare-ok q 1 0"},
	{"recover without requeue", steps(&wire091.BasicRecover{}), "0 connection.close 540 60,110 NOT_IMPLEMENTED - requeue=false"},
	{"recover-async", steps(&wire091.BasicRecoverAsync{Requeue: true}, &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"recover-async without requeue", steps(&wire091.BasicRecoverAsync{}), "0 connection.close 540 60,100 NOT_IMPLEMENTED - requeue=false"},

	// publish
	{"missing exchange", steps(publish(1, "x", "k", "m")), "1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"internal exchange", steps(publish(1, "amq.rabbitmq.trace", "k", "m")),
		"1 channel.close 403 60,40 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"},
	{"immediate", steps(&wire091.BasicPublish{Immediate: true}), "0 connection.close 540 60,40 NOT_IMPLEMENTED - immediate=true"},
	{"too large", steps(&wire091.BasicPublish{}, header(1, 60, 17<<20)),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - message size 17825792 is larger than configured max size 16777216"},
	{"user-id of somebody else", steps(publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{UserID: "bob"}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"},
	{"own user-id", steps(publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{UserID: "guest"}, "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"expiration is no number", steps(publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{Expiration: "abc"}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - invalid expiration 'abc': no_integer"},
	{"negative expiration", steps(publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{Expiration: "-1"}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}"},
	{"unroutable", steps(publish(1, "", "nobody", "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"mandatory", steps(publishWith(1, &wire091.BasicPublish{RoutingKey: "nobody", Mandatory: true}, persistent, "m")),
		"1 basic.return 312 NO_ROUTE  nobody\n1 header 1 mode=2\n1 body m"},
	{"return before its confirm", steps(&wire091.ConfirmSelect{}, publish(1, "", "nobody", "a"),
		publishWith(1, &wire091.BasicPublish{RoutingKey: "nobody", Mandatory: true}, amqp.PropertyList{}, "b")),
		"1 confirm.select-ok\n1 basic.ack 1 false\n1 basic.return 312 NO_ROUTE  nobody\n1 header 1\n1 body b\n1 basic.ack 2 false"},
	{"confirmed before the channel closes", steps(&wire091.ConfirmSelect{NoWait: true}, publish(1, "", "q", "a"), publish(1, "x", "q", "b"), publish(1, "", "q", "c"), &wire091.BasicQos{}),
		"1 basic.ack 1 false\n1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"nack of what a full queue refuses", steps(&wire091.ConfirmSelect{NoWait: true}, rejecting, publish(1, "", "q", "a"), publish(1, "", "q", "b"), publish(1, "", "", "c")),
		declared + "1 basic.ack 1 false\n1 basic.nack 2 false false\n1 basic.ack 3 false"},

	// direct reply-to
	{"reply consumer", steps(&wire091.BasicConsume{Queue: broker.ReplyTo, ConsumerTag: "c", NoAck: true}, &wire091.BasicCancel{ConsumerTag: "c"}), "1 basic.consume-ok c\n1 basic.cancel-ok c"},
	{"reply consumer that acknowledges", steps(consume(broker.ReplyTo, "c")), "1 channel.close 406 60,20 PRECONDITION_FAILED - reply consumer cannot acknowledge"},
	{"second reply consumer", steps(&wire091.BasicConsume{Queue: broker.ReplyTo, ConsumerTag: "c", NoAck: true}, &wire091.BasicConsume{Queue: broker.ReplyTo, ConsumerTag: "d", NoAck: true}),
		"1 basic.consume-ok c\n1 channel.close 406 60,20 PRECONDITION_FAILED - reply consumer already set"},
	{"reply-to without a consumer", steps(publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{ReplyTo: broker.ReplyTo}, "m")),
		"1 channel.close 406 60,40 PRECONDITION_FAILED - fast reply consumer does not exist"},
	{"reply-to without a consumer in a tx", steps(&wire091.TxSelect{}, publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{ReplyTo: broker.ReplyTo}, "m")),
		"1 tx.select-ok\n1 channel.close 406 60,40 PRECONDITION_FAILED - fast reply consumer does not exist"},
	{"reply-to of the publisher's own", steps(publishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{ReplyTo: "mine"}, "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"passive declaration of reply-to", steps(&wire091.QueueDeclare{Queue: broker.ReplyTo, Passive: true}), "1 queue.declare-ok amq.rabbitmq.reply-to 0 1"},
	{"passive declaration of a reply name that is gone", steps(&wire091.QueueDeclare{Queue: "amq.rabbitmq.reply-to.x", Passive: true}),
		"1 channel.close 404 50,10 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.x' in vhost '/'"},
	{"answer to nobody", steps(publishWith(1, &wire091.BasicPublish{RoutingKey: "amq.rabbitmq.reply-to.x", Mandatory: true}, amqp.PropertyList{}, "m")),
		"1 basic.return 312 NO_ROUTE  amq.rabbitmq.reply-to.x\n1 header 1\n1 body m"},
	{"get from reply-to", steps(&wire091.BasicGet{Queue: broker.ReplyTo}), "1 channel.close 404 60,70 NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'"},

	// tx
	{"commit without select", steps(&wire091.TxCommit{}), "1 channel.close 406 90,20 PRECONDITION_FAILED - channel is not transactional"},
	{"rollback without select", steps(&wire091.TxRollback{}), "1 channel.close 406 90,30 PRECONDITION_FAILED - channel is not transactional"},
	{"confirms in tx mode", steps(&wire091.TxSelect{}, &wire091.ConfirmSelect{}),
		"1 tx.select-ok\n1 channel.close 406 85,10 PRECONDITION_FAILED - cannot switch from tx to confirm mode"},
	{"tx in confirm mode", steps(&wire091.ConfirmSelect{}, &wire091.TxSelect{}),
		"1 confirm.select-ok\n1 channel.close 406 90,10 PRECONDITION_FAILED - cannot switch from confirm to tx mode"},
	{"tx.select twice", steps(&wire091.TxSelect{}, &wire091.TxSelect{}), "1 tx.select-ok\n1 tx.select-ok"},
	{"nothing before the commit", steps(declare("q"), &wire091.TxSelect{}, publish(1, "", "q", "a"), declare("q"), &wire091.TxCommit{}, declare("q")),
		declared + "1 tx.select-ok\n" + declared + "1 tx.commit-ok\n1 queue.declare-ok q 1 0"},
	{"rollback", steps(declare("q"), &wire091.TxSelect{}, publish(1, "", "q", "a"), &wire091.TxRollback{}, &wire091.TxCommit{}, declare("q")),
		declared + "1 tx.select-ok\n1 tx.rollback-ok\n1 tx.commit-ok\n" + declared},
	{"close rolls back", steps(declare("q"), &wire091.TxSelect{}, publish(1, "", "q", "a"), &wire091.ChannelClose{}, &wire091.ChannelOpen{}, declare("q")),
		declared + "1 tx.select-ok\n1 channel.close-ok\n1 channel.open-ok\n" + declared},
	{"missing exchange in a tx, at once", steps(&wire091.TxSelect{}, publish(1, "x", "k", "m")),
		"1 tx.select-ok\n1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'"},
	{"return after commit-ok", steps(&wire091.TxSelect{}, publishWith(1, &wire091.BasicPublish{RoutingKey: "nobody", Mandatory: true}, persistent, "m"), &wire091.BasicQos{}, &wire091.TxCommit{}),
		"1 tx.select-ok\n1 basic.qos-ok\n1 tx.commit-ok\n1 basic.return 312 NO_ROUTE  nobody\n1 header 1 mode=2\n1 body m"},
	{"unknown tag in a tx, at once", steps(&wire091.TxSelect{}, &wire091.BasicAck{DeliveryTag: 9}),
		"1 tx.select-ok\n1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 9"},
	{"ack twice in a tx", steps(declare("q"), publish(1, "", "q", "a"), &wire091.TxSelect{}, &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.BasicAck{DeliveryTag: 1}),
		declared + "1 tx.select-ok\n1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 channel.close 406 60,80 PRECONDITION_FAILED - unknown delivery tag 1"},
	{"ack, rollback, ack", steps(declare("q"), publish(1, "", "q", "a"), &wire091.TxSelect{}, &wire091.BasicGet{}, &wire091.BasicAck{DeliveryTag: 1}, &wire091.TxRollback{},
		&wire091.BasicAck{DeliveryTag: 1}, &wire091.TxCommit{}, &wire091.QueueDelete{}),
		declared + "1 tx.select-ok\n1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 tx.rollback-ok\n1 tx.commit-ok\n1 queue.delete-ok 0"},
	{"recover in a tx", steps(declare("q"), publish(1, "", "q", "a"), &wire091.TxSelect{}, &wire091.BasicGet{}, &wire091.BasicAck{Multiple: true}, &wire091.BasicRecover{Requeue: true}, declare("q"),
		&wire091.TxCommit{}, &wire091.ChannelClose{}, &wire091.ChannelOpen{}, declare("q")),
		declared + "1 tx.select-ok\n1 basic.get-ok 1 false  q 0\n1 header 1\n1 body a\n1 basic.recover-ok\n" + declared + "1 tx.commit-ok\n1 channel.close-ok\n1 channel.open-ok\n" + declared},
	{"a full queue refuses the whole tx", steps(rejecting, &wire091.TxSelect{}, publish(1, "", "q", "a"), publish(1, "", "q", "b"), &wire091.TxCommit{}, &wire091.ChannelCloseOk{}, &wire091.ChannelOpen{}, &wire091.QueueDeclare{Queue: "q", Passive: true}),
		declared + "1 tx.select-ok\n1 channel.close 406 90,20 PRECONDITION_FAILED - transaction is not committed: a queue that it publishes to is full\n1 channel.open-ok\n" + declared},

	// frames
	{"body first", steps(body(1, "x")), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"header first", steps(header(1, 60, 1)), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"content on channel 0", steps(header(0, 60, 1)), "0 connection.close 505 0,0 UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	{"method for a header", steps(&wire091.BasicPublish{}, &wire091.BasicQos{}),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
	{"body for a header", steps(&wire091.BasicPublish{}, body(1, "x")),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
	{"header of another class", steps(&wire091.BasicPublish{}, header(1, 50, 1)),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"},
	{"method for a body", steps(&wire091.BasicPublish{}, header(1, 60, 1), &wire091.BasicQos{}),
		"0 connection.close 505 60,40 UNEXPECTED_FRAME - expected content body, got non content body frame instead"},
	{"more body than announced", steps(&wire091.BasicPublish{}, header(1, 60, 1), body(1, "xy")),
		"0 connection.close 501 60,40 FRAME_ERROR - content body of at least 2 octets, but 1 were announced"},
	{"heartbeat on a channel", steps(frame(8, 1, "")), "0 connection.close 505 0,0 UNEXPECTED_FRAME - type 8, all octets = <<>>"},
	{"heartbeat", steps(frame(8, 0, ""), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{"unknown frame", steps(frame(7, 1, "x")), `0 connection.close 501 0,0 FRAME_ERROR - type 7, all octets = <<"x">>: unknown_frame`},
	{"wrong end", steps([]byte("\x08\x00\x00\x00\x00\x00\x00\xcd")), "0 connection.close 501 0,0 FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,205}"},
	{"too large a frame", steps([]byte("\x01\x00\x01\x00\x10\x00\x00")), "0 connection.close 501 0,0 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,1048576,131064}"},
	{"arguments too short", steps(frame(1, 1, "\x00\x32\x00\x0a\x00")), "0 connection.close 501 50,10 FRAME_ERROR - cannot decode <<0>>: reserved goes past the end"},
}

// crumbs writes octet by octet.
type crumbs struct{ net.Conn }

func (c *crumbs) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func frame(kind uint8, channel uint16, payload string) []byte {
	b := wire091.AppendFrameHeader(nil, kind, channel, len(payload))
	return append(append(b, payload...), wire091.FrameEnd)
}

func header(channel, class uint16, size uint64) []byte {
	b := binary.BigEndian.AppendUint16(nil, class)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint64(b, size)
	return frame(wire091.FrameHeader, channel, string(append(b, 0, 0)))
}

func body(channel uint16, s string) []byte { return frame(wire091.FrameBody, channel, s) }

func TestConversations(t *testing.T) {
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
				p := r.open(1)
				p.says(c.want, c.steps...)
				if strings.Contains(c.want, "0 connection.close ") {
					p.do(&wire091.ConnectionCloseOk{}, 5*time.Second)
				}
				if ends := strings.Contains(c.want, "0 connection.close"); p.gone() != ends {
					t.Errorf("socket closed: %v, want %v", p.gone(), ends)
				}
			})
		})
	}
}

// TestConversationsInPieces sends each conversation octet by octet: where the
// reads end must not matter.
func TestConversationsInPieces(t *testing.T) {
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
				p := r.open(1)
				p.nc = &crumbs{p.nc}
				p.says(c.want, c.steps...)
			})
		})
	}
}

func TestPermissions(t *testing.T) {
	for _, c := range []struct {
		user string
		step any
		want string
	}{
		{"write", declare("q"), "1 channel.close 403 50,10 ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'write'"},
		{"write", &wire091.ExchangeDeclare{Exchange: "x", Type: "direct"}, "1 channel.close 403 40,10 ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user 'write'"},
		{"read", publish(1, "amq.topic", "k", "m"), "1 channel.close 403 60,40 ACCESS_REFUSED - write access to exchange 'amq.topic' in vhost '/' refused for user 'read'"},
		{"read", publish(1, "", "k", "m"), "1 channel.close 403 60,40 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'read'"},
		{"configure", []any{&wire091.QueueDeclare{Queue: "q", NoWait: true}, consume("q", "c")}, "1 channel.close 403 60,20 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'configure'"},
		{"configure", []any{&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.BasicGet{Queue: "q"}}, "1 channel.close 403 60,70 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'configure'"},
		{"configure", []any{&wire091.QueueDeclare{Queue: "open", NoWait: true}, &wire091.QueueBind{Queue: "open", Exchange: "amq.topic"}},
			"1 channel.close 403 50,20 ACCESS_REFUSED - read access to exchange 'amq.topic' in vhost '/' refused for user 'configure'"},
	} {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.connect()
			p.do(header091, startOk(c.user, "limited"), tuneOk, openVHost, &wire091.ChannelOpen{})
			p.quiet()
			p.take()
			p.says(c.want, c.step)
		})
	}
}

// TestDeleteTellsTheConsumers, which is news that may come before the answer or
// after it.
func TestDeleteTellsTheConsumers(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		p.says(declared+"1 basic.consume-ok c", declare("q"), consume("q", "c"))
		other.says("1 basic.consume-ok d", consume("q", "d"))
		p.do(&wire091.QueueDelete{Queue: "q"})
		p.quiet()
		got := p.take()
		slices.Sort(got)
		if want := []string{"1 basic.cancel c true", "1 queue.delete-ok 0"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q in any order", got, want)
		}
		other.heard("1 basic.cancel d true")
	})
}

func TestExclusiveQueueOfAnother(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		p.says(declared, &wire091.QueueDeclare{Queue: "q", Exclusive: true})
		other.says("1 channel.close 405 50,10 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "+
			"declared on another connection or the exclusive property value does not match that of the original declaration.",
			&wire091.QueueDeclare{Queue: "q", Exclusive: true})
		p.says("0 connection.close-ok", &wire091.ConnectionClose{})
		other.says(`1 channel.open-ok
			1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'`,
			&wire091.ChannelCloseOk{}, &wire091.ChannelOpen{}, &wire091.QueueDeclare{Queue: "q", Passive: true})
	})
}

func TestChannelMaxCountsChannels(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.connect()
		p.do(header091, startOk("guest", "guest"), &wire091.ConnectionTuneOk{ChannelMax: 2, FrameMax: 4096}, openVHost)
		p.quiet()
		p.take()
		p.says(`500 channel.open-ok
			3 channel.open-ok
			3 channel.close-ok
			4 channel.open-ok`, on{500, &wire091.ChannelOpen{}}, on{3, &wire091.ChannelOpen{}}, on{3, &wire091.ChannelClose{}}, on{4, &wire091.ChannelOpen{}})
		if n := r.server.Counts().ChannelsNow; n != 2 {
			t.Errorf("channels = %d, want 2", n)
		}
		p.says("0 connection.close 530 20,10 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)", on{1, &wire091.ChannelOpen{}})
	})
}

// TestClosedChannelDropsWhatComes: until close-ok everything for the channel is
// dropped, contents included, and the number can be used again after it.
func TestClosedChannelDropsWhatComes(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(2)
		p.says("1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'", publish(1, "x", "", "m"))
		p.says("2 queue.declare-ok q 0 0", publish(1, "x", "", "m"), declare("p"), &wire091.ChannelOpen{}, body(1, "stray"), on{2, declare("q")})
		p.says("1 channel.close-ok", &wire091.ChannelClose{}) // crossing
		p.says("1 channel.open-ok", &wire091.ChannelCloseOk{}, &wire091.ChannelOpen{})
		p.says("1 channel.close 406 60,40 PRECONDITION_FAILED - message size 99999999 is larger than configured max size 16777216",
			&wire091.BasicPublish{}, header(1, 60, 99999999), body(1, "what was announced"))
	})
}

func TestHalfReceivedBodiesAreBounded(t *testing.T) {
	limits := broker.Limits{MessageBytesMax: 1 << 20}
	inBubble(t, mem.New().Auto(), limits, nil, func(t *testing.T, r *rig) {
		p := r.open(3)
		half := strings.Repeat("x", 700<<10)
		for ch := uint16(1); ch <= 3; ch++ {
			p.do(on{ch, &wire091.BasicPublish{}}, header(ch, 60, 1<<20), wire091.AppendBody(nil, ch, []byte(half), 131072))
		}
		p.quiet()
		p.heard("3 channel.close 311 60,40 CONTENT_TOO_LARGE - messages under way on this connection would take more than 2097152 bytes")
		p.says("3 channel.open-ok\n1 basic.qos-ok",
			on{3, &wire091.ChannelCloseOk{}}, on{3, &wire091.ChannelOpen{}},
			wire091.AppendBody(nil, 1, []byte(half[:1<<20-len(half)]), 131072), &wire091.BasicQos{})
	})
}
