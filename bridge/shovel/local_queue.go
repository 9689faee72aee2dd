package shovel

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
)

// LocalQueue is a source: a queue of the broker in this process.
//
// Every message leaves with an id that it keeps however often it is sent: its
// own message-id, or one made of the node, the boot in which it came, its queue
// and its position. It leaves with a timestamp when it has one or when its
// arrival is known in wall time.
type LocalQueue struct {
	Broker *broker.Broker
	VHost  string
	Queue  string
	// Node names this box in message ids. A box whose spool was wiped counts
	// boots and positions anew, so it needs a new name.
	Node string
	// Name is the shovel's, shown to operators as the connection's client.
	Name string
}

var errQueueGone = errors.New("the queue was deleted")

// Backlog is how many messages are in the queue, whoever holds them.
func (l *LocalQueue) Backlog() (messages int, known bool) {
	st, known := l.Broker.QueueStatus(l.VHost, l.Queue)
	return st.Ready + st.Unacked, known
}

// String is the queue's name, with its vhost where that is not the default.
func (l *LocalQueue) String() string { return "queue " + within(l.Queue, l.VHost) }

// within is a name with its vhost, unless that is the default one.
func within(name, vhost string) string {
	if vhost == broker.DefaultVHost {
		return name
	}
	return name + " in vhost " + vhost
}

// Open consumes from the queue.
func (l *LocalQueue) Open(_ context.Context, prefetch int) (bridge.Reader, error) {
	r := &queueReader{queue: l, wake: make(chan struct{}, 1)}
	who := broker.Identity{Client: l.Name, Protocol: "shovel"}
	var err error
	r.conn, err = l.Broker.Connect(l.VHost, who, func() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, l.failed("open", err)
	}
	r.session = r.conn.Open()
	consumer, err := r.session.Consume(l.Queue, broker.ConsumerSpec{Tag: l.Name, Prefetch: prefetch, Uncounted: true})
	if err != nil {
		r.conn.Close()
		return nil, l.failed("open", err)
	}
	consumer.Start()
	return r, nil
}

func (l *LocalQueue) failed(what string, err error) error {
	return fmt.Errorf("%s queue %q: %w", what, l.Queue, err)
}

// queueReader is a consumer of a local queue.
type queueReader struct {
	queue   *LocalQueue
	conn    *broker.Conn
	session *broker.Session
	wake    chan struct{} // holds a note when conn has something

	// Of Take alone.
	deliveries []broker.Delivery
	messages   []bridge.Message
}

// Take waits for deliveries.
func (r *queueReader) Take(ctx context.Context) ([]bridge.Message, error) {
	clear(r.messages)
	r.messages = r.messages[:0]
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.deliveries = r.conn.Take(r.deliveries)
		for i := range r.deliveries {
			d := &r.deliveries[i]
			if d.Msg == nil {
				return nil, r.queue.failed("read", errQueueGone)
			}
			r.messages = append(r.messages, r.queue.message(d))
		}
		if len(r.messages) > 0 {
			return r.messages, nil
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// message makes a delivery ready to travel.
func (l *LocalQueue) message(d *broker.Delivery) bridge.Message {
	m := bridge.Message{
		Tag: d.Tag, Exchange: d.Msg.Exchange, Key: d.Msg.Key,
		Props: d.Msg.Props.List(), Body: d.Msg.Body, Redelivered: d.Redelivered,
	}
	if m.Props.MessageID == "" {
		m.Props.MessageID = l.messageID(d)
	}
	if at, known := l.Broker.WallTime(d.Msg.Stamp); known {
		m.Arrived = at
		if m.Props.Flags&amqp.HasTimestamp == 0 && at.Unix() > 0 {
			m.Props.Timestamp = amqp.Timestamp(at.Unix())
			m.Props.Flags |= amqp.HasTimestamp
		}
	}
	return m
}

// messageID is the name of a message that has none: `<node>-<boot>-<queue>-<position>`.
func (l *LocalQueue) messageID(d *broker.Delivery) string {
	b := make([]byte, 0, len(l.Node)+44) // 44: three numbers of 10, 10 and 20 digits and their dashes, rounded up
	b = append(b, l.Node...)
	for _, n := range [...]uint64{uint64(d.Msg.Stamp.Boot), uint64(d.Queue), uint64(d.Pos)} {
		b = append(b, '-')
		b = strconv.AppendUint(b, n, 10)
	}
	return string(b)
}

// Settle accepts.
func (r *queueReader) Settle(acks []bridge.Ack) error {
	ops := make([]broker.Settlement, len(acks))
	for i, a := range acks {
		ops[i] = broker.Settlement{Tag: a.Tag, Multiple: a.Multiple, Outcome: broker.Accepted}
	}
	if err := r.session.Settle(ops); err != nil {
		return r.queue.failed("settle messages of", err)
	}
	return nil
}

// Bury sends a message to the queue's dead letter exchange.
func (r *queueReader) Bury(tag uint64, why string) (bool, error) {
	buried, err := r.session.Bury(tag, why)
	if err != nil {
		return false, r.queue.failed("bury a message of", err)
	}
	return buried, nil
}

// Close gives back what is unsettled.
func (r *queueReader) Close() { r.conn.Close() }
