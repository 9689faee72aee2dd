package server091

import (
	"testing"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// TestCommitOkWaitsForTheDisk: the whole transaction, publishes and
// acknowledgements, is answered for by one sync.
func TestCommitOkWaitsForTheDisk(t *testing.T) {
	log := mem.New()
	inBubble(t, log, broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		p.do(&wire091.QueueDeclare{Queue: "q", Durable: true, NoWait: true}, &wire091.TxSelect{})
		p.do(publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"),
			publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "b"), &wire091.TxCommit{})
		p.quiet()
		p.heard("1 tx.select-ok")
		log.Commit()
		p.quiet()
		p.heard("1 tx.commit-ok")

		p.says("1 basic.get-ok 1 false  q 1\n1 header 1 mode=2\n1 body a", &wire091.BasicGet{Queue: "q"})
		p.says("", publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "c"), &wire091.BasicAck{DeliveryTag: 1}, &wire091.TxCommit{})
		if b := log.Crash(); b.Stats().Records != 2 { // a and b: nothing of the second is there
			t.Errorf("a cut before the sync leaves %d messages, want 2", b.Stats().Records)
		}
		log.Commit()
		p.quiet()
		p.heard("1 tx.commit-ok")
		if n := log.Stats().Records; n != 2 { // b and c
			t.Errorf("%d messages after the commit, want 2", n)
		}
	})
}

func TestRetainHeader(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		p.says("", publishWith(1, &wire091.BasicPublish{Exchange: "amq.topic", RoutingKey: "a"}, amqp.PropertyList{Headers: amqp.Table{{Key: retainHeader, Value: true}}}, "kept"),
			publishWith(1, &wire091.BasicPublish{Exchange: "amq.topic", RoutingKey: "b"}, amqp.PropertyList{Headers: amqp.Table{{Key: retainHeader, Value: "yes"}}}, "not kept"))
		c, err := r.broker.Connect(broker.DefaultVHost, broker.Identity{}, func() {})
		must(t, err)
		if got := c.Retained("#"); len(got) != 1 || string(got[0].Body) != "kept" {
			t.Errorf("retained: %v", got)
		}
	})
}
