package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// loadQueue collects what the load publishes.
const loadQueue = "kept"

// loadBatch is how many readings a publisher sends before it waits for their
// acknowledgements.
const loadBatch = 16

// load keeps one gateway busy: a publisher with AMQP confirms, one with MQTT
// QoS 1, and a consumer that acknowledges each third reading of the two and
// keeps the others, and those of QoS 2, unacknowledged. Its topology and its messages are durable.
type load struct {
	suffix   string        // of the sensors' names, so that each run has its own numbers
	promised func(reading) // the broker has acknowledged it
	settled  func(reading) // the consumer is about to acknowledge it
	hasty    bool          // promise before the broker has acknowledged: what a checker must catch
}

func (l *load) amqpSensor() string { return "a" + l.suffix }
func (l *load) mqttSensor() string { return "m" + l.suffix }

// run works until ctx ends or a connection is lost, and says why it ended.
func (l *load) run(ctx context.Context, g *gateway) error {
	conn, err := amqp091.Dial(g.amqp())
	if err != nil {
		return fmt.Errorf("dial AMQP: %w", err)
	}
	defer conn.Close()
	if err := declareLoadQueue(conn); err != nil {
		return err
	}
	sensor, err := dialMQTT(g.mqtt(), l.mqttSensor())
	if err != nil {
		return fmt.Errorf("dial MQTT: %w", err)
	}
	defer sensor.close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { conn.Close(); sensor.close() })()
	var wg sync.WaitGroup
	wg.Go(func() { cancel(l.publishAMQP(ctx, conn)) })
	wg.Go(func() { cancel(l.publishMQTT(sensor)) })
	wg.Go(func() { cancel(l.consume(conn)) })
	wg.Wait()
	return context.Cause(ctx)
}

func declareLoadQueue(conn *amqp091.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(loadQueue, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare %s: %w", loadQueue, err)
	}
	if err := ch.QueueBind(loadQueue, "plant.#", "amq.topic", false, nil); err != nil {
		return fmt.Errorf("bind %s: %w", loadQueue, err)
	}
	return ch.Close()
}

func (l *load) publishAMQP(ctx context.Context, conn *amqp091.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	key := "plant." + l.amqpSensor() + ".temp"
	for next := 1; ; {
		var batch []*amqp091.DeferredConfirmation
		first := next
		for range loadBatch {
			r := reading{l.amqpSensor(), next}
			c, err := ch.PublishWithDeferredConfirmWithContext(ctx, "amq.topic", key, false, false,
				amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte(r.String())})
			if err != nil {
				return fmt.Errorf("publish %v: %w", r, err)
			}
			batch = append(batch, c)
			next++
		}
		for i, c := range batch {
			if l.hasty {
				l.promised(reading{l.amqpSensor(), first + i})
			}
			acked, err := c.WaitContext(ctx)
			if err != nil || !acked {
				return fmt.Errorf("%s %d was not confirmed: %w", l.amqpSensor(), first+i, errors.Join(err, ctx.Err()))
			}
			l.promised(reading{l.amqpSensor(), first + i})
		}
	}
}

func (l *load) publishMQTT(sensor *mqttPublisher) error {
	topic := "plant/" + l.mqttSensor() + "/temp"
	for next := 1; ; next += loadBatch {
		texts := make([]string, loadBatch)
		for i := range texts {
			texts[i] = reading{l.mqttSensor(), next + i}.String()
		}
		if err := sensor.publish(topic, texts, func(i int) { l.promised(reading{l.mqttSensor(), next + i}) }); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
}

func (l *load) consume(conn *amqp091.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	deliveries, err := ch.Consume(loadQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for d := range deliveries {
		r, ok := parseReading(string(d.Body))
		if !ok {
			return fmt.Errorf("a damaged reading arrived: %q", d.Body)
		}
		if r.n%3 != 0 || strings.HasPrefix(r.sensor, "x") {
			continue
		}
		l.settled(r)
		if err := d.Ack(false); err != nil {
			return fmt.Errorf("ack %v: %w", r, err)
		}
	}
	return errors.New("the consumer's connection is closed")
}

// drain takes everything out of the load's queue.
func drain(url string, into *arrivals) error {
	conn, err := amqp091.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := declareLoadQueue(conn); err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	q, err := ch.QueueDeclarePassive(loadQueue, true, false, false, false, nil)
	if err != nil || q.Messages == 0 {
		return err
	}
	if err := ch.Qos(500, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(loadQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for i := range q.Messages {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return fmt.Errorf("the connection was lost after %d of %d readings", i, q.Messages)
			}
			into.add(string(d.Body))
			if i%100 == 99 || i == q.Messages-1 {
				if err := d.Ack(true); err != nil {
					return err
				}
			}
		case <-time.After(patience):
			return fmt.Errorf("%d of %d readings came, then nothing for %v", i, q.Messages, patience)
		}
	}
	return nil
}
