package amqptest

import (
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

// dying is a queue q whose dead messages go to queue dead.
func dying(fields ...any) []any {
	fields = append(fields, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "dead")
	return steps(&wire091.QueueDeclare{Queue: "dead", NoWait: true}, declareWith("q", fields...))
}

var getDead = steps(pause, &wire091.BasicGet{Queue: "dead"})

// deadOf is the one dead message, of queue q.
func deadOf(reason, death string) string {
	return "1 basic.get-ok 1 false  dead 0\n1 header 1 deaths=" + death +
		" x-first-death-exchange= x-first-death-queue=q x-first-death-reason=" + reason +
		" x-last-death-exchange= x-last-death-queue=q x-last-death-reason=" + reason + "\n1 body 1"
}

var deadLetterTalk = []talk{
	{"rejected", steps(dying(), send("1"), get, rejection, pause, &wire091.ChannelClose{}, &wire091.ChannelOpen{}, getDead),
		declared + gotten("1", "false", "0", "1") + "1 channel.close-ok\n1 channel.open-ok\n" + deadOf("rejected", "1|rejected|q||[q]")},
	{"expired", steps(dying("x-message-ttl", int32(20)), send("1"), 200*time.Millisecond, getDead), declared + deadOf("expired", "1|expired|q||[q]")},
	{"expired by its own", steps(dying(), PublishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, amqp.PropertyList{Expiration: "20"}, "1"), 200*time.Millisecond, getDead),
		declared + deadOf("expired", "1|expired|q||[q]|20")},
	{"too many", steps(dying("x-max-length", int32(0)), send("1"), getDead), declared + deadOf("maxlen", "1|maxlen|q||[q]")},
	{"refused and dead", steps(dying("x-max-length", int32(0), "x-overflow", "reject-publish-dlx"), &wire091.ConfirmSelect{}, send("1"), getDead),
		declared + "1 confirm.select-ok\n1 basic.nack 1 false false\n" + deadOf("maxlen", "1|maxlen|q||[q]")},
	{"purged is not dead", steps(dying(), send("1"), &wire091.QueuePurge{Queue: "q"}, getDead), declared + "1 queue.purge-ok 1\n1 basic.get-empty"},
	{"deleted is not dead", steps(dying(), send("1"), &wire091.QueueDelete{Queue: "q"}, getDead), declared + "1 queue.delete-ok 1\n1 basic.get-empty"},
	{"its own keys", steps(&wire091.QueueDeclare{Queue: "dead", NoWait: true}, &wire091.QueueBind{Queue: "dead", Exchange: "amq.direct", RoutingKey: "q", NoWait: true},
		declareWith("q", "x-max-length", int32(0), "x-dead-letter-exchange", "amq.direct"), send("1"), pause, &wire091.BasicGet{Queue: "dead"}),
		declared + "1 basic.get-ok 1 false amq.direct q 0\n1 header 1 deaths=1|maxlen|q||[q]" +
			" x-first-death-exchange= x-first-death-queue=q x-first-death-reason=maxlen x-last-death-exchange= x-last-death-queue=q x-last-death-reason=maxlen\n1 body 1"},
	{"a circle drops", steps(declareWith("q", "x-message-ttl", int32(20), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q"), send("1"), 300*time.Millisecond, declareWith("q", "x-message-ttl", int32(20), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q")),
		declared + declared},
	{"a circle of rejections goes on", steps(declareWith("q", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q"), send("1"), get, rejection, pause, get),
		declared + gotten("1", "false", "0", "1") + "1 basic.get-ok 2 false  q 0\n1 header 1 deaths=1|rejected|q||[q]" +
			" x-first-death-exchange= x-first-death-queue=q x-first-death-reason=rejected x-last-death-exchange= x-last-death-queue=q x-last-death-reason=rejected\n1 body 1"},
	{"no exchange there", steps(declareWith("q", "x-max-length", int32(0), "x-dead-letter-exchange", "nope"), send("1"), get), declared + "1 basic.get-empty"},
}
