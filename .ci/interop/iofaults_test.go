package interop

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ioFault is something that the disk does from some call on.
type ioFault struct {
	name  string
	fault string                // told to the disk
	call  func(diskStats) int64 // which calls are counted
	// once: only one call meets it, and all is well again before the broker
	// can look: the kernel tells of a lost page one time.
	once bool
}

func writes(s diskStats) int64 { return s.Writes }

// A full disk is not among them, see TestFullVolumes: this one answers a sync of
// mapped pages with an error where ext4 and tmpfs end the process, and Badger
// does not look at that error when it is a table of a compaction.
var ioFaults = []ioFault{
	{"one write fails", `{"write_eio":1}`, writes, true},
	{"one sync fails", `{"fsync_eio":1}`, diskStats.syncs, true},
	{"writes fail", `{"write_eio":1}`, writes, false},
	{"syncs fail", `{"fsync_eio":1}`, diskStats.syncs, false},
	{"the disk is read-only", `{"read_only":true}`, writes, false},
}

const (
	// ioCallMax is the highest call that meets a fault.
	ioCallMax = 200
	// ioSlow delays each call enough to tell one from the next.
	ioSlow = `{"fsync_delay_ns":1500000,"write_delay_ns":400000}`
	// ioLife is how long a broker on a disk with a lasting fault may go on
	// without a word about it.
	ioLife = 2500 * time.Millisecond
)

// TestIOFaults lets some call of a busy gateway's disk fail. The broker ends
// with the code that has systemd start it again, or goes on; it never confirms
// what is not there when the fault is over. Every second time the power is cut
// as well, so that nothing lives on in the page cache alone.
func TestIOFaults(t *testing.T) {
	rounds := number(30, 6*ioCallMax)
	perKind := max(1, rounds/len(ioFaults))
	for k, f := range ioFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // most of the time the delays are waited for
			d := serveDisk(t, "-meta", []string{"ext4", "strict"}[k%2], "-seed", strconv.Itoa(k+1))
			g, err := newGateway(d.dir, "profile = \"small\"\n")
			must(t, err)
			g.mustStart(t)
			defer func() { g.kill() }()
			ended := 0
			for i := range perKind {
				n := 1 + i*ioCallMax/perKind + k
				if ioRound(t, d, g, f, i, int64(n)) {
					ended++
				}
				if t.Failed() {
					t.Fatalf("at call %d:\n%s", n, g.proc.output())
				}
			}
			t.Logf("%d faults, %d ended the broker", perKind, ended)
			if ended == 0 {
				t.Error("no fault was noticed: the test meets the wrong calls")
			}
		})
	}
}

// ioRound loads the gateway, lets the n-th call meet the fault, lifts it, and
// judges what is there. It reports whether the broker ended by itself.
func ioRound(t *testing.T, d *simDisk, g *gateway, f ioFault, round int, n int64) (ended bool) {
	t.Helper()
	book := newLedger()
	l := &load{suffix: fmt.Sprint("-", round), promised: book.promise, settled: book.settle}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d.faults(t, ioSlow)
	before := f.call(d.stats(t))
	over := make(chan error, 1)
	go func() { over <- l.run(ctx, g) }()
	if !d.await(t, patience, func(s diskStats) bool { return f.call(s) >= before+n }) {
		t.Fatalf("the disk has not seen %d calls within %v", n, patience)
	}
	refused := d.stats(t).Eio
	d.faults(t, f.fault)
	if f.once {
		d.await(t, time.Second, func(s diskStats) bool { return s.Eio > refused })
		d.faults(t, noFaults)
	}
	select {
	case <-g.proc.done:
		ended = true
		checkEnd(t, g)
		if !f.once {
			restartInVain(t, g)
		}
	case <-time.After(ioLife):
	}
	d.faults(t, noFaults)
	if !ended && !resumed(book, g) {
		t.Errorf("the fault is over, and the broker neither confirms nor ends")
	}
	cancel()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatalf("the load did not end within %v", patience)
	}
	g.kill()
	if round%2 == 1 {
		d.cut(t, []string{"all", "random"}[round/2%2])
	}
	if g.mustStart(t); g.cost > openMax {
		t.Logf("started again with %v of processor time", g.cost)
	}
	for _, sensor := range []string{l.amqpSensor(), l.mqttSensor()} {
		book.offer(sensor, 1<<30)
	}
	var got arrivals
	must(t, drain(g.amqp(), &got))
	book.judge(&got).check(t, fmt.Sprintf("call %d", n), 0)
	return ended
}

// checkEnd looks how the broker ended: with a word on the disk, and with a code
// that systemd starts it again after, which a crash's is not.
func checkEnd(t *testing.T, g *gateway) {
	t.Helper()
	if code := g.proc.exitCode(); code != 1 || !strings.Contains(g.proc.output(), "spool failed") {
		t.Errorf("ended with code %d, want 1 and a word on the spool", code)
	}
}

// restartInVain starts the broker more often than a spool may fail before it is
// set aside: a disk that is ill says nothing against what is on it.
func restartInVain(t *testing.T, g *gateway) {
	t.Helper()
	for range 3 {
		if err := g.start(); err == nil { // full is not failed
			g.kill()
		} else if code := g.proc.exitCode(); code != 1 {
			t.Errorf("a start on the ill disk ended with code %d, want 1", code)
		}
	}
}

// resumed reports whether a broker confirms again, or has ended after all.
func resumed(book *ledger, g *gateway) bool {
	before := book.count()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if book.count() > before || g.alive() != nil {
			return true
		}
	}
	return false
}
