package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	// churnKept is how many queues stand at a time, of those that are made and
	// dropped; each gets so many messages.
	churnKept     = 3
	churnMessages = 5
	// bulkBytes and bulkBatch let the value log grow, and the budget be spent.
	bulkQueue = "bulk"
	bulkBytes = 32 << 10
	bulkBatch = 32
	// exactWindow is how many messages of QoS 2 are under way.
	exactWindow = 16
)

// mix is a load with all beside it that moves in a spool: a sensor with QoS 2,
// queues, exchanges and bindings that come and go, purges, and a stream of
// large messages that are consumed as they come, which makes the value logs be
// rewritten. What it is promised is told in lines, see ledger.note and
// errands.
type mix struct {
	load
	say func(format string, args ...any)
}

func (m *mix) exactSensor() string { return "x" + m.suffix }

// run works until ctx ends or a connection is lost, and says why it ended.
func (m *mix) run(ctx context.Context, g *gateway) error {
	conn, ch, err := confirming(ctx, g)
	if err == nil {
		err = declareLoadQueue(conn) // before anybody publishes to it
	}
	if err == nil {
		_, err = ch.QueueDeclare(bulkQueue, true, false, false, false, nil)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, part := range []func(context.Context, *gateway) error{m.load.run, m.exact, m.churn, m.bulk} {
		wg.Go(func() { cancel(part(ctx, g)) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

// exact publishes with QoS 2 as one that remembers: "sent", "acked" (PUBREC)
// and "completed" (PUBCOMP) are said before the next step is done.
func (m *mix) exact(ctx context.Context, g *gateway) error {
	c, err := connectMQTT(g.mqtt(), mqttConnect{client: m.exactSensor(), keep: true})
	if err != nil {
		return err
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	m.say("session %s 0", m.exactSensor())
	line := func(word string) func(string) {
		return func(text string) {
			r, _ := parseReading(text)
			m.say("%s %s %d", word, r.sensor, r.n)
		}
	}
	e := &mqttExact{topic: "plant/" + m.exactSensor() + "/temp", window: exactWindow,
		received: line("acked"), settled: line("completed")}
	for n := 1; n < 1<<16; n++ { // the number is the packet identifier as well
		m.say("sent %s %d", m.exactSensor(), n)
		if err := e.publish(c, reading{m.exactSensor(), n}.String()); err != nil {
			return err
		}
	}
	return nil
}

// churn makes queues, fills them, purges every second, and drops old ones.
func (m *mix) churn(ctx context.Context, g *gateway) error {
	conn, ch, err := confirming(ctx, g)
	if err != nil {
		return err
	}
	defer conn.Close()
	name := func(i int) string { return fmt.Sprintf("churn%s.%d", m.suffix, i) }
	for i := 1; ; i++ {
		if err := makeChurn(ch, name(i)); err != nil {
			return err
		}
		m.say("made %s 0", name(i))
		if err := publishConfirmed(ctx, ch, name(i), bytes.Repeat([]byte("churn "), 500), churnMessages); err != nil {
			return err
		}
		m.say("filled %s %d", name(i), churnMessages)
		if i%2 == 0 {
			m.say("purging %s 0", name(i))
			if _, err := ch.QueuePurge(name(i), false); err != nil {
				return err
			}
			m.say("purged %s 0", name(i))
		}
		if old := i - churnKept; old > 0 {
			m.say("dropping %s 0", name(old))
			if err := dropChurn(ch, name(old)); err != nil {
				return err
			}
			m.say("dropped %s 0", name(old))
		}
	}
}

func makeChurn(ch *amqp091.Channel, name string) error {
	if err := ch.ExchangeDeclare(name, "topic", true, false, false, false, nil); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		return err
	}
	return ch.QueueBind(name, "#", name, false, nil)
}

func dropChurn(ch *amqp091.Channel, name string) error {
	if _, err := ch.QueueDelete(name, false, false, false); err != nil {
		return err
	}
	return ch.ExchangeDelete(name, false, false)
}

// confirming is a connection of its own, so that nobody waits for another's
// full spool; it goes with ctx.
func confirming(ctx context.Context, g *gateway) (*amqp091.Connection, *amqp091.Channel, error) {
	conn, err := amqp091.Dial(g.amqp())
	if err != nil {
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		conn.Close()
	}
	return conn, ch, err
}

// publishConfirmed sends n times and waits for all confirms.
func publishConfirmed(ctx context.Context, ch *amqp091.Channel, exchange string, body []byte, n int) error {
	var sent []*amqp091.DeferredConfirmation
	for range n {
		c, err := ch.PublishWithDeferredConfirmWithContext(ctx, exchange, bulkQueue, false, false,
			amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: body})
		if err != nil {
			return err
		}
		sent = append(sent, c)
	}
	for _, c := range sent {
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			return fmt.Errorf("not confirmed: %w", errors.Join(err, ctx.Err()))
		}
	}
	return nil
}

// bulkBody is random, so that nothing packs it, and checked at its end.
func bulkBody(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rand.Uint64())
	}
	binary.BigEndian.PutUint32(b[n-4:], crc32.ChecksumIEEE(b[:n-4]))
	return b
}

func soundBulk(b []byte) bool {
	return len(b) > 4 && crc32.ChecksumIEEE(b[:len(b)-4]) == binary.BigEndian.Uint32(b[len(b)-4:])
}

// bulk publishes large messages and consumes them, half a second behind.
func (m *mix) bulk(ctx context.Context, g *gateway) error {
	conn, ch, err := confirming(ctx, g)
	if err != nil {
		return err
	}
	defer conn.Close()
	reader, in, err := confirming(ctx, g)
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := in.Qos(500, 0, false); err != nil {
		return err
	}
	deliveries, err := in.Consume(bulkQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer reader.Close()
	wg.Go(func() {
		time.Sleep(500 * time.Millisecond)
		for d := range deliveries {
			if !soundBulk(d.Body) {
				m.say("failed: a damaged bulk message of %d bytes arrived", len(d.Body))
			}
			_ = d.Ack(false)
		}
	})
	for {
		if err := publishConfirmed(ctx, ch, "", bulkBody(bulkBytes), bulkBatch); err != nil {
			return err
		}
	}
}

// drainBulk takes what is left of the large messages.
func drainBulk(g *gateway) error {
	conn, ch, err := confirming(context.Background(), g)
	if err != nil {
		return err
	}
	defer conn.Close()
	q, err := ch.QueueDeclare(bulkQueue, true, false, false, false, nil)
	if err != nil {
		return err
	}
	for i := range q.Messages {
		d, ok, err := ch.Get(bulkQueue, true)
		if err != nil || !ok {
			return fmt.Errorf("%d of %d bulk messages came: %w", i, q.Messages, err)
		}
		if !soundBulk(d.Body) {
			return fmt.Errorf("bulk message %d of %d is damaged", i, q.Messages)
		}
	}
	return nil
}

// lines prints what a writer is promised. Nothing is printed before the first
// acknowledgement, which is what the time of the cut is counted from.
type lines struct {
	mu   sync.Mutex // protects the fields below
	held []string   // nil once there was one
	open bool
}

func (l *lines) say(format string, args ...any) {
	line := fmt.Sprintf(format+"\n", args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open = l.open || strings.HasPrefix(line, "acked"); !l.open {
		l.held = append(l.held, line)
		return
	}
	fmt.Print(strings.Join(l.held, "") + line)
	l.held = nil
}

// errands is what the mix was promised beside messages.
type errands struct {
	session string // of the sensor with QoS 2
	sent    int    // its last number
	states  map[string]map[string]bool
	done    map[int]bool // numbers that are completed
}

func newErrands() *errands {
	return &errands{states: map[string]map[string]bool{}, done: map[int]bool{}}
}

// note records a line of the mix.
func (e *errands) note(line string) {
	var word, name string
	var n int
	if k, err := fmt.Sscan(line, &word, &name, &n); k != 3 || err != nil {
		return
	}
	switch word {
	case "session":
		e.session = name
	case "sent":
		e.sent = n
	case "completed":
		e.done[n] = true
	case "made", "filled", "purging", "purged", "dropping", "dropped":
		if e.states[name] == nil {
			e.states[name] = map[string]bool{}
		}
		e.states[name][word] = true
	}
}

// finishExact goes on with the handshakes of QoS 2 that the cut interrupted;
// then each number was accepted once.
func (e *errands) finishExact(g *gateway, book *ledger) error {
	if e.session == "" {
		return nil
	}
	c, err := connectMQTT(g.mqtt(), mqttConnect{client: e.session, keep: true})
	if err != nil {
		return err
	}
	defer c.close()
	if !c.present {
		return fmt.Errorf("the session of %s is gone", e.session)
	}
	x := &mqttExact{topic: "plant/" + e.session + "/temp", window: exactWindow, settled: func(string) {}}
	book.offer(e.session, e.sent)
	for n := 1; n <= e.sent; n++ {
		r := reading{e.session, n}
		if !e.done[n] {
			x.waiting = append(x.waiting, exactFlight{uint16(n), r.String(), book.has(r)})
		}
		book.promise(r)
	}
	if err := x.resume(c); err != nil {
		return err
	}
	return x.finish(c)
}

// check looks for queues, exchanges and bindings that must be there, and for
// those that must not, and clears them away.
func (e *errands) check(g *gateway) error {
	conn, ch, err := confirming(context.Background(), g)
	if err != nil {
		return err
	}
	defer conn.Close()
	var wrong []string
	for name, is := range e.states {
		depth, err := queueDepth(g.amqp(), name)
		switch {
		case is["dropped"]:
			if err == nil {
				wrong = append(wrong, name+" was dropped and is back")
			}
			continue
		case is["dropping"]:
			continue
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s was made and is gone: %v", name, err))
			continue
		case is["purged"] && depth != 0:
			wrong = append(wrong, fmt.Sprintf("%s was purged and has %d messages", name, depth))
		case is["filled"] && !is["purging"] && depth != churnMessages:
			wrong = append(wrong, fmt.Sprintf("%s has %d messages, was filled with %d", name, depth, churnMessages))
		}
		if err := publishConfirmed(context.Background(), ch, name, []byte("bound?"), 1); err != nil {
			return fmt.Errorf("%s: its exchange: %w", name, err)
		}
		if now, err := queueDepth(g.amqp(), name); err != nil || now != depth+1 {
			wrong = append(wrong, fmt.Sprintf("%s: its binding is gone: %d messages, %v", name, now, err))
		}
		if err := dropChurn(ch, name); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}
