package interop

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestLargeMessagesOnASmallVolume: on 40 MB a message that never fits is refused
// with the sizes, instead of waiting for ever, and everybody else goes on; a queue
// that fills a good part of the volume is dead-lettered at once, which needs as much
// again, and gets there piece by piece.
func TestLargeMessagesOnASmallVolume(t *testing.T) {
	dir := tmpfsVolume(t, "40m")
	g, err := newGateway(dir, "profile = \"small\"\n[spool]\nmax_bytes = \"1GiB\"\n")
	must(t, err)
	g.mustStart(t)
	t.Cleanup(func() {
		if g.proc != nil {
			g.kill()
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, ch, err := confirming(context.Background(), g)
	must(t, err)
	defer conn.Close()
	_, err = ch.QueueDeclare("dead", true, false, false, false, nil)
	must(t, err)
	_, err = ch.QueueDeclare(bulkQueue, true, false, false, false, amqp091.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead",
	})
	must(t, err)

	wide, err := conn.Channel()
	must(t, err)
	closed := wide.NotifyClose(make(chan *amqp091.Error, 1))
	must(t, wide.PublishWithContext(ctx, "", bulkQueue, false, false,
		amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: bulkBody(15 << 20)}))
	select {
	case why := <-closed:
		if why == nil || why.Code != amqp091.PreconditionFailed || !strings.Contains(why.Reason, "are possible with a volume of") {
			t.Errorf("a message of 15 MB on a volume of 40 closed its channel with %v", why)
		}
	case <-ctx.Done():
		t.Fatal("a message that never fits is waited with")
	}

	const n, size = 21, 1 << 20
	must(t, publishConfirmed(ctx, ch, "", bulkBody(size), n))
	in, err := conn.Channel()
	must(t, err)
	must(t, in.Qos(7, 0, false)) // half of them at once
	deliveries, err := in.Consume(bulkQueue, "", false, false, false, false, nil)
	must(t, err)
	for i := range n {
		d, err := next(ctx, deliveries)
		must(t, err)
		if i%7 == 6 {
			must(t, d.Nack(true, false))
		}
	}
	out, err := conn.Channel()
	must(t, err)
	dead, err := out.Consume("dead", "", false, false, false, false, nil)
	must(t, err)
	for range n {
		d, err := next(ctx, dead)
		must(t, err)
		if !soundBulk(d.Body) || d.Headers["x-first-death-reason"] != "rejected" {
			t.Errorf("a dead message of %d bytes is damaged or did not die: %v", len(d.Body), d.Headers["x-first-death-reason"])
		}
		must(t, d.Ack(false))
	}
	must(t, publishConfirmed(ctx, ch, "", bulkBody(size), n))
	must(t, g.alive())
	conn.Close()
	g.mustStop(t)
}

// next is the next delivery.
func next(ctx context.Context, from <-chan amqp091.Delivery) (amqp091.Delivery, error) {
	select {
	case d, ok := <-from:
		if !ok {
			return d, errors.New("the channel was closed")
		}
		return d, nil
	case <-ctx.Done():
		return amqp091.Delivery{}, ctx.Err()
	}
}
