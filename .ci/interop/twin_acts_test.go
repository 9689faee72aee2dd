package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// act is one command, with everything that it is made of chosen already.
type act struct {
	name  string
	do    func(*twin) string
	again bool // it only looks, and may be asked again while the twins differ
}

var (
	twinQueues    = []string{"twin.a", "twin.b", "twin.c"}
	twinExchanges = []string{"twin.x", "twin.y"}
	twinKinds     = []string{"direct", "fanout", "topic", "headers"}
	twinKeys      = []string{"", "k", "k.l", "k.l.m", "twin.a", "twin.b", "*", "#", "k.*", "k.#", "#.m", "*.l.#", "..", "k..m"}
)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func chance(rng *rand.Rand, percent int) bool { return rng.IntN(100) < percent }

// chooseAct favours messages over declarations, and things that exist over
// those that do not.
func chooseAct(rng *rand.Rand) act {
	choices := []struct {
		weight int
		choose func(*rand.Rand) act
	}{
		{14, declareQueueAct}, {2, lookAct}, {3, deleteQueueAct}, {3, purgeAct},
		{6, declareExchangeAct}, {2, deleteExchangeAct}, {12, bindAct}, {4, unbindAct},
		{3, bindExchangeAct}, {24, publishAct}, {14, getAct}, {12, settleAct}, {2, recoverAct}, {5, drainAct}, {4, consumeAct},
	}
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	n := rng.IntN(total)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.choose(rng)
		}
	}
	panic("BUG: weights")
}

func anyQueue(rng *rand.Rand) string {
	if chance(rng, 4) {
		return pick(rng, []string{"twin.none", "amq.none", ""})
	}
	return pick(rng, twinQueues)
}

func anyExchange(rng *rand.Rand) string {
	if chance(rng, 20) {
		return pick(rng, []string{"", "amq.direct", "amq.topic", "amq.fanout", "amq.headers", "amq.none", "twin.none"})
	}
	return pick(rng, twinExchanges)
}

// queueArguments are mostly none, so that a declaration meets its like.
func queueArguments(rng *rand.Rand) amqp091.Table {
	args := amqp091.Table{}
	if chance(rng, 60) {
		return args
	}
	for range 1 + rng.IntN(2) {
		switch rng.IntN(9) {
		case 0:
			args["x-max-length"] = pick(rng, []any{int32(3), int64(3), int32(-1), "3"})
		case 1:
			args["x-max-length-bytes"] = pick(rng, []any{int32(40), int32(-2)})
		case 2:
			args["x-overflow"] = pick(rng, []any{"drop-head", "reject-publish", "reject-publish-dlx", "drop-tail", int32(1)})
		case 3:
			args["x-dead-letter-exchange"] = pick(rng, []any{"", "twin.x", "twin.y", "twin.none", int32(1)})
		case 4:
			args["x-dead-letter-routing-key"] = pick(rng, []any{"twin.a", "twin.b", "k.l", true})
		case 5:
			args["x-max-priority"] = pick(rng, []any{int32(4), int32(256), int32(-1), "4"})
		case 6:
			args["x-message-ttl"] = pick(rng, []any{int32(0), int32(3_600_000), int32(-1), "x"})
		case 7:
			args["x-expires"] = pick(rng, []any{int32(3_600_000), int32(0), int32(-1), 1.5})
		case 8:
			// not x-queue-mode, which RabbitMQ compares up to 3.x and has forgotten since
			args[pick(rng, []string{"x-single-active-consumer", "x-unknown"})] = pick(rng, []any{true, "lazy", int32(7)})
		}
	}
	return args
}

func declareQueueAct(rng *rand.Rand) act {
	name, args := anyQueue(rng), queueArguments(rng)
	if name == "" {
		name = "twin.a" // a name of the server's differs
	}
	durable, autoDelete, exclusive, passive := chance(rng, 50), chance(rng, 10), chance(rng, 10), chance(rng, 15)
	return act{name: fmt.Sprintf("queue.declare %q durable=%t auto-delete=%t exclusive=%t passive=%t %v", name, durable, autoDelete, exclusive, passive, args),
		do: func(w *twin) string {
			declare := w.ch.QueueDeclare
			if passive {
				declare = w.ch.QueueDeclarePassive
			}
			q, err := declare(name, durable, autoDelete, exclusive, false, args)
			return w.outcome(fmt.Sprintf("%d consumers", q.Consumers), err)
		}}
}

func lookAct(rng *rand.Rand) act {
	name := pick(rng, twinQueues)
	return act{name: fmt.Sprintf("queue.declare %q passive, how many", name), again: true,
		do: func(w *twin) string {
			q, err := w.ch.QueueDeclarePassive(name, false, false, false, false, nil)
			return w.outcome(fmt.Sprintf("%d messages", q.Messages), err)
		}}
}

func deleteQueueAct(rng *rand.Rand) act {
	name, unused, empty := anyQueue(rng), chance(rng, 30), chance(rng, 30)
	return act{name: fmt.Sprintf("queue.delete %q if-unused=%t if-empty=%t", name, unused, empty),
		do: func(w *twin) string {
			n, err := w.ch.QueueDelete(name, unused, empty, false)
			return w.outcome(fmt.Sprintf("deleted with %d", n), err)
		}}
}

func purgeAct(rng *rand.Rand) act {
	name := anyQueue(rng)
	return act{name: fmt.Sprintf("queue.purge %q", name),
		do: func(w *twin) string {
			n, err := w.ch.QueuePurge(name, false)
			return w.outcome(fmt.Sprintf("purged %d", n), err)
		}}
}

func declareExchangeAct(rng *rand.Rand) act {
	name, kind := anyExchange(rng), pick(rng, twinKinds)
	durable, autoDelete, internal, passive := chance(rng, 50), chance(rng, 10), chance(rng, 5), chance(rng, 15)
	args := amqp091.Table{}
	if chance(rng, 15) {
		args["alternate-exchange"] = pick(rng, []any{"twin.x", "twin.y", "amq.fanout", int32(1)})
	}
	return act{name: fmt.Sprintf("exchange.declare %q %s durable=%t auto-delete=%t internal=%t passive=%t %v", name, kind, durable, autoDelete, internal, passive, args),
		do: func(w *twin) string {
			declare := w.ch.ExchangeDeclare
			if passive {
				declare = w.ch.ExchangeDeclarePassive
			}
			return w.outcome("declared", declare(name, kind, durable, autoDelete, internal, false, args))
		}}
}

func deleteExchangeAct(rng *rand.Rand) act {
	name, unused := anyExchange(rng), chance(rng, 40)
	return act{name: fmt.Sprintf("exchange.delete %q if-unused=%t", name, unused),
		do: func(w *twin) string { return w.outcome("deleted", w.ch.ExchangeDelete(name, unused, false)) }}
}

func bindingArguments(rng *rand.Rand) amqp091.Table {
	args := amqp091.Table{}
	if chance(rng, 50) {
		return args
	}
	if chance(rng, 80) {
		args["x-match"] = pick(rng, []any{"all", "any", "some", int32(1)})
	}
	for range rng.IntN(3) {
		args[pick(rng, []string{"a", "b", "x-c"})] = pick(rng, []any{"1", int32(1), int64(1), true, nil, 1.0})
	}
	return args
}

func bindAct(rng *rand.Rand) act {
	queue, key, exchange, args := anyQueue(rng), pick(rng, twinKeys), anyExchange(rng), bindingArguments(rng)
	return act{name: fmt.Sprintf("queue.bind %q to %q key %q %v", queue, exchange, key, args),
		do: func(w *twin) string { return w.outcome("bound", w.ch.QueueBind(queue, key, exchange, false, args)) }}
}

func unbindAct(rng *rand.Rand) act {
	queue, key, exchange, args := anyQueue(rng), pick(rng, twinKeys), anyExchange(rng), bindingArguments(rng)
	return act{name: fmt.Sprintf("queue.unbind %q from %q key %q %v", queue, exchange, key, args),
		do: func(w *twin) string { return w.outcome("unbound", w.ch.QueueUnbind(queue, key, exchange, args)) }}
}

func bindExchangeAct(rng *rand.Rand) act {
	to, key, from, unbind := anyExchange(rng), pick(rng, twinKeys), anyExchange(rng), chance(rng, 25)
	return act{name: fmt.Sprintf("exchange.bind %q to %q key %q unbind=%t", to, from, key, unbind),
		do: func(w *twin) string {
			bind := w.ch.ExchangeBind
			if unbind {
				bind = w.ch.ExchangeUnbind
			}
			return w.outcome("done", bind(to, key, from, false, nil))
		}}
}

func publishAct(rng *rand.Rand) act {
	exchange, key, mandatory := anyExchange(rng), pick(rng, twinKeys), chance(rng, 40)
	if chance(rng, 40) {
		exchange, key = "", pick(rng, twinQueues)
	}
	p := amqp091.Publishing{Body: []byte(strings.Repeat(pick(rng, []string{"p", "q", "r"}), rng.IntN(30)))}
	if chance(rng, 30) {
		p.Priority = uint8(rng.IntN(7))
	}
	if chance(rng, 30) {
		p.DeliveryMode = amqp091.Persistent
	}
	if chance(rng, 10) {
		p.Expiration = pick(rng, []string{"3600000", "0", "-1", "soon", ""})
	}
	if chance(rng, 5) {
		p.UserId = pick(rng, []string{"guest", "bob"})
	}
	if chance(rng, 40) {
		p.Headers = amqp091.Table{}
		for range 1 + rng.IntN(3) {
			p.Headers[pick(rng, []string{"a", "b", "x-c"})] = pick(rng, []any{"1", int32(1), int64(1), true, nil, 1.0})
		}
		if chance(rng, 15) {
			p.Headers[pick(rng, []string{"CC", "BCC"})] = pick(rng, []any{[]any{"twin.a", "k"}, "twin.b", []any{int32(1)}, []any{}})
		}
	}
	return act{name: fmt.Sprintf("basic.publish to %q key %q mandatory=%t priority=%d mode=%d expiration=%q user=%q headers=%v, %d bytes",
		exchange, key, mandatory, p.Priority, p.DeliveryMode, p.Expiration, p.UserId, p.Headers, len(p.Body)),
		do: func(w *twin) string {
			if err := w.ch.PublishWithContext(context.Background(), exchange, key, mandatory, false, p); err != nil {
				return w.outcome("", err)
			}
			returned := ""
			for {
				select {
				case r := <-w.returns:
					returned = fmt.Sprintf("returned %d %s to %q %q, ", r.ReplyCode, r.ReplyText, r.Exchange, r.RoutingKey)
				case c, ok := <-w.confirms:
					if !ok { // the channel was closed instead
						return w.outcome("", w.settled())
					}
					select { // a return comes before, but over a channel of its own
					case r := <-w.returns:
						returned = fmt.Sprintf("returned %d %s to %q %q, ", r.ReplyCode, r.ReplyText, r.Exchange, r.RoutingKey)
					default:
					}
					return fmt.Sprintf("%sack=%t", returned, c.Ack)
				case <-time.After(patience):
					return "no confirm"
				}
			}
		}}
}

func getAct(rng *rand.Rand) act {
	name, noAck := anyQueue(rng), chance(rng, 30)
	return act{name: fmt.Sprintf("basic.get %q no-ack=%t", name, noAck), do: func(w *twin) string {
		d, ok, err := w.ch.Get(name, noAck)
		switch {
		case err != nil:
			return w.outcome("", err)
		case !ok:
			return "empty"
		case !noAck:
			w.unacked = append(w.unacked, d.DeliveryTag)
		}
		return fmt.Sprintf("tag %d, %d left, %s", d.DeliveryTag, d.MessageCount, message(&d))
	}}
}

// message is all of a message but for times, and the headers that newer brokers
// add to dead letters.
func message(d *amqp091.Delivery) string {
	headers := []string{}
	for name, value := range d.Headers {
		if !strings.HasPrefix(name, "x-last-death-") {
			headers = append(headers, fmt.Sprintf("%s=%s", name, headerText(value)))
		}
	}
	slices.Sort(headers)
	return fmt.Sprintf("redelivered=%t from %q %q priority=%d mode=%d expiration=%q %v %q",
		d.Redelivered, d.Exchange, d.RoutingKey, d.Priority, d.DeliveryMode, d.Expiration, headers, d.Body)
}

func headerText(v any) string {
	switch v := v.(type) {
	case amqp091.Table:
		fields := []string{}
		for name, value := range v {
			if name != "time" {
				fields = append(fields, name+":"+headerText(value))
			}
		}
		slices.Sort(fields)
		return "{" + strings.Join(fields, " ") + "}"
	case []any:
		items := []string{}
		for _, item := range v {
			items = append(items, headerText(item))
		}
		return "[" + strings.Join(items, " ") + "]"
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

func settleAct(rng *rand.Rand) act {
	which, multiple, requeue, how := rng.IntN(4), chance(rng, 25), chance(rng, 50), rng.IntN(3)
	wrong := chance(rng, 3)
	return act{name: fmt.Sprintf("basic.%s tag #%d multiple=%t requeue=%t wrong=%t", []string{"ack", "nack", "reject"}[how], which, multiple, requeue, wrong),
		do: func(w *twin) string {
			tag := uint64(99)
			switch {
			case wrong:
			case len(w.unacked) == 0:
				return "nothing to settle"
			default:
				i := which % len(w.unacked)
				tag = w.unacked[i]
				if multiple && how < 2 {
					w.unacked = w.unacked[i+1:]
				} else {
					w.unacked = slices.Delete(w.unacked, i, i+1)
				}
			}
			var err error
			switch how {
			case 0:
				err = w.ch.Ack(tag, multiple)
			case 1:
				err = w.ch.Nack(tag, multiple, requeue)
			case 2:
				err = w.ch.Reject(tag, requeue)
			}
			if err == nil {
				err = w.settled()
			}
			return w.outcome("settled", err)
		}}
}

func recoverAct(*rand.Rand) act {
	return act{name: "basic.recover", do: func(w *twin) string {
		w.unacked = nil
		//lint:ignore SA1019 old clients send it
		return w.outcome("recovered", w.ch.Recover(true))
	}}
}

// drainAct takes all messages out of a queue with a consumer.
func drainAct(rng *rand.Rand) act {
	name, tag := pick(rng, twinQueues), "drain"
	return act{name: fmt.Sprintf("drain %q", name), do: func(w *twin) string {
		deliveries, err := w.ch.Consume(name, tag, true, false, false, false, nil)
		if err != nil {
			return w.outcome("", err)
		}
		var got []string
		for quiet := false; !quiet; {
			select {
			case d, ok := <-deliveries:
				if !ok {
					return "cancelled after " + strings.Join(got, "; ")
				}
				got = append(got, message(&d))
			case <-time.After(60 * time.Millisecond):
				quiet = true
			}
		}
		if err := w.ch.Cancel(tag, false); err != nil {
			return w.outcome("", err)
		}
		return fmt.Sprintf("%d: %s", len(got), strings.Join(got, "; "))
	}}
}

// consumeAct sees what a bounded consumer gets, and settles none of it before it
// ends.
func consumeAct(rng *rand.Rand) act {
	name, prefetch, exclusive := anyQueue(rng), 1+rng.IntN(3), chance(rng, 20)
	return act{name: fmt.Sprintf("consume %d of %q exclusive=%t, give back", prefetch, name, exclusive), do: func(w *twin) string {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got, err := w.consume(name, prefetch, exclusive)
			switch {
			case err == nil:
				return got
			case !strings.Contains(err.Error(), "in exclusive use") || time.Now().After(end):
				return err.Error()
			} // RabbitMQ's queue hears later than the client that a channel is closed
		}
	}}
}

// consume is a consumer on a channel of its own, until nothing more comes.
func (w *twin) consume(queue string, prefetch int, exclusive bool) (string, error) {
	ch, err := w.conn.Channel()
	if err != nil {
		return "", err
	}
	defer ch.Close()
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return "", err
	}
	deliveries, err := ch.Consume(queue, "look", false, exclusive, false, false, nil)
	if err != nil {
		return "", err
	}
	var got []string
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return "cancelled after " + strings.Join(got, "; "), nil
			}
			got = append(got, message(&d))
		case <-time.After(60 * time.Millisecond):
			return fmt.Sprintf("%d: %s", len(got), strings.Join(got, "; ")), nil
		}
	}
}
