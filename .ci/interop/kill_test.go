package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// openMax is the processor time that a start after a kill may take with a few
// ten thousand messages stored: what it costs, on a busy machine and on a quiet
// one.
const openMax = 2 * time.Second

// TestKills kills a busy broker (mix_test.go) twenty times on the same data,
// with a budget so small that its files are being rewritten most of the time.
// Whatever it acknowledged before any of the kills is there in the end, and
// after each of them the topology is as it was said to be, and QoS 2 goes on
// without a duplicate.
func TestKills(t *testing.T) {
	g := openGateway(t, "profile = \"small\"\n[spool]\nmax_bytes = \"16MiB\"\n")
	book := newLedger()
	random := rand.New(rand.NewPCG(1, 2))
	before := 0.0
	for i := range number(20, 200) {
		rest := work(t, g, book, i, time.Duration(200+random.IntN(400))*time.Millisecond, func() {
			before = max(before, metric(t, g, "leveret_spool_disk_bytes"))
			g.kill()
		})
		if g.mustStart(t); g.cost > openLimit(book.count()) {
			t.Errorf("start %d took %v of processor time, want at most %v", i+1, g.cost, openLimit(book.count()))
		}
		must(t, drainBulk(g))
		must(t, rest.finishExact(g, book))
		must(t, rest.check(g))
	}
	t.Logf("up to %.1f MiB on the disk", before/(1<<20))
	drained(t, g, book)
}

// TestStopLosesNothing asks a busy broker to end: it does within the time that
// the service manager gives it, cleanly, and the next start has what was
// acknowledged.
func TestStopLosesNothing(t *testing.T) {
	g := openGateway(t, "")
	book := newLedger()
	rest := work(t, g, book, 0, time.Second, func() {
		began := time.Now()
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		t.Logf("ended %v after SIGTERM", time.Since(began).Round(time.Millisecond))
	})
	g.mustStart(t)
	must(t, rest.finishExact(g, book))
	must(t, rest.check(g))
	drained(t, g, book)
}

// work loads the gateway for a time, and until something is acknowledged, ends
// the broker, and waits for the load to notice.
func work(t *testing.T, g *gateway, book *ledger, round int, d time.Duration, end func()) *errands {
	t.Helper()
	rest := newErrands()
	var mu sync.Mutex // protects rest
	m := &mix{
		load: load{suffix: strconv.Itoa(round), promised: book.promise, settled: book.settle},
		say: func(format string, args ...any) {
			line := fmt.Sprintf(format, args...)
			if strings.HasPrefix(line, "failed:") {
				t.Error(line)
			}
			book.note(line)
			mu.Lock()
			defer mu.Unlock()
			rest.note(line)
		},
	}
	book.offer(m.amqpSensor(), loadBatch)
	book.offer(m.mqttSensor(), loadBatch)
	before := book.count()
	ended := make(chan error, 1)
	go func() { ended <- m.run(context.Background(), g) }()
	begun := time.After(d)
	for late := time.After(patience); begun != nil || book.count() == before; {
		select {
		case err := <-ended:
			t.Fatalf("round %d: the load ended before the broker: %v", round, err)
		case <-begun:
			begun = nil
		case <-time.After(10 * time.Millisecond):
		case <-late:
			t.Fatalf("round %d: nothing was acknowledged within %v", round, patience)
		}
	}
	end()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("round %d: the load did not notice the broker's end within %v", round, patience)
	}
	return rest
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
