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

// TestPowerCuts cuts the power of a disk under a busy gateway (mix_test.go).
// After each cut the gateway must open by itself, soon, and have every reading
// that it acknowledged and that no consumer acknowledged, in each sensor's
// order, those of QoS 2 once; and the queues, exchanges and bindings that it
// said were there, and none that it said were gone.
//
// The disks under pressure have the smallest budget and are kept from round to
// round, so that they are full again and again and their value logs rewritten.
//
// The writer and the verifier are this test binary in another role, started by
// cutpower with $DIR and $ACKS in the environment.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	const pressure = "\n[spool]\nmax_bytes = \"16MiB\"\n"
	tests := []struct {
		name   string
		config string
		rounds int // of 60 in all
		flags  []string
	}{
		{"ext4 names, random loss", `profile = "server"`, 12, []string{"-meta", "ext4", "-loss", "random"}},
		{"ext4 names, under pressure", `profile = "tiny"` + pressure, 12, []string{"-meta", "ext4", "-loss", "random", "-fresh=false"}},
		{"ext4 names, all loss", `profile = "small"`, 8, []string{"-meta", "ext4", "-loss", "all"}},
		{"strict names", `profile = "server"`, 8, []string{"-meta", "strict", "-loss", "random"}},
		{"strict names, under pressure", `profile = "small"` + pressure, 8, []string{"-meta", "strict", "-loss", "random", "-fresh=false"}},
		{"real ext4, a small volume", `profile = "tiny"`, 12, []string{"-block", "200000000", "-loss", "random"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rounds := number(tt.rounds, tt.rounds*500/60)
			got := cut(t, "writer", tt.config, rounds, tt.flags...)
			t.Logf("%d cuts, %d promises, %d rounds failed", got.Rounds, got.Promises, got.Failed)
			if got.Rounds != rounds || got.Failed > 0 {
				t.Errorf("%d rounds of %d, failed: %s", got.Rounds, rounds, strings.Join(got.FailedRounds, "\n"))
			}
			if got.Promises < rounds*loadBatch {
				t.Errorf("only %d promises in %d rounds: the writer hardly wrote", got.Promises, rounds)
			}
		})
	}
}

// TestPowerCutsCatchALiar shows that the check can fail: a writer that takes
// its own word for the broker's must be found out.
func TestPowerCutsCatchALiar(t *testing.T) {
	t.Parallel()
	if got := cut(t, "liar", `profile = "tiny"`, 6, "-loss", "all"); got.Failed == 0 {
		t.Errorf("%d promises of a liar in %d cuts, and none was found missing", got.Promises, got.Rounds)
	}
}

type cutReport struct {
	Rounds, Failed, Promises int
	FailedRounds             []string
}

// cut runs so many rounds.
func cut(t *testing.T, role, config string, rounds int, flags ...string) (report cutReport) {
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
	cmd.Env = append(os.Environ(), "INTEROP_CONFIG="+config)
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
	return newGateway(os.Getenv("DIR"), os.Getenv("INTEROP_CONFIG")+"\n")
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
	var out lines
	out.say("round %s", os.Getenv("ROUND"))
	m := &mix{
		load: load{
			suffix:   os.Getenv("ROUND"),
			promised: func(r reading) { out.say("acked %s %d", r.sensor, r.n) },
			settled:  func(r reading) { out.say("settled %s %d", r.sensor, r.n) },
			hasty:    hasty,
		},
		say: out.say,
	}
	err = m.run(context.Background(), g)
	// With the power off the broker rightly fails before the writer is killed;
	// what is still alive after this pause failed without a cut.
	time.Sleep(patience / 2)
	return errors.Join(err, g.alive())
}

// verifyAfterCut opens $DIR again and compares with the lines in $ACKS.
func verifyAfterCut() error {
	book, rest, err := readBook(os.Getenv("ACKS"))
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
	if err := g.start(); err != nil {
		return fmt.Errorf("open after the cut: %w", err)
	}
	defer g.kill()
	if err := drainBulk(g); err != nil { // a full spool takes nothing
		return fmt.Errorf("large messages after the cut: %w", err)
	}
	if err := rest.finishExact(g, book); err != nil {
		return fmt.Errorf("the handshakes of QoS 2 after the cut: %w", err)
	}
	if err := rest.check(g); err != nil {
		return fmt.Errorf("topology after the cut: %w", err)
	}
	var got arrivals
	if err := drain(g.amqp(), &got); err != nil {
		return fmt.Errorf("drain after the cut: %w", err)
	}
	v := book.judge(&got)
	fmt.Println(v, "open again with", g.cost, "of processor time")
	if v.lost+v.damaged+v.phantom+v.disordered+v.duplicate > 0 {
		return errors.New(v.String())
	}
	if limit := openLimit(v.arrived); g.cost > limit {
		return fmt.Errorf("opened with %v of processor time, want %v", g.cost, limit)
	}
	return g.stop()
}

// openLimit is the processor time that a start may take with so many messages
// stored: 2 s and 1 s for each 100,000.
func openLimit(messages int) time.Duration {
	return openMax + time.Duration(messages)*time.Second/100_000
}

// readBook reads what the writer of the last round said. What was sent and not
// acknowledged may be there: up to one batch beyond the last promise.
func readBook(path string) (*ledger, *errands, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	book, rest, round := newLedger(), newErrands(), ""
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if strings.HasPrefix(sc.Text(), "failed:") {
			return nil, nil, fmt.Errorf("the writer %s", sc.Text())
		}
		if word, n, _ := strings.Cut(sc.Text(), " "); word == "round" {
			book, rest, round = newLedger(), newErrands(), n
		}
		book.note(sc.Text())
		rest.note(sc.Text())
	}
	for _, sensor := range []string{"a", "m"} {
		book.offer(sensor+round, loadBatch)
	}
	for r := range book.promised {
		book.offer(r.sensor, r.n+loadBatch)
	}
	return book, rest, sc.Err()
}
