package interop

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestRepeatsAreKnownAfterKills publishes marked messages, consumes some, and
// kills the broker while more are under way, several times. After each kill the
// publisher, who does not know which of the last ones arrived, sends the last
// thousand again: those that were confirmed, consumed or not, are taken once.
func TestRepeatsAreKnownAfterKills(t *testing.T) {
	const (
		kills  = 8
		round  = 1000
		window = 4 * round
	)
	g := openGateway(t, "")
	random := rand.New(rand.NewPCG(3, 4))
	seen := make(map[string]int)
	confirmed := 0
	for i := range kills + 1 {
		conn, ch, err := confirming(t.Context(), g)
		must(t, err)
		_, err = ch.QueueDeclare("once", true, false, false, false, amqp091.Table{
			"x-message-deduplication": true, "x-cache-size": int32(window),
		})
		must(t, err)
		// What is sent again, and then what is new.
		must(t, publishMarked(ch, max(0, confirmed-round), confirmed+round, func(n int) { confirmed = max(confirmed, n) }))
		for range round / 2 {
			m, ok, err := ch.Get("once", true)
			must(t, err)
			if !ok {
				break
			}
			seen[string(m.Body)]++
		}
		if i == kills {
			drainInto(t, ch, seen)
			must(t, conn.Close())
			break
		}
		// What was consumed is gone for good with the next confirm.
		must(t, publishMarked(ch, confirmed, confirmed+1, func(n int) { confirmed = max(confirmed, n) }))
		time.AfterFunc(time.Duration(random.IntN(20_000))*time.Microsecond, g.kill)
		// The kill comes into the middle of these.
		_ = publishMarked(ch, confirmed, confirmed+20*round, func(n int) { confirmed = max(confirmed, n) })
		<-g.proc.done
		conn.Close()
		g.mustStart(t)
	}
	for n := range confirmed {
		if c := seen[fmt.Sprint(n)]; c == 0 {
			t.Fatalf("message %d of %d that were confirmed is not there", n, confirmed)
		}
	}
	twice := 0
	for body, c := range seen {
		if c > 1 {
			twice++
			t.Errorf("message %s came %d times", body, c)
			if twice > 5 {
				break
			}
		}
	}
	t.Logf("%d messages over %d kills", confirmed, kills)
}

// publishMarked publishes the messages first to end-1 in groups, and tells how
// far they are confirmed.
func publishMarked(ch *amqp091.Channel, first, end int, told func(upTo int)) error {
	for n := first; n < end; {
		var last *amqp091.DeferredConfirmation
		for range 50 {
			c, err := ch.PublishWithDeferredConfirm("", "once", false, false, amqp091.Publishing{
				DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{"x-deduplication-header": int32(n)}, Body: fmt.Append(nil, n),
			})
			if err != nil {
				return err
			}
			last = c
			if n++; n == end {
				break
			}
		}
		select {
		case <-last.Done():
			if !last.Acked() {
				return fmt.Errorf("message %d is not confirmed", n-1)
			}
		case <-time.After(patience):
			return fmt.Errorf("message %d is not confirmed in time", n-1)
		}
		told(n)
	}
	return nil
}

func drainInto(t *testing.T, ch *amqp091.Channel, seen map[string]int) {
	for {
		m, ok, err := ch.Get("once", true)
		must(t, err)
		if !ok {
			return
		}
		seen[string(m.Body)]++
	}
}
