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
			for i, try := range rabbitTries {
				if unlike {
					try.limit /= 2 // it will not say what is waited for
				}
				if c.Fresh { // who is refused hears of it after three seconds
					try.limit = max(try.limit, 5*time.Second)
				}
				before := differs
				if differs = playToRabbit(t, r, &c, try); differs == "" && i > 0 {
					t.Logf("SECOND TRY: RabbitMQ agrees at try %d; before that:\n%s", i+1, before)
				}
				if differs == "" || unlike {
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

// rabbitTry is how long RabbitMQ's answer is waited for, and the pause after each
// step.
type rabbitTry struct{ limit, pace time.Duration }

// rabbitTries are made until it says what we say. On a busy machine it is slow,
// what it tells queues by the way is not ordered, and who asks for a queue that is
// just ending may be answered by an internal error.
var rabbitTries = []rabbitTry{
	{2500 * time.Millisecond, 15 * time.Millisecond},
	{5 * time.Second, 15 * time.Millisecond},
	{10 * time.Second, 150 * time.Millisecond},
	{10 * time.Second, 500 * time.Millisecond},
}

// playToRabbit has a conversation and says where RabbitMQ differs from us.
func playToRabbit(t *testing.T, r *rabbit, c *amqptest.Conversation, try rabbitTry) (differs string) {
	defer cleanUp(t, r, c)
	heard, peers := c.Play(func(user string) *amqptest.Peer { return dialAs(t, r.addr, user, try.pace) },
		func(p *amqptest.Peer, lines int) { heardAll(p, lines, try.limit) })
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

func dialAs(t *testing.T, addr, user string, pace time.Duration) *amqptest.Peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	p := amqptest.NewPeer(nc)
	p.Pace = pace
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
