package interop

import (
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestClients runs each AMQP client's round against RabbitMQ and against
// leveret: what passes at the first must pass at the second.
func TestClients(t *testing.T) {
	rounds := []struct {
		name string
		run  func(t *testing.T, url string)
	}{
		{"pika", script(python, "pika_round.py")},
		{"pika patterns", script(python, "pika_patterns.py")},
		{"amqplib", script(node, "amqplib_round.js")},
		{"amqplib patterns", script(node, "amqplib_patterns.js")},
		{"amqp091-go", goRound},
	}
	brokers := []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"rabbitmq", func(t *testing.T) string { return lab.reference(t).url() }},
		{"leveret", func(t *testing.T) string { return openGateway(t, "").amqp() }},
	}
	for _, b := range brokers {
		t.Run(b.name, func(t *testing.T) {
			url := b.url(t)
			for _, r := range rounds {
				t.Run(r.name, func(t *testing.T) { r.run(t, url) })
			}
		})
	}
}

// script is a round that an interpreter runs.
func script(interpreter func(script string, args ...string) *exec.Cmd, file string) func(*testing.T, string) {
	return func(t *testing.T, url string) {
		out, code := runCommand(t, clientLimit, "", interpreter(file, url, "interop."+strings.ReplaceAll(file, "_round", "")+"."))
		if code != 0 {
			t.Fatalf("%s ended with code %d:\n%s", file, code, out)
		}
		if !strings.Contains(out, "ok ") {
			t.Fatalf("%s tested nothing:\n%s", file, out)
		}
	}
}

// goRound is the round of amqp091-go, whose confirms are asynchronous.
func goRound(t *testing.T, url string) {
	conn, err := amqp091.Dial(url)
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	q, err := ch.QueueDeclare("interop.amqp091-go", true, false, false, false, nil)
	must(t, err)
	must(t, ch.QueueBind(q.Name, "a.#", "amq.topic", false, nil))
	must(t, ch.Confirm(false))
	must(t, ch.Qos(50, 0, false))

	const count = 1000
	deliveries, err := ch.Consume(q.Name, "reader", false, false, false, false, nil)
	must(t, err)
	confirms := make([]*amqp091.DeferredConfirmation, count)
	var publishing sync.WaitGroup
	publishing.Go(func() { publishAll(t, ch, confirms) })
	defer publishing.Wait()
	for i := range count {
		select {
		case d := <-deliveries:
			if want := (reading{"go", i + 1}).String(); string(d.Body) != want {
				t.Fatalf("delivery %d is %q, want %q", i+1, d.Body, want)
			}
			if i == 0 && d.Redelivered {
				t.Errorf("the first delivery is marked as redelivered")
			}
			must(t, d.Ack(false))
		case <-time.After(patience):
			t.Fatalf("no delivery after %d", i)
		}
	}
	publishing.Wait()
	must(t, ch.Cancel("reader", false))
	goReturn(t, conn)
	goRefusal(t, conn)
	left, err := ch.QueueDelete(q.Name, false, false, false)
	must(t, err)
	if left != 0 {
		t.Errorf("%d messages were left, want 0", left)
	}
}

func publishAll(t *testing.T, ch *amqp091.Channel, confirms []*amqp091.DeferredConfirmation) {
	for i := range confirms {
		msg := amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte(reading{"go", i + 1}.String())}
		c, err := ch.PublishWithDeferredConfirm("amq.topic", "a.b", false, false, msg)
		if err != nil {
			t.Errorf("publish %d: %v", i+1, err)
			return
		}
		confirms[i] = c
	}
	for i, c := range confirms {
		select {
		case <-c.Done():
			if !c.Acked() {
				t.Errorf("publish %d was refused", i+1)
			}
		case <-time.After(patience):
			t.Errorf("publish %d was not confirmed", i+1)
			return
		}
	}
}

// goReturn: a mandatory message that no queue takes comes back, then is
// confirmed.
func goReturn(t *testing.T, conn *amqp091.Connection) {
	ch, err := conn.Channel()
	must(t, err)
	defer ch.Close()
	must(t, ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp091.Return, 1))
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation, 1))
	must(t, ch.Publish("amq.direct", "interop.nowhere", true, false, amqp091.Publishing{Body: []byte("x")}))
	select {
	case r := <-returns:
		if r.ReplyCode != 312 || string(r.Body) != "x" {
			t.Errorf("returned %d %q, want 312 \"x\"", r.ReplyCode, r.Body)
		}
	case <-time.After(patience):
		t.Fatal("nothing came back")
	}
	if c := <-confirms; !c.Ack {
		t.Error("the returned message was refused, want confirmed")
	}
}

// goRefusal: a refusal ends the channel with its code, not the connection.
func goRefusal(t *testing.T, conn *amqp091.Connection) {
	ch, err := conn.Channel()
	must(t, err)
	_, err = ch.QueueDeclarePassive("interop.missing", true, false, false, false, nil)
	if e, ok := err.(*amqp091.Error); !ok || e.Code != 404 {
		t.Errorf("passive declaration of a missing queue: %v, want 404", err)
	}
	next, err := conn.Channel()
	must(t, err)
	must(t, next.Close())
}
