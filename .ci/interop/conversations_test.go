package interop

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/amqp/amqptest"
	"leveret/amqp/wire091"
)

// TestConversationsWithRabbitMQ has the conversations that leveret's door is
// held to (amqptest) with RabbitMQ: what is expected of ours is what it says,
// but where unlikeRabbitMQ gives a reason; and those reasons must still be true.
func TestConversationsWithRabbitMQ(t *testing.T) {
	t.Parallel()
	r := lab.reference(t)
	for _, c := range amqptest.All() {
		reason, unlike := unlikeRabbitMQ[c.Name]
		t.Run(c.Name, func(t *testing.T) {
			if c.Fresh { // it lets who is refused wait, and there is nothing to share
				t.Parallel()
			}
			differs := ""
			for _, limit := range rabbitLimits {
				if unlike {
					limit /= 2 // it will not say what is waited for
				}
				if c.Fresh { // who is refused hears of it after three seconds
					limit = max(limit, 5*time.Second)
				}
				// It may have been slow: what it tells queues by the way is not ordered.
				if differs = playToRabbit(t, r, &c, limit); differs == "" || unlike {
					break
				}
			}
			switch {
			case differs != "" && !unlike:
				t.Error(differs)
			case differs == "" && unlike:
				t.Errorf("RabbitMQ says the same, against: %s", reason)
			}
		})
	}
	for name := range unlikeRabbitMQ {
		if !slices.ContainsFunc(amqptest.All(), func(c amqptest.Conversation) bool { return c.Name == name }) {
			t.Errorf("there is no conversation %q to differ in", name)
		}
	}
}

// rabbitLimits are how long each of the tries at a conversation waits for an
// answer of RabbitMQ's.
var rabbitLimits = []time.Duration{2500 * time.Millisecond, 5 * time.Second, 10 * time.Second}

// playToRabbit has a conversation and says where RabbitMQ differs from us.
func playToRabbit(t *testing.T, r *rabbit, c *amqptest.Conversation, limit time.Duration) (differs string) {
	defer cleanUp(t, r, c)
	heard, peers := c.Play(func(user string) *amqptest.Peer { return dialAs(t, r.addr, user) },
		func(p *amqptest.Peer, lines int) { heardAll(p, lines, limit) })
	for _, p := range peers {
		p.NC.Close()
	}
	for i, turn := range c.Turns {
		if want, got := common(turn.Want), common(heard[i]); got != want {
			differs += fmt.Sprintf("turn %d: RabbitMQ says:\n%s\nours:\n%s\n", i+1, got, want)
		}
	}
	return differs
}

// heardAll waits for so many lines, and then for one more that should not come.
func heardAll(p *amqptest.Peer, lines int, limit time.Duration) {
	for end := time.Now().Add(limit); p.Lines() < lines && !p.Gone() && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(60 * time.Millisecond)
}

func dialAs(t *testing.T, addr, user string) *amqptest.Peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	p := amqptest.NewPeer(nc)
	p.Pace = 15 * time.Millisecond
	password := amqptest.Password
	switch user {
	case "":
		return p
	case "guest":
		password = "guest"
	}
	p.Do(amqptest.Header091, amqptest.StartOk(user, password), amqptest.TuneOk, amqptest.OpenVHost, &wire091.ChannelOpen{})
	heardAll(p, 4, patience)
	if got := p.Take(); len(got) != 4 {
		t.Fatalf("opening as %q: %q", user, got)
	}
	return p
}

// cleanUp deletes what a conversation may have left.
func cleanUp(t *testing.T, r *rabbit, c *amqptest.Conversation) {
	conn, err := amqp091.Dial(r.url())
	must(t, err)
	defer conn.Close()
	queues, exchanges := c.Names()
	for _, name := range queues {
		if ch, err := conn.Channel(); err == nil && name != "" {
			_, _ = ch.QueueDelete(name, false, false, false)
			_ = ch.Close()
		}
	}
	for _, name := range exchanges {
		if ch, err := conn.Channel(); err == nil && name != "" && !strings.HasPrefix(name, "amq.") {
			_ = ch.ExchangeDelete(name, false, false)
			_ = ch.Close()
		}
	}
}

var (
	whichAccess = regexp.MustCompile(`(configure|write|read) (access to )`) // newer versions say which
	nackFlags   = regexp.MustCompile(`(?m)^(\d+ basic\.nack \d+) \w+ \w+$`) // they mean nothing in this direction
	lastDeath   = regexp.MustCompile(` x-last-death-\w+=\S*`)               // newer versions have them
	ackRun      = regexp.MustCompile(`(?m)^(\d+) basic\.ack \d+ \w+\n(?:\d+ basic\.ack \d+ \w+\n)*(\d+ basic\.ack (\d+)) \w+$`)
	oneAck      = regexp.MustCompile(`(?m)^(\d+ basic\.ack \d+) \w+$`)
)

// common is what two brokers must say alike: they may confirm messages one by
// one or several at once, and name their mechanisms in any order.
func common(lines string) string {
	lines = lastDeath.ReplaceAllString(amqptest.Unindent(lines), "")
	lines = ackRun.ReplaceAllString(lines, "$2")
	lines = oneAck.ReplaceAllString(lines, "$1")
	lines = whichAccess.ReplaceAllString(lines, "$2")
	lines = nackFlags.ReplaceAllString(lines, "$1")
	return strings.ReplaceAll(lines, "connection.start AMQPLAIN PLAIN", "connection.start PLAIN AMQPLAIN")
}
