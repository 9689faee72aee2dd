package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPowerCuts cuts the power of a disk under a busy gateway. After each cut
// the gateway must open by itself and have every reading that it acknowledged
// and that no consumer acknowledged, in each sensor's order.
//
// The writer and the verifier are this test binary in another role, started by
// cutpower with $DIR and $ACKS in the environment.
func TestPowerCuts(t *testing.T) {
	tests := []struct {
		name    string
		profile string
		rounds  int
		flags   []string
	}{
		{"ext4 names, random loss", "server", 20, []string{"-meta", "ext4", "-loss", "random"}},
		{"ext4 names, all loss", "small", 10, []string{"-meta", "ext4", "-loss", "all"}},
		{"strict names", "server", 15, []string{"-meta", "strict", "-loss", "random"}},
		{"real ext4", "tiny", 15, []string{"-block", "200000000", "-loss", "random"}}, // a small volume
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := cut(t, "writer", tt.profile, tt.rounds, tt.flags...)
			t.Logf("%d cuts, %d promises, %d rounds failed", got.Rounds, got.Promises, got.Failed)
			if got.Rounds != tt.rounds || got.Failed > 0 {
				t.Errorf("%d rounds of %d, failed: %s", got.Rounds, tt.rounds, strings.Join(got.FailedRounds, "\n"))
			}
			if got.Promises < tt.rounds*loadBatch {
				t.Errorf("only %d promises in %d rounds: the writer hardly wrote", got.Promises, tt.rounds)
			}
		})
	}
}

// TestPowerCutsCatchALiar shows that the check can fail: a writer that takes
// its own word for the broker's must be found out.
func TestPowerCutsCatchALiar(t *testing.T) {
	if got := cut(t, "liar", "tiny", 6, "-loss", "all"); got.Failed == 0 {
		t.Errorf("%d promises of a liar in %d cuts, and none was found missing", got.Promises, got.Rounds)
	}
}

type cutReport struct {
	Rounds, Failed, Promises int
	FailedRounds             []string
}

// cut runs so many rounds with a fresh disk for each.
func cut(t *testing.T, role, profile string, rounds int, flags ...string) (report cutReport) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	dir := filepath.Join(t.TempDir(), "disk")
	t.Cleanup(func() { // only needed when cutpower itself was killed
		for _, mount := range []string{dir, dir + ".img"} {
			_ = exec.Command("umount", "-l", mount).Run()
		}
	})
	// exec keeps the writer and its broker in the process group that is killed
	args := append([]string{
		"run", "-rounds", strconv.Itoa(rounds), "-min", "200ms", "-max", "1s", "-dir", dir,
		"-writer", "INTEROP_ROLE=" + role + " exec " + self,
		"-verifier", "INTEROP_ROLE=verifier exec " + self,
	}, flags...)
	cmd := exec.Command(lab.tool(t, "cutpower", "./cmd/cutpower"), args...)
	cmd.Env = append(os.Environ(), "INTEROP_PROFILE="+profile)
	out, _ := runCommand(t, time.Duration(rounds)*30*time.Second, "", cmd)
	start := strings.Index(out, "{\n")
	if start < 0 {
		t.Fatalf("cutpower gave no report:\n%s", out)
	}
	if err := json.NewDecoder(strings.NewReader(out[start:])).Decode(&report); err != nil {
		t.Fatalf("cutpower's report: %v:\n%s", err, out)
	}
	return report
}

// play is the binary in another role; what it returns is its exit code.
func play(role string) int {
	var err error
	switch role {
	case "writer":
		err = writeUntilCut(false)
	case "liar":
		err = writeUntilCut(true)
	case "verifier":
		err = verifyAfterCut()
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", " | "))
		return 1
	}
	return 0
}

// gatewayOnDisk is the gateway of both roles.
func gatewayOnDisk() (*gateway, error) {
	return newGateway(os.Getenv("DIR"), fmt.Sprintf("profile = %q\n", os.Getenv("INTEROP_PROFILE")))
}

// writeUntilCut loads a gateway on $DIR and prints what is promised, one write
// for each line. It does not end by itself unless something is wrong before
// the cut.
func writeUntilCut(hasty bool) error {
	g, err := gatewayOnDisk()
	if err != nil {
		return err
	}
	if err := g.start(); err != nil {
		return err
	}
	l := &load{
		promised: func(r reading) { fmt.Printf("acked %s %d\n", r.sensor, r.n) },
		settled:  func(r reading) { fmt.Printf("settled %s %d\n", r.sensor, r.n) },
		hasty:    hasty,
	}
	err = l.run(context.Background(), g)
	// With the power off the broker rightly fails before the writer is killed;
	// what is still alive after this pause failed without a cut.
	time.Sleep(3 * time.Second)
	return errors.Join(err, g.alive())
}

// verifyAfterCut opens $DIR again and compares with the lines in $ACKS.
func verifyAfterCut() error {
	book, err := readBook(os.Getenv("ACKS"))
	if err != nil {
		return err
	}
	if book.count() == 0 {
		return errors.New("the writer was promised nothing")
	}
	g, err := gatewayOnDisk()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := g.start(); err != nil {
		return fmt.Errorf("open after the cut: %w", err)
	}
	took := time.Since(began)
	defer g.kill()
	var got arrivals
	if err := drain(g.amqp(), &got); err != nil {
		return fmt.Errorf("drain after the cut: %w", err)
	}
	v := book.judge(&got)
	fmt.Println(v, "open again after", took.Round(time.Millisecond))
	if v.lost+v.damaged+v.phantom+v.disordered+v.duplicate > 0 {
		return errors.New(v.String())
	}
	return g.stop()
}

// readBook reads a writer's lines. What was sent and not acknowledged may be
// there: up to one batch beyond the last promise.
func readBook(path string) (*ledger, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	book := newLedger()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if strings.HasPrefix(sc.Text(), "failed:") {
			return nil, fmt.Errorf("the writer %s", sc.Text())
		}
		book.note(sc.Text())
	}
	for _, sensor := range []string{"a", "m"} {
		book.offer(sensor, loadBatch)
	}
	for r := range book.promised {
		book.offer(r.sensor, r.n+loadBatch)
	}
	return book, sc.Err()
}
