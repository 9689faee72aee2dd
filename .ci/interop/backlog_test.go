package interop

import (
	"fmt"
	"os"
	"testing"
	"time"
)

const (
	backlogMessages = 1_000_000
	backlogSize     = 200
	backlogQueue    = "backlog"
	backlogWindow   = 5000

	backlogRSSMax   = 32 << 20 // of tiny, the broker with all it does
	firstMax        = 450 * time.Millisecond
	drainRateMin    = 300_000
	backlogKeptFree = 64 << 20 // on the disk, when all was consumed
)

// TestBacklog leaves a million messages that do not pack in a queue, starts the
// broker anew and drains it: in profile tiny, which has to hold its memory in all
// of that. In a soak it is every profile, and time and rate count as well.
func TestBacklog(t *testing.T) {
	profiles := []string{"tiny"}
	if soaks() {
		profiles = []string{"tiny", "small", "server"}
	}
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) { backlog(t, profile) })
	}
}

func backlog(t *testing.T, profile string) {
	g := openGateway(t, fmt.Sprintf("profile = %q\n", profile))
	var peaks []int64
	phase := func() { peaks = append(peaks, g.peakSince(t)) }

	in, err := dialRaw(g.doors["amqp"], backlogQueue)
	must(t, err)
	defer in.close()
	began, wrote := time.Now(), g.proc.written()
	must(t, in.fill(backlogMessages, backlogSize, backlogWindow))
	filled, fillBytes := time.Since(began), g.proc.written()-wrote
	phase()
	in.close()
	g.mustStop(t)

	began = time.Now()
	g.mustStart(t)
	out, err := dialRaw(g.doors["amqp"], backlogQueue)
	must(t, err)
	defer out.close()
	must(t, out.consume(1000))
	must(t, out.drain(1, 0))
	first := time.Since(began)
	phase()
	began, wrote = time.Now(), g.proc.written()
	must(t, out.drain(backlogMessages-1, 100))
	drained := time.Since(began)
	phase()
	until(t, 3*patience, "the space of what was consumed comes back", func() bool {
		return metric(t, g, "leveret_spool_disk_bytes") < backlogKeptFree
	})
	drainBytes := g.proc.written() - wrote
	phase()

	rate := func(d time.Duration) float64 { return backlogMessages / d.Seconds() }
	t.Logf("%s: publish %.0f/s and %d B each; first delivery %v after the start; drain %.0f/s and %d B each",
		profile, rate(filled), fillBytes/backlogMessages, first.Round(time.Millisecond), rate(drained), drainBytes/backlogMessages)
	t.Logf("%s: peak RSS in MiB: fill %.1f, start %.1f, drain %.1f, space won back %.1f",
		profile, mib(peaks[0]), mib(peaks[1]), mib(peaks[2]), mib(peaks[3]))
	for _, peak := range peaks {
		if profile == "tiny" && peak >= backlogRSSMax {
			t.Errorf("%.1f MiB were resident, want less than %d", mib(peak), backlogRSSMax>>20)
		}
	}
	if !soaks() {
		return // how fast it is nobody can say on a machine with other work
	}
	if first > firstMax {
		t.Errorf("the first delivery came %v after the start, want at most %v", first, firstMax)
	}
	if rate(drained) < drainRateMin {
		t.Errorf("%.0f messages a second were drained, want at least %d", rate(drained), drainRateMin)
	}
}

func soaks() bool { return os.Getenv("SOAK") != "" }

func mib(n int64) float64 { return float64(n) / (1 << 20) }
