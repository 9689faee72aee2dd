package interop

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestSpool32 has a spool near the bound of boards with 32 bits written by this
// machine and opened by the binary for ARM under an emulator, whose address space
// is that of a kernel with 64 bits, 4 GB: all files are mapped. It delivers from
// it, and takes no more than its bound, whatever it is told. With SOAK the spool
// is as large as it may be.
func TestSpool32(t *testing.T) {
	size := number(64<<20, 1400<<20)
	const body = 256 << 10
	dir := t.TempDir()
	g, err := newGateway(dir, "profile = \"server\"\n[spool]\nmax_bytes = \"8GiB\"\n")
	must(t, err)
	g.mustStart(t)
	t.Cleanup(func() { g.kill() })
	conn, ch, err := confirming(t.Context(), g)
	must(t, err)
	_, err = ch.QueueDeclare(bulkQueue, true, false, false, false, nil)
	must(t, err)
	sent := 0
	for ; sent*body < size; sent += 16 {
		must(t, publishConfirmed(t.Context(), ch, "", bulkBody(body), 16))
	}
	conn.Close()
	g.mustStop(t)

	arm := os.Getenv("LEVERET_ARM")
	if arm == "" {
		arm = filepath.Join(lab.dir, "leveret-arm")
		_, err = goCommand(filepath.Join("..", ".."), []string{"CGO_ENABLED=0", "GOARCH=arm", "GOARM=6"}, "build", "-o", arm, "./cmd/leveret")
		must(t, err)
	}
	t.Setenv("LEVERET", arm)
	t.Setenv("LAUNCH", "qemu-arm-static -cpu arm1176")
	took := g.mustStart(t)
	budget := metric(t, g, "leveret_spool_budget_bytes")
	disk := metric(t, g, "leveret_spool_disk_bytes")
	t.Logf("%.0f MiB opened in %v, budget %.0f MiB", disk/(1<<20), took.Round(time.Millisecond), budget/(1<<20))
	if budget != 1536<<20 {
		t.Errorf("the budget is %.0f bytes, want 1536 MiB in place of 8 GiB", budget)
	}
	in, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer in.Close()
	from, err := in.Channel()
	must(t, err)
	for i := range 20 {
		d, ok, err := from.Get(bulkQueue, true)
		if err != nil || !ok || !soundBulk(d.Body) {
			t.Fatalf("message %d: %v %v, %d bytes", i, ok, err, len(d.Body))
		}
	}
	if depth, err := queueDepth(g.amqp(), bulkQueue); err != nil || depth != sent-20 {
		t.Errorf("%d messages are left (%v), want %d", depth, err, sent-20)
	}
	if number(0, 1) == 1 {
		fillToBound(t, g)
	}
	must(t, g.alive())
	g.mustStop(t)
}

// fillToBound publishes until nothing is taken any more. The connection ends
// with the broker: amqp091-go panics when it is told to wait while it closes.
func fillToBound(t *testing.T, g *gateway) {
	t.Helper()
	_, ch, err := confirming(context.Background(), g)
	must(t, err)
	f := &filler{}
	go func() { _ = f.run(context.Background(), ch) }()
	last := int64(-1)
	until(t, 5*time.Minute, "the spool takes no more", func() bool {
		before := last
		time.Sleep(5 * time.Second)
		last = f.n.Load()
		return last == before
	})
	used := metric(t, g, "leveret_spool_disk_bytes")
	t.Logf("full at %.0f MiB after %d more messages of %d bytes", used/(1<<20), last, bulkBytes)
	if used < 1400<<20 || used > 1600<<20 {
		t.Errorf("full at %.0f MiB", used/(1<<20))
	}
}
