package amqptest

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

// badArg is the refusal of a queue's argument.
func badArg(key, why string) string {
	return "1 channel.close 406 50,10 PRECONDITION_FAILED - invalid arg '" + key + "' for queue 'q' in vhost '/': " + why
}

// differs is the refusal of another declaration of a queue.
func differs(key, received, current string) string {
	return declared + "1 channel.close 406 50,10 PRECONDITION_FAILED - inequivalent arg '" + key + "' for queue 'q' in vhost '/': received " +
		received + " but current is " + current
}

var argumentsTalk = []talk{
	{"ttl of text", steps(declareWith("q", "x-message-ttl", "1")), badArg("x-message-ttl", `"expected integer, got longstr"`)},
	{"negative ttl", steps(declareWith("q", "x-message-ttl", int32(-1))), badArg("x-message-ttl", "{value_negative,-1}")},
	{"ttl of 0", steps(declareWith("q", "x-message-ttl", int32(0))), declared},
	{"ttl of true", steps(declareWith("q", "x-message-ttl", true)), badArg("x-message-ttl", `"expected integer, got bool"`)},
	{"ttl of a double", steps(declareWith("q", "x-message-ttl", 1.5)), badArg("x-message-ttl", `"expected integer, got double"`)},
	{"ttl of a byte", steps(declareWith("q", "x-message-ttl", int8(100))), declared},
	{"ttl of a short", steps(declareWith("q", "x-message-ttl", int16(100))), declared},
	{"ttl of a long", steps(declareWith("q", "x-message-ttl", int64(100))), declared},
	{"expires of 0", steps(declareWith("q", "x-expires", int32(0))), badArg("x-expires", "{value_zero,0}")},
	{"negative expires", steps(declareWith("q", "x-expires", int32(-5))), badArg("x-expires", "{value_negative,-5}")},
	{"expires of text", steps(declareWith("q", "x-expires", "1h")), badArg("x-expires", `"expected integer, got longstr"`)},
	{"negative length", steps(declareWith("q", "x-max-length", int32(-1))), badArg("x-max-length", "{value_negative,-1}")},
	{"length of text", steps(declareWith("q", "x-max-length", "10")), badArg("x-max-length", `"expected integer, got longstr"`)},
	{"negative bytes", steps(declareWith("q", "x-max-length-bytes", int32(-1))), badArg("x-max-length-bytes", "{value_negative,-1}")},
	{"negative priority", steps(declareWith("q", "x-max-priority", int32(-1))), badArg("x-max-priority", "{value_negative,-1}")},
	{"priority too high", steps(declareWith("q", "x-max-priority", int32(256))), badArg("x-max-priority", "{max_value_exceeded,256}")},
	{"priority of text", steps(declareWith("q", "x-max-priority", "high")), badArg("x-max-priority", `"expected integer, got longstr"`)},
	{"high priority", steps(declareWith("q", "x-max-priority", int32(20))), declared},
	{"unknown overflow", steps(declareWith("q", "x-overflow", "spill")), badArg("x-overflow", "invalid_overflow")},
	{"overflow of a number", steps(declareWith("q", "x-overflow", int32(1))), badArg("x-overflow", "{unacceptable_type,signedint}")},
	{"reject-publish-dlx", steps(declareWith("q", "x-overflow", "reject-publish-dlx")), declared},
	{"dead letter exchange of a number", steps(declareWith("q", "x-dead-letter-exchange", int32(1))), "1 channel.close 406 50,10 PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
	{"dead letter key alone", steps(declareWith("q", "x-dead-letter-routing-key", "k")), badArg("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")},
	{"dead letter key of a number", steps(declareWith("q", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", int32(1))),
		badArg("x-dead-letter-routing-key", "{unacceptable_type,signedint}")},
	{"missing dead letter exchange", steps(declareWith("q", "x-dead-letter-exchange", "nope")), declared},
	{"single active consumer of text", steps(declareWith("q", "x-single-active-consumer", "yes")), badArg("x-single-active-consumer", "{unacceptable_type,longstr}")},
	{"unknown type of queue", steps(durableWith("q", "x-queue-type", "zorro")), badArg("x-queue-type", `"unsupported queue type 'zorro'"`)},
	{"type of queue of a number", steps(durableWith("q", "x-queue-type", int32(1))), badArg("x-queue-type", "{unacceptable_type,signedint}")},
	{"classic queue", steps(durableWith("q", "x-queue-type", "classic")), declared},
	{"quorum queue", steps(durableWith("q", "x-queue-type", "quorum", "x-quorum-initial-group-size", int32(3), "x-delivery-limit", int32(5),
		"x-dead-letter-exchange", "amq.fanout", "x-max-in-memory-length", int32(10))), declared},
	{"transient quorum queue", steps(declareWith("q", "x-queue-type", "quorum")),
		"1 channel.close 406 50,10 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'"},
	{"auto-delete quorum queue", steps(&wire091.QueueDeclare{Queue: "q", Durable: true, AutoDelete: true, Arguments: args("x-queue-type", "quorum")}),
		"1 channel.close 406 50,10 PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'q' in vhost '/'"},
	{"exclusive quorum queue", steps(&wire091.QueueDeclare{Queue: "q", Durable: true, Exclusive: true, Arguments: args("x-queue-type", "quorum")}),
		"1 channel.close 406 50,10 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'"},
	{"group of 0", steps(durableWith("q", "x-queue-type", "quorum", "x-quorum-initial-group-size", int32(0))), badArg("x-quorum-initial-group-size", "{value_zero,0}")},
	{"unknown leader locator", steps(durableWith("q", "x-queue-type", "quorum", "x-queue-leader-locator", "here")), badArg("x-queue-leader-locator", "invalid_queue_locator_arg")},
	{"stream", steps(durableWith("q", "x-queue-type", "stream")), badArg("x-queue-type", "streams are not offered; a durable queue with x-max-length-bytes keeps the newest messages")},
	{"lazy", steps(durableWith("q", "x-queue-mode", "lazy")), declared},
	{"unknown mode", steps(durableWith("q", "x-queue-mode", "eager")), badArg("x-queue-mode", `"unsupported queue mode 'eager'"`)},
	{"version 2", steps(durableWith("q", "x-queue-version", int32(2))), declared},
	{"arguments of nobody's", steps(declareWith("q", "x-my-own", "anything", "other", int32(1)), declareWith("q", "x-my-own", "else")), declared + declared},
	{"negative in memory", steps(durableWith("q", "x-queue-type", "quorum", "x-max-in-memory-length", int32(-1))), badArg("x-max-in-memory-length", "{value_negative,-1}")},
	{"consumer timeout of text", steps(declareWith("q", "x-consumer-timeout", "soon")), badArg("x-consumer-timeout", `"expected integer, got longstr"`)},
	{"unknown retry type", steps(declareWith("q", "x-delayed-retry-type", "often")), badArg("x-delayed-retry-type", `"unknown type 'often'"`)},
	{"retries that shrink", steps(declareWith("q", "x-delayed-retry-min", int32(9), "x-delayed-retry-max", int32(3))), badArg("x-delayed-retry-max", "less than x-delayed-retry-min")},
	{"spool priority too high", steps(declareWith("q", "x-spool-priority", int32(10))), badArg("x-spool-priority", "{max_value_exceeded,10}")},

	// A second declaration.
	{"ttl differs", steps(declareWith("q", "x-message-ttl", int32(1000)), declareWith("q", "x-message-ttl", int32(2000))),
		differs("x-message-ttl", "'2000'", "'1000'")},
	{"ttl of another width", steps(declareWith("q", "x-message-ttl", int32(1000)), declareWith("q", "x-message-ttl", int64(1000))), declared + declared},
	{"ttl is new", steps(Declare("q"), declareWith("q", "x-message-ttl", int32(1000))), differs("x-message-ttl", "the value '1000' of type 'signedint'", "none")},
	{"ttl is gone", steps(declareWith("q", "x-message-ttl", int32(1000)), Declare("q")), differs("x-message-ttl", "none", "the value '1000' of type 'signedint'")},
	{"length differs", steps(declareWith("q", "x-max-length", int32(1)), declareWith("q", "x-max-length", int64(2))),
		differs("x-max-length", "'2'", "'1'")},
	{"dead letter exchange differs", steps(declareWith("q", "x-dead-letter-exchange", "a"), declareWith("q", "x-dead-letter-exchange", "b")),
		differs("x-dead-letter-exchange", "'b'", "'a'")},
	{"overflow differs", steps(declareWith("q", "x-overflow", "drop-head"), declareWith("q", "x-overflow", "reject-publish")),
		differs("x-overflow", "'reject-publish'", "'drop-head'")},
	{"priority differs", steps(declareWith("q", "x-max-priority", int32(5)), Declare("q")), differs("x-max-priority", "none", "the value '5' of type 'signedint'")},
	{"expires differs", steps(declareWith("q", "x-expires", int32(60000)), declareWith("q", "x-expires", int32(50000))),
		differs("x-expires", "'50000'", "'60000'")},
	{"single active consumer differs", steps(declareWith("q", "x-single-active-consumer", true), Declare("q")),
		differs("x-single-active-consumer", "none", "the value 'true' of type 'bool'")},
	{"type of queue differs", steps(durableWith("q"), durableWith("q", "x-queue-type", "quorum")),
		differs("x-queue-type", "the value 'quorum' of type 'longstr'", "none")},
	{"classic is no difference", steps(durableWith("q"), durableWith("q", "x-queue-type", "classic")), declared + declared},
	{"auto-delete differs", steps(Declare("q"), &wire091.QueueDeclare{Queue: "q", AutoDelete: true}), differs("auto_delete", "'true'", "'false'")},
	{"durable is asked first", steps(Declare("q"), &wire091.QueueDeclare{Queue: "q", Durable: true, AutoDelete: true}), differs("durable", "'true'", "'false'")},
	{"exclusive differs", steps(Declare("q"), &wire091.QueueDeclare{Queue: "q", Exclusive: true}), declared +
		"1 channel.close 405 50,10 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally " +
		"declared on another connection or the exclusive property value does not match that of the original declaration."},

	// Values of tables.
	{"every type of value", steps(&wire091.QueueDeclare{Queue: "q", Arguments: amqp.Table{
		{Key: "t", Value: true}, {Key: "b", Value: int8(-1)}, {Key: "s", Value: int16(-1)}, {Key: "I", Value: int32(-1)}, {Key: "l", Value: int64(-1)},
		{Key: "f", Value: float32(1)}, {Key: "d", Value: float64(1)}, {Key: "S", Value: "text"}, {Key: "A", Value: amqp.Array{"a", int32(1), amqp.Table{{Key: "in", Value: "it"}}}},
		{Key: "F", Value: amqp.Table{{Key: "k", Value: "v"}}}, {Key: "V", Value: nil},
	}}), declared},
}
