package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSpoolCuts cuts the power under the spool alone: what it said to have left
// must not come back, besides what it said to have. Its own tests are the writer
// and the verifier. SPOOL_CUTS asks for so many rounds of each kind.
func TestSpoolCuts(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "disk.test")
	runCommand(t, 5*time.Minute, "", exec.Command("go", "test", "-c", "-o", bin, "leveret/spool/disk"))
	for _, tt := range []struct {
		name     string
		rounds   int
		writer   string
		verifier string
		flags    []string
	}{
		{"ext4 names", 6, "", "1", []string{"-meta", "ext4", "-loss", "random"}},
		{"strict names", 10, "", "1", []string{"-meta", "strict", "-loss", "random"}},
		{"real ext4", 4, "", "1", []string{"-block", "200000000", "-loss", "random"}},
		// Cut again and again while it opens what the last cut left.
		{"strict names, at the start", 20, "LEVERET_SPOOL_EARLY=1 ", "copy", []string{
			"-meta", "strict", "-loss", "random", "-fresh=false", "-min", "1ms", "-max", "400ms"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rounds := tt.rounds
			if s := os.Getenv("SPOOL_CUTS"); s != "" {
				n, err := strconv.Atoi(s)
				must(t, err)
				rounds = n
			}
			dir := filepath.Join(t.TempDir(), "disk")
			t.Cleanup(func() { // only needed when cutpower itself was killed
				for _, mount := range []string{dir, dir + ".img"} {
					_ = exec.Command("umount", "-l", mount).Run()
				}
			})
			args := append([]string{
				"run", "-rounds", strconv.Itoa(rounds), "-min", "200ms", "-max", "1200ms", "-dir", dir,
				"-writer", tt.writer + "LEVERET_SPOOL_CHILD=$DIR/spool exec " + bin + " -test.run='^$'",
				"-verifier", "LEVERET_SPOOL_CUT=" + tt.verifier + " exec " + bin + " -test.run='^$'",
			}, tt.flags...)
			out, _ := runCommand(t, time.Duration(rounds)*30*time.Second, "", exec.Command(lab.tool(t, "cutpower", "./cmd/cutpower"), args...))
			_, report, ok := strings.Cut(out, "{\n")
			var got cutReport
			if !ok || json.NewDecoder(strings.NewReader("{\n"+report)).Decode(&got) != nil {
				t.Fatalf("cutpower gave no report:\n%s", out)
			}
			t.Logf("%d cuts, %d promises, %d rounds failed", got.Rounds, got.Promises, got.Failed)
			if got.Rounds != rounds || got.Failed > 0 || got.Promises < 10*rounds {
				t.Errorf("%d rounds of %d, %d promises, failed: %s", got.Rounds, rounds, got.Promises, strings.Join(got.FailedRounds, "\n"))
			}
		})
	}
}
