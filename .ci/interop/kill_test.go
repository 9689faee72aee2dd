package interop

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// openMax is what a start after a kill may take with a few ten thousand
// messages stored.
const openMax = 2 * time.Second

// TestKills kills a busy broker twenty times on the same data. Whatever it
// acknowledged before any of the kills is there in the end.
func TestKills(t *testing.T) {
	g := openGateway(t, "")
	book := newLedger()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		work(t, g, book, i, time.Duration(200+random.IntN(400))*time.Millisecond, g.kill)
		if took := g.mustStart(t); took > openMax {
			t.Errorf("start %d took %v, want at most %v", i+1, took, openMax)
		}
	}
	drained(t, g, book)
}

// TestStopLosesNothing asks a busy broker to end: it does within its limit,
// cleanly, and the next start has what was acknowledged.
func TestStopLosesNothing(t *testing.T) {
	g := openGateway(t, "")
	book := newLedger()
	work(t, g, book, 0, time.Second, func() {
		began := time.Now()
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		t.Logf("ended %v after SIGTERM", time.Since(began).Round(time.Millisecond))
	})
	g.mustStart(t)
	drained(t, g, book)
}

// work loads the gateway for a time, ends the broker, and waits for the load
// to notice.
func work(t *testing.T, g *gateway, book *ledger, round int, d time.Duration, end func()) {
	t.Helper()
	l := &load{suffix: strconv.Itoa(round), promised: book.promise, settled: book.settle}
	book.offer(l.amqpSensor(), loadBatch)
	book.offer(l.mqttSensor(), loadBatch)
	before := book.count()
	ended := make(chan error, 1)
	go func() { ended <- l.run(context.Background(), g) }()
	select {
	case err := <-ended:
		t.Fatalf("round %d: the load ended before the broker: %v", round, err)
	case <-time.After(d):
	}
	end()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("round %d: the load did not notice the broker's end within 20 s", round)
	}
	if book.count() == before {
		t.Errorf("round %d: nothing was acknowledged", round)
	}
}

// drained judges what is left in the gateway.
func drained(t *testing.T, g *gateway, book *ledger) {
	t.Helper()
	for r := range book.promised {
		book.offer(r.sensor, r.n+loadBatch)
	}
	var got arrivals
	must(t, drain(g.amqp(), &got))
	book.judge(&got).check(t, "what is left", 0)
	g.mustStop(t)
}
