package interop

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	commandSenders = 4
	commandBatches = 20
	commandBatch   = 25 // of each sender: 2,000 commands in all
	commandWindow  = 64 // of the shovel, as in the configuration below
)

// The queue "in" takes what comes, "once" what comes for the first time.
const commandTopology = `
[[queue]]
name = "in"
[[binding]]
source = "amq.topic"
destination = "in"
key = "#"

[[queue]]
name = "once"
arguments = { x-message-deduplication = true, x-deduplication-header = "message-id" }
[[binding]]
source = "amq.topic"
destination = "once"
key = "#"

[[shovel]]
name = "down"
prefetch = 64
reconnect_min = "50ms"
reconnect_max = "500ms"
source = { uri = "amqp://guest:guest@%s/", %s }
target = { exchange = "amq.topic" }
`

// rough is an uplink as sites have it, with the breaks close together. A
// connection that is cut is known to be cut by both sides, so that a test need
// not wait until RabbitMQ gives one up.
const rough = "ok 1s; reset; ok 800ms; stall 300ms; reset; slow 60k 1s; refuse 200ms"

// cloudQueue declares a durable queue at RabbitMQ, for one test.
func cloudQueue(t *testing.T, name string, args amqp091.Table) *amqp091.Channel {
	t.Helper()
	conn, err := amqp091.Dial(lab.reference(t).url())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	_, err = ch.QueueDeclare(name, true, false, false, false, args)
	must(t, err)
	t.Cleanup(func() { _, _ = ch.QueueDelete(name, false, false, false) })
	must(t, ch.Confirm(false))
	return ch
}

// command publishes a batch of each sender, in turn, and waits for the confirms.
func command(t *testing.T, ch *amqp091.Channel, book *ledger, exchange, key string, first, last int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var confirms []*amqp091.DeferredConfirmation
	var all []reading
	for i := range commandSenders {
		book.offer(fmt.Sprint("c", i), last)
	}
	for n := first; n <= last; n++ {
		for i := range commandSenders {
			r := reading{fmt.Sprint("c", i), n}
			c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, amqp091.Publishing{
				DeliveryMode: amqp091.Persistent, MessageId: fmt.Sprint(r.sensor, "-", n), Body: []byte(r.String()),
			})
			must(t, err)
			confirms, all = append(confirms, c), append(all, r)
		}
	}
	for i, c := range confirms {
		if ok, err := c.WaitContext(ctx); !ok || err != nil {
			t.Fatalf("RabbitMQ does not confirm %v: %v", all[i], err)
		}
		book.promise(all[i])
	}
}

// gathered is what was in a queue of the gateway.
type gathered struct {
	arrivals
	unmarked int // came again without saying so
}

// gather reads a queue until all that was promised has come and nothing more
// does for half a second.
func gather(t *testing.T, g *gateway, book *ledger, queue string) *gathered {
	t.Helper()
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	deliveries, err := ch.Consume(queue, "", true, false, false, false, nil)
	must(t, err)
	all, seen := &gathered{}, map[string]bool{}
	late := time.After(3 * patience)
	for {
		select {
		case d := <-deliveries:
			text := string(d.Body)
			if seen[text] && d.Headers["x-leveret-redelivered"] != true {
				all.unmarked++
			}
			seen[text] = true
			all.add(text)
		case <-time.After(500 * time.Millisecond):
			if all.covers(book) {
				return all
			}
		case <-late:
			t.Fatalf("%s: %v; the shovel: %+v\n%s", queue, book.judge(&all.arrivals), shovelOf(t, g, "down"), g.proc.output())
		}
	}
}

// TestCommandsFromRabbitMQ: a queue of the cloud's RabbitMQ is emptied into the
// gateway over a link that is cut again and again, by a broker that is killed.
// Everything arrives in order; what comes twice says so, and a queue that looks
// at the message-id has it once.
func TestCommandsFromRabbitMQ(t *testing.T) {
	t.Parallel()
	const name = "interop.commands"
	up, link := cloudQueue(t, name, nil), freeAddr()
	args := []string{"-script", rough}
	if number(0, 1) == 1 { // with links that RabbitMQ takes for living ones
		args = []string{"-random", "60s", "-seed", "11"}
	}
	flaps := startUplink(t, link, lab.reference(t).addr, args...)
	g := openGateway(t, fmt.Sprintf(commandTopology, link, "queue = "+strconv.Quote(name)))
	book := newLedger()
	for batch := range commandBatches {
		command(t, up, book, "", name, batch*commandBatch+1, (batch+1)*commandBatch)
		if batch == commandBatches/2 {
			g.kill()
			g.mustStart(t)
		}
		time.Sleep(number2(150*time.Millisecond, 3*time.Second))
	}
	all := gather(t, g, book, "in")
	links := flaps.accepted(t)
	all.check(t, book, "in", (links+1)*commandWindow)
	once := gather(t, g, book, "once")
	once.check(t, book, "once", 0)
	if links < 3 {
		t.Errorf("nothing happened on %d connections", links)
	}
	until(t, 2*patience, "nothing is left at RabbitMQ", func() bool {
		n, err := queueDepth(lab.reference(t).url(), name)
		return err == nil && n == 0 && shovelOf(t, g, "down").State == "live"
	})
	g.mustStop(t)
	t.Logf("%d connections, 1 kill, %d duplicates, all marked", links, book.judge(&all.arrivals).duplicate)
}

// number2 is a pause: in a soak a longer one.
func number2(ci, soak time.Duration) time.Duration {
	return time.Duration(number(int(ci), int(soak)))
}

func (all *gathered) check(t *testing.T, book *ledger, queue string, duplicates int) {
	t.Helper()
	book.judge(&all.arrivals).check(t, queue, duplicates)
	if all.unmarked > 0 {
		t.Errorf("%s: %d came again without saying so", queue, all.unmarked)
	}
}

// TestBothWaysWithRabbitMQ: telemetry goes up and commands come down over one
// bad link, and what goes up is also routed to the queue that is taken from, which
// is a quorum queue. Each arrives at its place, once or marked, and nothing goes
// round.
func TestBothWaysWithRabbitMQ(t *testing.T) {
	t.Parallel()
	const exchange, far = "interop.site", "interop.telemetry"
	cloud := lab.reference(t)
	up, link := cloudQueue(t, far, nil), freeAddr()
	must(t, up.ExchangeDeclare(exchange, "topic", false, false, false, false, nil))
	t.Cleanup(func() { _ = up.ExchangeDelete(exchange, false, false) })
	must(t, up.QueueBind(far, "up.#", exchange, false, nil))
	flaps := startUplink(t, link, cloud.addr, "-script", rough)
	g := openGateway(t, fmt.Sprintf(commandTopology, link, fmt.Sprintf("exchange = %q, key = \"#\", arguments = { x-queue-type = \"quorum\", x-expires = 60000 }", exchange))+fmt.Sprintf(`
[[queue]]
name = "out"
[[shovel]]
name = "up"
prefetch = 64
reconnect_min = "50ms"
reconnect_max = "500ms"
source = { queue = "out" }
target = { uri = "amqp://guest:guest@%s/", exchange = %q, key = "up.x" }
`, link, exchange))
	until(t, patience, "the shovel takes from a queue of its own", func() bool { return shovelOf(t, g, "down").State == "live" })
	here, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer here.Close()
	site, err := here.Channel()
	must(t, err)
	must(t, site.Confirm(false))

	const last = 100
	commands, telemetry := newLedger(), newLedger()
	for n := 1; n <= last; n += last / 4 {
		command(t, up, commands, exchange, "down.x", n, n+last/4-1)
		command(t, site, telemetry, "", "out", n, n+last/4-1)
		time.Sleep(200 * time.Millisecond)
	}
	var arrived arrivals
	deliveries, err := up.Consume(far, "", true, false, false, false, nil)
	must(t, err)
	until(t, 2*patience, "the telemetry is in the cloud", func() bool {
		for {
			select {
			case d := <-deliveries:
				arrived.add(string(d.Body))
				continue
			default:
			}
			return arrived.covers(telemetry)
		}
	})
	links := flaps.accepted(t) + 1
	telemetry.judge(&arrived).check(t, "cloud", links*commandWindow)
	until(t, 2*patience, "what went up and came back is told", func() bool {
		return shovelOf(t, g, "down").Ignored >= commandSenders*last
	})
	gather(t, g, commands, "in").check(t, commands, "in", links*commandWindow)
	gather(t, g, commands, "once").check(t, commands, "once", 0)
}

// TestRabbitMQGetsBackWhatNobodyTakes: a message that no queue here takes is
// rejected into the dead letters over there, and what is behind it arrives.
func TestRabbitMQGetsBackWhatNobodyTakes(t *testing.T) {
	t.Parallel()
	const name, dead = "interop.poison", "interop.dead"
	graves := cloudQueue(t, dead, nil)
	up := cloudQueue(t, name, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	g := openGateway(t, fmt.Sprintf(`
[[queue]]
name = "in"
[[exchange]]
name = "kinds"
type = "headers"
[[binding]]
source = "kinds"
destination = "in"
arguments = { x-match = "all", kind = "known" }
[[shovel]]
name = "down"
refusal_tries = 2
reconnect_min = "50ms"
reconnect_max = "100ms"
source = { uri = %q, queue = %q, dead_letters = true }
target = { exchange = "kinds", mandatory = true }
`, lab.reference(t).url(), name))
	for i, kind := range []string{"known", "strange", "known"} {
		must(t, up.Publish("", name, true, false, amqp091.Publishing{
			DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{"kind": kind}, UserId: "guest", Body: fmt.Append(nil, i),
		}))
	}
	here, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer here.Close()
	ch, err := here.Channel()
	must(t, err)
	for _, want := range []string{"0", "2"} {
		until(t, patience, want+" comes", func() bool {
			d, ok, err := ch.Get("in", true)
			must(t, err)
			if ok && string(d.Body) != want && d.Headers["x-leveret-redelivered"] != true {
				t.Fatalf("came %q, want %q", d.Body, want)
			}
			if ok && (d.UserId != "" || d.Headers["x-leveret-user-id"] != "guest" || d.MessageId == "") {
				t.Errorf("user %q, id %q, headers %v", d.UserId, d.MessageId, d.Headers)
			}
			return ok && string(d.Body) == want
		})
	}
	until(t, patience, "the strange one is with the dead letters", func() bool {
		d, ok, err := graves.Get(dead, true)
		must(t, err)
		if ok && (string(d.Body) != "1" || d.Headers["x-first-death-reason"] != "rejected") {
			t.Errorf("the dead letter queue has %q, because of %v", d.Body, d.Headers["x-first-death-reason"])
		}
		return ok
	})
}

// TestStreamFromRabbitMQ: a stream, which keeps no place for its readers, is read
// on where it was after cuts and a kill.
func TestStreamFromRabbitMQ(t *testing.T) {
	t.Parallel()
	const name = "interop.stream"
	up, link := cloudQueue(t, name, amqp091.Table{"x-queue-type": "stream"}), freeAddr()
	flaps := startUplink(t, link, lab.reference(t).addr, "-script", rough)
	book := newLedger()
	command(t, up, book, "", name, 1, 50)
	g := openGateway(t, fmt.Sprintf(commandTopology, link, fmt.Sprintf("queue = %q, stream_offset = \"first\"", name)))
	until(t, 2*patience, "the stream has come", func() bool {
		n, err := queueDepth(g.amqp(), "once")
		return err == nil && n >= commandSenders*50
	})
	g.mustStop(t) // which notes the place
	g.mustStart(t)
	before := shovelOf(t, g, "down").Sent
	command(t, up, book, "", name, 51, 75)
	all := gather(t, g, book, "in")
	links := flaps.accepted(t) + 1
	all.check(t, book, "in", links*commandWindow)
	gather(t, g, book, "once").check(t, book, "once", 0)
	if before > commandWindow {
		t.Errorf("after a start %d messages came before there were new ones", before)
	}
	if s := shovelOf(t, g, "down"); !strings.HasPrefix(s.Source, "queue "+name+" at ") {
		t.Errorf("the status tells %+v", s)
	}
}
