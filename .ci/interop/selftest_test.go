package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// selftestHonest is the number from which on a disk may lie: by then every
	// file of the self-test was written over or begun anew.
	selftestHonest = 600
	// selftestLies is how many more numbers it then promises.
	selftestLies = 400
	// selftestMax is how long either may take.
	selftestMax = 3 * time.Minute
	// selftestCuts is in how many cuts one gap must come up: what a cache of pages
	// loses may be all, of all files, which is none.
	selftestCuts = 6
)

// TestSelftest has `leveret spool selftest` judge disks over a power cut: those
// that sync are KEPT, those that only say so LIE. Disks with a file system of
// their own are mounted anew after the cut, and nothing of them is in the page
// cache.
func TestSelftest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lies  bool
		loss  string
		knows string // who knows the last number: the witness, the screen, or nobody
		flags []string
	}{
		{"honest, ext4 names, random loss", false, "random", "witness", []string{"-meta", "ext4"}},
		{"honest, strict names, random loss", false, "random", "screen", []string{"-meta", "strict"}},
		{"honest, strict names, all loss", false, "all", "witness", []string{"-meta", "strict"}},
		{"honest, real ext4", false, "random", "witness", []string{"-block", "104857600"}},
		{"liar, ext4 names, random loss", true, "random", "witness", []string{"-meta", "ext4"}},
		{"liar, ext4 names, random loss, nobody looks", true, "random", "nobody", []string{"-meta", "ext4"}},
		{"liar, strict names, random loss", true, "random", "screen", []string{"-meta", "strict"}},
		{"liar, strict names, all loss", true, "all", "witness", []string{"-meta", "strict"}},
		{"liar, real ext4", true, "all", "screen", []string{"-block", "104857600"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they wait for syncs
			d := serveDisk(t, tt.flags...)
			cuts := 1
			if tt.lies && tt.knows == "nobody" {
				cuts = selftestCuts
			}
			for range cuts {
				text, code := selftestRound(t, d, tt.lies, tt.loss, tt.knows)
				lies := strings.Contains(text, "\nLIES: ")
				if kept := strings.Contains(text, "\nKEPT: "); kept == lies || lies != (code == 1) {
					t.Fatalf("ended with %d:\n%s", code, text)
				}
				if lies == tt.lies {
					return
				}
				t.Logf("%s", text)
			}
			t.Errorf("not found in %d cuts; does it lie: %v", cuts, tt.lies)
		})
	}
}

// selftestRound writes, cuts, and tells what the command said of it.
func selftestRound(t *testing.T, d *simDisk, lies bool, loss, knows string) (text string, code int) {
	t.Helper()
	args := []string{"spool", "selftest", "--until-cut"}
	witness := filepath.Join(t.TempDir(), "witness")
	if knows == "witness" {
		args = append(args, "--witness", witness)
	}
	var seen atomic.Uint64
	proc, err := startProcess(leveretCommand(append(args, d.dir)...), func(line string) {
		var n uint64
		if _, err := fmt.Sscanf(line, "promised %d", &n); err == nil {
			seen.Store(n)
		}
	})
	must(t, err)
	defer proc.kill()
	numbers := func(n uint64) {
		t.Helper()
		from := seen.Load()
		until(t, selftestMax, fmt.Sprint(n, " more numbers are promised, of the selftest that says: ", proc.output()), func() bool {
			return seen.Load() >= from+n
		})
	}
	numbers(selftestHonest)
	if lies {
		d.faults(t, `{"fsync_lie":true}`)
	}
	numbers(selftestLies)
	d.tell(t, "/freeze", "")
	proc.kill()
	last := seen.Load()
	d.faults(t, noFaults)
	d.tell(t, "/cut?loss="+loss, "")
	args = []string{"spool", "selftest", "--after-cut", "--disk-alone"}
	switch knows {
	case "witness":
		args = append(args, "--witness", witness)
	case "screen":
		args = append(args, "--promised", fmt.Sprint(last))
	}
	text, code = runCommand(t, selftestMax, "", leveretCommand(append(args, d.dir)...))
	if left, _ := filepath.Glob(filepath.Join(d.dir, "leveret-*")); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	return text, code
}
