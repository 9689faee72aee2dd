package server091

import (
	"fmt"
	"net"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/amqp/broker"
	"leveret/spool/mem"
)

// TestOrdinaryClient goes through everything once with a client that others
// use.
func TestOrdinaryClient(t *testing.T) {
	r := newRig(t, mem.New().Auto(), broker.Limits{}, nil)
	client, err := amqp091.DialConfig("amqp://guest:guest@127.0.0.1/", amqp091.Config{
		Dial:      func(string, string) (net.Conn, error) { return r.dialTCP(t), nil },
		Heartbeat: time.Second,
	})
	must(t, err)
	ch, err := client.Channel()
	must(t, err)
	must(t, ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation, 100))
	returns := ch.NotifyReturn(make(chan amqp091.Return, 1))
	must(t, ch.ExchangeDeclare("readings", "topic", true, false, false, false, nil))
	q, err := ch.QueueDeclare("", false, false, true, false, amqp091.Table{"x-note": "n"})
	must(t, err)
	must(t, ch.QueueBind(q.Name, "plant.#", "readings", false, nil))
	must(t, ch.Qos(10, 0, false))
	deliveries, err := ch.Consume(q.Name, "c", false, false, false, false, nil)
	must(t, err)

	const n = 100
	for i := range n {
		must(t, ch.Publish("readings", fmt.Sprintf("plant.%d", i), false, false, amqp091.Publishing{
			Headers: amqp091.Table{"n": int32(i)}, DeliveryMode: 2, MessageId: fmt.Sprint(i), Body: []byte(fmt.Sprint("reading ", i)),
		}))
	}
	for i := range n {
		if c := <-confirms; !c.Ack || c.DeliveryTag != uint64(i+1) {
			t.Fatalf("confirm %d: %+v", i, c)
		}
		d := <-deliveries
		if string(d.Body) != fmt.Sprint("reading ", i) || d.Headers["n"] != int32(i) || d.RoutingKey != fmt.Sprintf("plant.%d", i) || d.MessageId != fmt.Sprint(i) {
			t.Fatalf("delivery %d: %+v", i, d)
		}
		must(t, d.Ack(i%10 == 9))
	}
	must(t, ch.Publish("readings", "nobody", true, false, amqp091.Publishing{Body: []byte("lost")}))
	if back := <-returns; back.ReplyCode != 312 || back.ReplyText != "NO_ROUTE" || string(back.Body) != "lost" {
		t.Errorf("returned: %+v", back)
	}
	must(t, ch.Cancel("c", false))
	must(t, ch.Close())

	ch, err = client.Channel()
	must(t, err)
	_, err = ch.QueueDeclarePassive("nope", false, false, false, false, nil)
	if e, ok := err.(*amqp091.Error); !ok || e.Code != 404 || e.Reason != "NOT_FOUND - no queue 'nope' in vhost '/'" {
		t.Errorf("passive declaration of a missing queue: %v", err)
	}
	must(t, client.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
