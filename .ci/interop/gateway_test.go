package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

const (
	startMax = time.Minute      // from exec to the last listener, also under an emulator
	stopMax  = 60 * time.Second // from SIGTERM to the end: TimeoutStopSec of the service unit
)

// gateway is one data folder with its configuration. The broker on it can be
// stopped, killed and started again, and keeps its ports.
type gateway struct {
	dir   string // leveret.toml and data
	doors map[string]string
	// launch is what the command line begins with, as to run in a control group.
	launch   []string
	distrust bool // loopback is not trusted
	proc     *process
	peak     int64         // most bytes resident in any of the runs so far
	cost     time.Duration // processor time that the last start took
}

// Doors, as the log and the configuration name them.
var doorNames = []string{"amqp", "mqtt", "admin"}

// newGateway makes a folder with a configuration that declares topology.
func newGateway(dir, topology string) (*gateway, error) {
	g := &gateway{dir: dir, doors: map[string]string{}}
	for _, door := range doorNames {
		g.doors[door] = freeAddr()
	}
	return g, os.WriteFile(g.config(), []byte(topology), 0o600)
}

// openGateway makes a gateway in a folder of the test's own and starts it. The
// test's end kills it.
func openGateway(t testing.TB, topology string) *gateway {
	t.Helper()
	g, err := newGateway(t.TempDir(), topology)
	if err != nil {
		t.Fatal(err)
	}
	g.mustStart(t)
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) config() string { return filepath.Join(g.dir, "leveret.toml") }
func (g *gateway) data() string   { return filepath.Join(g.dir, "data") }
func (g *gateway) amqp() string   { return "amqp://guest:guest@" + g.doors["amqp"] + "/" }
func (g *gateway) mqtt() string   { return g.doors["mqtt"] }
func (g *gateway) admin() string  { return "http://" + g.doors["admin"] }

// args is the command line of a broker on this folder. Tests look at it over
// loopback, where no proxy stands in between.
func (g *gateway) args() []string {
	args := []string{"run", "--config", g.config(), "--set", "data_dir=" + g.data(), "--set", fmt.Sprint("admin.trust_loopback=", !g.distrust)}
	for _, door := range doorNames {
		args = append(args, "--set", door+".listen="+g.doors[door])
	}
	return args
}

// command is the broker's, behind what launches it.
func (g *gateway) command() *exec.Cmd {
	cmd := leveretCommand(g.args()...)
	if len(g.launch) == 0 {
		return cmd
	}
	return exec.Command(g.launch[0], append(g.launch[1:], cmd.Args...)...)
}

var (
	listeningLine = regexp.MustCompile(`msg="?listening"?`)
	doorAttr      = regexp.MustCompile(`\bdoor="?([a-z]+)`)
	addrAttr      = regexp.MustCompile(`\baddr="?([0-9a-fA-F.:\[\]]+)`)
)

// start runs the broker and returns when all doors are open.
func (g *gateway) start() error {
	open := make(chan [2]string, 16)
	proc, err := startProcess(g.command(), func(line string) {
		if !listeningLine.MatchString(line) {
			return
		}
		door, addr := doorAttr.FindStringSubmatch(line), addrAttr.FindStringSubmatch(line)
		if door != nil && addr != nil {
			select {
			case open <- [2]string{door[1], addr[1]}:
			default: // more listeners than any test opens
			}
		}
	})
	if err != nil {
		return err
	}
	g.proc = proc
	late := time.After(startMax)
	for waiting := map[string]bool{"amqp": true, "mqtt": true, "admin": true}; len(waiting) > 0; {
		select {
		case o := <-open:
			if waiting[o[0]] { // a door's first address, not those of WebSocket or TLS
				g.doors[o[0]] = o[1]
			}
			delete(waiting, o[0])
		case <-proc.done:
			return fmt.Errorf("leveret ended with code %d while starting:\n%s", proc.exitCode(), proc.output())
		case <-late:
			proc.kill()
			return fmt.Errorf("leveret did not open all doors within %v:\n%s", startMax, proc.output())
		}
	}
	g.cost = proc.cpu()
	return nil
}

func (g *gateway) mustStart(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// kill is kill -9.
func (g *gateway) kill() {
	g.noteMemory()
	g.proc.kill()
}

// stop asks the broker to end, which it must do cleanly.
func (g *gateway) stop() error {
	g.noteMemory()
	if err := g.proc.signal(syscall.SIGTERM, stopMax); err != nil {
		return fmt.Errorf("%w:\n%s", err, g.proc.output())
	}
	if code := g.proc.exitCode(); code != 0 {
		return fmt.Errorf("leveret ended with code %d after SIGTERM:\n%s", code, g.proc.output())
	}
	return nil
}

func (g *gateway) mustStop(t testing.TB) {
	t.Helper()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
}

// alive fails the test if the broker has ended by itself.
func (g *gateway) alive() error {
	select {
	case <-g.proc.done:
		return errors.New("leveret has ended:\n" + g.proc.output())
	default:
		return nil
	}
}

// said is the last that the broker wrote, if it was started at all.
func (g *gateway) said() string {
	if g == nil || g.proc == nil {
		return ""
	}
	return g.proc.output()
}

func (g *gateway) noteMemory() { g.peak = max(g.peak, g.proc.memory("VmHWM")) }

// peakSince is the most that was resident since it was last asked, or since the
// start.
func (g *gateway) peakSince(t testing.TB) int64 {
	t.Helper()
	peak := g.proc.memory("VmHWM")
	// 5 has the kernel begin the peak anew.
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.proc.cmd.Process.Pid), []byte("5"), 0))
	return peak
}
