package amqptest

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

// Users of these conversations may do only what their name says, to everything
// in "/", and everything to what is named "open". "topics" may do everything but
// publish to, or bind with, topics that do not begin with "mine."; "few" may have
// one channel.
const (
	configurer = "configure"
	writer     = "write"
	reader     = "read"
	topics     = "topics"
)

// mayNot is how such a user is refused.
func mayNot(at, access, thing, user string) string {
	return "1 channel.close 403 " + at + " ACCESS_REFUSED - " + access + " access to " + thing + " in vhost '/' refused for user '" + user + "'"
}

var accessTalk = []struct {
	user, name string
	steps      []any
	want       string
}{
	{writer, "declares a queue", steps(Declare("q")), mayNot("50,10", "configure", "queue 'q'", writer)},
	{writer, "deletes a queue", steps(&wire091.QueueDelete{Queue: "q"}), mayNot("50,40", "configure", "queue 'q'", writer)},
	{writer, "declares an exchange", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "direct"}), mayNot("40,10", "configure", "exchange 'x'", writer)},
	{writer, "deletes an exchange", steps(&wire091.ExchangeDelete{Exchange: "x"}), mayNot("40,20", "configure", "exchange 'x'", writer)},
	{writer, "asks for an exchange", steps(&wire091.ExchangeDeclare{Exchange: "amq.topic", Passive: true}), "1 exchange.declare-ok"},
	{writer, "publishes", steps(Publish(1, "amq.topic", "k", "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{reader, "publishes", steps(Publish(1, "amq.topic", "k", "m")), mayNot("60,40", "write", "exchange 'amq.topic'", reader)},
	{reader, "publishes to the nameless exchange", steps(Publish(1, "", "k", "m")), mayNot("60,40", "write", "exchange 'amq.default'", reader)},
	{configurer, "consumes", steps(&wire091.QueueDeclare{Queue: "q", NoWait: true}, Consume("q", "c")), mayNot("60,20", "read", "queue 'q'", configurer)},
	{configurer, "gets", steps(&wire091.QueueDeclare{Queue: "q", NoWait: true}, get), mayNot("60,70", "read", "queue 'q'", configurer)},
	{configurer, "purges", steps(&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.QueuePurge{Queue: "q"}), mayNot("50,30", "read", "queue 'q'", configurer)},
	{configurer, "binds a queue", steps(&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.QueueBind{Queue: "q", Exchange: "open"}), mayNot("50,20", "write", "queue 'q'", configurer)},
	{configurer, "binds to an exchange", steps(&wire091.QueueDeclare{Queue: "open", NoWait: true}, &wire091.QueueBind{Queue: "open", Exchange: "amq.topic"}),
		mayNot("50,20", "read", "exchange 'amq.topic'", configurer)},
	{configurer, "unbinds", steps(&wire091.QueueDeclare{Queue: "open", NoWait: true}, &wire091.QueueUnbind{Queue: "open", Exchange: "amq.topic"}), mayNot("50,50", "read", "exchange 'amq.topic'", configurer)},
	{configurer, "binds exchanges", steps(&wire091.ExchangeBind{Destination: "amq.fanout", Source: "amq.topic"}), mayNot("40,30", "write", "exchange 'amq.fanout'", configurer)},
	{configurer, "declares dead letters", steps(declareWith("q", "x-dead-letter-exchange", "amq.fanout")), mayNot("50,10", "read", "queue 'q'", configurer)},
	{configurer, "declares an alternate exchange", steps(&wire091.ExchangeDeclare{Exchange: "x", Type: "direct", Arguments: args("alternate-exchange", "amq.fanout")}), mayNot("40,10", "read", "exchange 'x'", configurer)},
	{topics, "publishes a topic", steps(Publish(1, "amq.topic", "mine.a", "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{topics, "publishes another's topic", steps(Publish(1, "amq.topic", "other.a", "m")), mayNot("60,40", "write", "topic 'other.a' in exchange 'amq.topic'", topics)},
	{topics, "publishes elsewhere", steps(Publish(1, "amq.direct", "other.a", "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
	{topics, "binds a topic", steps(Declare("q"), &wire091.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "mine.#"}), declared + "1 queue.bind-ok"},
	{topics, "binds another's topic", steps(Declare("q"), &wire091.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "#"}), declared + mayNot("50,20", "read", "topic '#' in exchange 'amq.topic'", topics)},
	{topics, "copies to another's topic", steps(PublishWith(1, &wire091.BasicPublish{Exchange: "amq.topic", RoutingKey: "mine.a"}, amqp.PropertyList{Headers: args("CC", amqp.Array{"other.a"}), Flags: amqp.HasHeaders}, "m")),
		mayNot("60,40", "write", "topic 'other.a' in exchange 'amq.topic'", topics)},
	{"few", "opens a channel too many", steps(On{2, &wire091.ChannelOpen{}}),
		"0 connection.close 530 0,0 NOT_ALLOWED - number of channels opened for user 'few' has reached the maximum allowed user limit of (1)"},
	{"impersonator", "publishes as somebody else", steps(PublishWith(1, &wire091.BasicPublish{}, amqp.PropertyList{UserID: "bob"}, "m"), &wire091.BasicQos{}), "1 basic.qos-ok"},
}
