package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	celeryVersion   = "5.2.6" // Debian 12's, which brings kombu 5.2.4
	celerySteps     = 8
	celeryLimit     = clientLimit
	celeryStartsMax = patience
)

// TestCelery: a worker and a program of Celery on Debian's own Python: results
// by rpc://, chains, retries, ETA, broadcasts, and a worker that is killed with
// a task in its hands.
func TestCelery(t *testing.T) {
	t.Parallel()
	version, _ := run(t, celeryLimit, "", "/usr/bin/python3", "-c", "import celery; print(celery.__version__)")
	if strings.TrimSpace(version) != celeryVersion {
		t.Fatalf("Celery is %q, this test is for %s", strings.TrimSpace(version), celeryVersion)
	}
	g := openGateway(t, "")
	c := celery{env: append(os.Environ(), "BROKER_URL="+g.amqp(), "WITNESS="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")}
	first := c.worker(t)
	kill := make(chan struct{}, 1)
	var steps []string
	program := c.python("celery_round.py")
	p, err := startProcess(program, func(line string) {
		if step, ok := strings.CutPrefix(line, "ok "); ok {
			steps = append(steps, step) // read once done is closed
		}
		if line == "kill the worker" {
			kill <- struct{}{}
		}
	})
	must(t, err)
	defer p.kill()
	select {
	case <-kill:
		first.kill()
		c.worker(t)
	case <-p.done:
	case <-time.After(celeryLimit):
	}
	select {
	case <-p.done:
	case <-time.After(celeryLimit):
		t.Fatalf("the program did not end:\n%s", p.output())
	}
	for _, step := range steps {
		t.Run(step, func(*testing.T) {})
	}
	if code := p.exitCode(); code != 0 || len(steps) != celerySteps {
		t.Errorf("code %d after %d of %d steps:\n%s\nthe worker:\n%s", code, len(steps), celerySteps, p.output(), first.output())
	}
	g.mustStop(t)
}

// celery starts programs that see the application of clients/celery_tasks.py.
type celery struct{ env []string }

func (c celery) python(args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/python3", args...)
	cmd.Dir, cmd.Env = "clients", c.env
	return cmd
}

// worker is one process, so that killing it leaves nobody behind, and ready
// when this returns.
func (c celery) worker(t *testing.T) *process {
	t.Helper()
	ready := make(chan struct{})
	told := sync.OnceFunc(func() { close(ready) })
	cmd := c.python("-m", "celery", "-A", "celery_tasks", "worker", "--pool=solo", "--loglevel=INFO",
		"--hostname="+filepath.Base(t.TempDir())+"@interop")
	p := startPeer(t, cmd, func(line string) {
		if strings.HasSuffix(line, " ready.") {
			told()
		}
	})
	select {
	case <-ready:
	case <-p.done:
		t.Fatalf("the worker ended while starting:\n%s", p.output())
	case <-time.After(celeryStartsMax):
		t.Fatalf("the worker was not ready within %v:\n%s", celeryStartsMax, p.output())
	}
	return p
}
