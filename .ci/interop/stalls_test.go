package interop

import (
	"context"
	"errors"
	"testing"
	"time"
)

// stallsMin is how often the disk has to stall, or nothing was tried.
const stallsMin = 3

// TestStalls gives the gateway a card that takes 20 ms for each sync and, while
// it tidies up, now and then 2 s more. With heartbeats of 10 s that is latency:
// nobody is disconnected, nothing is lost.
func TestStalls(t *testing.T) {
	t.Parallel()
	d := serveDisk(t)
	g, err := newGateway(d.dir, "profile = \"tiny\"\n")
	must(t, err)
	g.mustStart(t)
	defer func() { g.kill() }()
	d.faults(t, `{"fsync_delay_ns":20000000,"stall_every":29,"stall_time_ns":2000000000}`)
	before := d.stats(t).Stalls

	book := newLedger()
	slowest, last := time.Duration(0), time.Now()
	l := &load{settled: book.settle, promised: func(r reading) {
		book.promise(r)
		if r.sensor == "m" {
			slowest, last = max(slowest, time.Since(last)), time.Now()
		}
	}}
	length := time.Duration(number(15, 300)) * time.Second
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx, g) }()
	begun, stalls := time.Now(), int64(0)
	for late := begun.Add(length + patience); time.Since(begun) < length || stalls < stallsMin && time.Now().Before(late); {
		select {
		case err := <-ended:
			t.Fatalf("a client was cut off: %v\n%s", err, g.proc.output())
		case <-time.After(100 * time.Millisecond):
			stalls = d.stats(t).Stalls - before
		}
	}
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("a client was cut off: %v", err)
	}
	must(t, g.alive())
	t.Logf("%d stalls in %v, %d readings acknowledged, the longest wait for one %v", stalls, time.Since(begun).Round(time.Second), book.count(), slowest.Round(time.Millisecond))
	if stalls < stallsMin || slowest < 2*time.Second {
		t.Error("the disk did not stall under the clients")
	}
	d.faults(t, noFaults)
	g.kill()
	g.mustStart(t)
	drained(t, g, book)
}

var errEnough = errors.New("enough")
