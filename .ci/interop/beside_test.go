package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	besideRounds  = 3
	besideSize    = 1000
	besideWindow  = 1000
	besideBlock   = 64 << 10 // of the file: written and synced at a time
	besideShare   = 0.5      // of the file's rate, at least
	besideQueue   = "beside"
	besideBlocks  = 400
	besidePublish = 25_000
)

// TestPublishBesideAFile publishes with confirms, a thousand messages of 1 kB in
// flight, in turn with a plain file to which blocks of 64 KiB are appended and
// synced, on the same disk. Both are bytes a second that are on the disk. What the
// ratio is CI only tells, as other work on the machine takes from both unlike.
func TestPublishBesideAFile(t *testing.T) {
	dir := t.TempDir()
	for _, profile := range []string{"tiny", "small", "server"} {
		t.Run(profile, func(t *testing.T) {
			must(t, os.Mkdir(filepath.Join(dir, profile), 0o700))
			g, err := newGateway(filepath.Join(dir, profile), fmt.Sprintf("profile = %q\n", profile))
			must(t, err)
			g.mustStart(t)
			defer func() { g.kill() }()
			r, err := dialRaw(g.doors["amqp"], besideQueue)
			must(t, err)
			defer r.close()
			blocks, publish := number(besideBlocks, 4*besideBlocks), number(besidePublish, 4*besidePublish)
			var file, spool, ratio []float64
			for range besideRounds {
				f := appendRate(t, filepath.Join(dir, "plain"), blocks)
				began := time.Now()
				must(t, r.fill(publish, besideSize, besideWindow))
				s := float64(publish) * besideSize / time.Since(began).Seconds()
				file, spool, ratio = append(file, f), append(spool, s), append(ratio, s/f)
			}
			t.Logf("%s: %.0f messages a second with confirms; a plain file %.1f MB/s; ratios %.2f, median %.2f",
				profile, median(spool)/besideSize, median(file)/1e6, ratio, median(ratio))
			if soaks() && median(ratio) < besideShare {
				t.Errorf("%s: %.2f of the file's rate, want at least %.2f", profile, median(ratio), besideShare)
			}
		})
	}
}

// appendRate is how many bytes a second a plain file takes.
func appendRate(t *testing.T, path string, blocks int) float64 {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, besideBlock)
	began := time.Now()
	for range blocks {
		_, err := f.Write(block)
		must(t, err)
		must(t, unix.Fdatasync(int(f.Fd())))
	}
	return float64(blocks) * besideBlock / time.Since(began).Seconds()
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
