package interop

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tailLinesMax is how much of a program's output is kept for a failure's report.
const tailLinesMax = 40

// process is a program that runs beside the test. Standard output and standard
// error go through one pipe, line by line. One goroutine reads them until the
// program ends.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and all was read
	err  error         // of Wait; read it after done

	mu   sync.Mutex // protects the fields below
	tail []string
}

// startProcess starts cmd and hands each line to onLine, which may be nil. The
// kernel kills the program if the test binary dies first.
func startProcess(cmd *exec.Cmd, onLine func(string)) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go p.read(r, onLine)
	return p, nil
}

func (p *process) read(r *os.File, onLine func(string)) {
	defer close(p.done)
	defer r.Close()
	ended := make(chan struct{})
	go func() { // a grandchild may keep the pipe open longer than the program lives
		defer close(ended)
		p.err = p.cmd.Wait()
		_ = r.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	}()
	for sc := bufio.NewScanner(r); sc.Scan(); {
		p.mu.Lock()
		p.tail = append(p.tail, sc.Text())
		if len(p.tail) > tailLinesMax {
			p.tail = slices.Delete(p.tail, 0, len(p.tail)-tailLinesMax)
		}
		p.mu.Unlock()
		if onLine != nil {
			onLine(sc.Text())
		}
	}
	<-ended
}

// output is the last lines that the program wrote.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// signal sends sig and waits until the program has ended, which it must do
// within limit; else it is killed and an error returned.
func (p *process) signal(sig syscall.Signal, limit time.Duration) error {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		p.kill()
		return fmt.Errorf("%s did not end within %v of %v", p.cmd.Path, limit, sig)
	}
}

// kill ends the program at once, as the kernel's OOM killer would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// exitCode waits for the end; -1 stands for a signal.
func (p *process) exitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// memory reads one figure in bytes (VmHWM, VmRSS) of the running program; 0
// when it is gone.
func (p *process) memory(field string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// run runs a program to its end with text as its input and returns what it
// wrote and its exit code.
func run(t testing.TB, limit time.Duration, input string, name string, args ...string) (string, int) {
	t.Helper()
	return runCommand(t, limit, input, exec.Command(name, args...))
}

func runCommand(t testing.TB, limit time.Duration, input string, cmd *exec.Cmd) (string, int) {
	t.Helper()
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second
	var out strings.Builder
	p, err := startProcess(cmd, func(line string) { out.WriteString(line + "\n") })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(limit):
		p.kill()
		t.Fatalf("%s did not end within %v; it wrote:\n%s", cmd, limit, out.String())
	}
	return out.String(), p.exitCode()
}

// freeAddr is a loopback address that nobody listens on. Peers that cannot
// tell which port they chose get theirs from here.
func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("BUG: no free loopback port: %v", err))
	}
	defer l.Close()
	return l.Addr().String()
}

func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		panic(fmt.Sprintf("BUG: address %q: %v", addr, err))
	}
	return p
}

// until asks ok every few milliseconds and fails the test after limit.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
