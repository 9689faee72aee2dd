package broker

import (
	"regexp"
	"testing"

	"leveret/amqp"
	"leveret/spool/mem"
)

var replyForm = regexp.MustCompile(`^amq\.rabbitmq\.reply-to\.[\w-]{22}\.[\w-]{22}==$`)

// TestReplyTo: one asks, the other answers to the name that came with the
// question, and nobody declared anything.
func TestReplyTo(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto()})
	if err != nil {
		t.Fatal(err)
	}
	connect := func() (*Conn, *Session) {
		c, err := b.Connect(DefaultVHost, Identity{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		return c, c.Open()
	}
	asker, asks := connect()
	worker, works := connect()
	if _, _, err := worker.DeclareQueue(QueueSpec{Name: "work"}); err != nil {
		t.Fatal(err)
	}
	consumer, err := asks.Consume(ReplyTo, ConsumerSpec{NoAck: true})
	if err != nil {
		t.Fatal(err)
	}
	consumer.Start()

	publish := func(s *Session, key string, props amqp.PropertyList, body string) Publish {
		t.Helper()
		ps := []Publish{{Msg: &amqp.Message{Key: key, Props: props.Encode(), Body: []byte(body)}}}
		if _, err := s.Publish(0, ps); err != nil {
			t.Fatal(err)
		}
		return ps[0]
	}
	publish(asks, "work", amqp.PropertyList{ReplyTo: ReplyTo, CorrelationID: "7"}, "how warm?")
	d, _, ok, err := works.Get("work", true)
	name := d.Msg.Props.ReplyTo()
	if !ok || err != nil || !replyForm.MatchString(name) || d.Msg.Props.CorrelationID() != "7" {
		t.Fatalf("question: %v %v, reply-to %q", ok, err, name)
	}
	if info, _, err := worker.DeclareQueue(QueueSpec{Name: name}); err != nil || info.Name != name || info.Consumers != 1 {
		t.Errorf("the name is declared by the other side: %+v, %v", info, err)
	}
	publish(works, name, amqp.PropertyList{DeliveryMode: 2}, "21.5")
	if got := asker.Take(nil); len(got) != 1 || string(got[0].Msg.Body) != "21.5" || got[0].Msg.Key != name {
		t.Errorf("answers: %v", got)
	}
	if st := b.Status(); len(st.Queues) != 1 || st.Queues[0].Name != "work" {
		t.Errorf("queues shown: %v", st.Queues)
	}
	asks.Cancel(consumer.Tag)
	if p := publish(works, name, amqp.PropertyList{}, "too late"); p.Routed {
		t.Error("an answer to one who does not wait any more was routed")
	}
	if _, err := worker.CheckQueue(name); err == nil {
		t.Error("the name is still there after its consumer")
	}
}
