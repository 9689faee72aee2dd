package interop

import (
	"regexp"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// rabbitmqadmin's answers are compared when RabbitMQ has collected its figures,
// which it does every five seconds.
const figuresWithin = patience

// TestRabbitMQAdmin: what an operator is used to ask RabbitMQ's own command-line
// tool shows the same of us, column by column, and closes and purges the same.
func TestRabbitMQAdmin(t *testing.T) {
	g, ref := openGateway(t, "amqp.channels_max = 2047\n"), lab.reference(t)
	brokers := []*operated{
		{t: t, url: g.amqp(), admin: g.doors["admin"]},
		{t: t, url: ref.url(), admin: ref.admin},
	}
	for _, b := range brokers {
		b.fill()
	}
	for _, args := range []string{
		"list queues name messages messages_ready messages_unacknowledged consumers durable auto_delete exclusive state type",
		"list connections user vhost user_provided_name protocol state channels peer_host auth_mechanism channel_max frame_max ssl type send_pend user_who_performed_action",
		"list channels name number user vhost consumer_count messages_unacknowledged prefetch_count global_prefetch_count confirm transactional messages_unconfirmed messages_uncommitted acks_uncommitted state connection_details.peer_host user_who_performed_action",
		"list consumers consumer_tag ack_required exclusive prefetch_count active queue.name channel_details.number",
		"list bindings source destination destination_type routing_key",
		"list vhosts name messages tracing",
		"show overview queue_totals.messages object_totals.queues object_totals.connections object_totals.channels object_totals.consumers",
		"list nodes running type",
	} {
		same(t, args, brokers)
	}
	for _, b := range brokers {
		b.must("purge", "queue", "name=interop.admin.ready")
		b.must("close", "connection", "name="+b.connection())
		select {
		case err := <-b.ended:
			if err == nil || err.Code != 320 || err.Reason != "CONNECTION_FORCED - Closed via management plugin" {
				t.Errorf("the client of %s heard %v", b.admin, err)
			}
		case <-time.After(patience):
			t.Errorf("the client of %s heard nothing", b.admin)
		}
	}
	same(t, "list queues name messages", brokers)
	same(t, "list connections name", brokers)
	for _, b := range brokers {
		b.clean()
	}
}

// operated is a broker with one client and some queues.
type operated struct {
	t     *testing.T
	url   string
	admin string
	ended chan *amqp091.Error
}

func (b *operated) fill() {
	b.t.Helper()
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName("interop-admin")
	conn, err := amqp091.DialConfig(b.url, amqp091.Config{Properties: properties})
	must(b.t, err)
	b.t.Cleanup(func() { conn.Close() })
	b.ended = conn.NotifyClose(make(chan *amqp091.Error, 1))
	ch, err := conn.Channel()
	must(b.t, err)
	for name, durable := range map[string]bool{"interop.admin.ready": true, "interop.admin.busy": false} {
		_, err := ch.QueueDeclare(name, durable, false, false, false, nil)
		must(b.t, err)
		must(b.t, ch.QueueBind(name, name+".#", "amq.topic", false, nil))
		must(b.t, ch.Confirm(false))
		for range 3 {
			c, err := ch.PublishWithDeferredConfirm("", name, false, false, amqp091.Publishing{Body: []byte("b")})
			must(b.t, err)
			c.Wait()
		}
	}
	must(b.t, ch.Qos(2, 0, false))
	deliveries, err := ch.Consume("interop.admin.busy", "interop", false, false, false, false, nil)
	must(b.t, err)
	<-deliveries
	<-deliveries
}

func (b *operated) clean() {
	b.t.Helper()
	conn, err := amqp091.Dial(b.url)
	must(b.t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(b.t, err)
	for _, name := range []string{"interop.admin.ready", "interop.admin.busy"} {
		_, err := ch.QueueDelete(name, false, false, false)
		must(b.t, err)
	}
}

func (b *operated) must(args ...string) string {
	b.t.Helper()
	out, code := run(b.t, patience, "", "rabbitmqadmin", append([]string{"-H", "127.0.0.1", "-P", port(b.admin), "-u", "guest", "-p", "guest"}, args...)...)
	if code != 0 {
		b.t.Fatalf("rabbitmqadmin %s against %s ended with %d:\n%s", strings.Join(args, " "), b.admin, code, out)
	}
	return out
}

// connection is the name of the client's connection.
func (b *operated) connection() string {
	b.t.Helper()
	lines := strings.Split(strings.TrimSpace(b.must("-f", "tsv", "list", "connections", "name")), "\n")
	return lines[len(lines)-1]
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// shown is what the tool shows, without what is another's at each broker:
// addresses, and queues and bindings that are not of this test.
func (b *operated) shown(args string) string {
	b.t.Helper()
	words := append([]string{"-f", "tsv"}, strings.Fields(args)...)
	var kept []string
	for line := range strings.Lines(b.must(words...)) {
		line = strings.TrimSpace(address.ReplaceAllString(line, "ADDRESS"))
		if strings.HasPrefix(args, "list queues") && len(kept) > 0 && !strings.HasPrefix(line, "interop.admin.") {
			continue
		}
		if strings.HasPrefix(args, "list bindings") && len(kept) > 0 && !strings.Contains(line, "interop.admin.") {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func same(t *testing.T, args string, brokers []*operated) {
	t.Helper()
	var ours, theirs string
	for end := time.Now().Add(figuresWithin); time.Now().Before(end); time.Sleep(time.Second) {
		if ours, theirs = brokers[0].shown(args), brokers[1].shown(args); ours == theirs {
			t.Logf("rabbitmqadmin %s:\n%s", args, ours)
			return
		}
	}
	t.Errorf("rabbitmqadmin %s:\n%s\nRabbitMQ:\n%s", args, ours, theirs)
}
