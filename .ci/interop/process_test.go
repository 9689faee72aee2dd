package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

const (
	// tailLinesMax is how much of a program's output is kept for a failure's report.
	tailLinesMax = 40
	// lineBytesMax is the longest line that is understood.
	lineBytesMax = 1 << 20
	// lastWordsMax is how long a pipe stays empty before it is believed that
	// nobody who outlives a program writes to it.
	lastWordsMax = time.Second

	// patience is how long a test waits for what must happen at last. It says
	// nothing of how soon that is: a machine that is slow for a while is no fault
	// of the broker's.
	patience = time.Minute
	// clientLimit bounds a client's whole round, in which it waits as patiently.
	clientLimit = 5 * time.Minute
)

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
	out := &outlet{file: r, ended: make(chan struct{})}
	go func() {
		defer close(out.ended)
		p.err = p.cmd.Wait()
		_ = r.SetReadDeadline(time.Now()) // wakes a read that waits already
	}()
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, lineBytesMax)
	for sc.Scan() {
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
	_, _ = io.Copy(io.Discard, out) // nobody waits for a reader who could not go on
	<-out.ended
}

// outlet is what a program writes. A grandchild may keep the pipe open for
// longer than the program lives: when that has ended, a pipe in which nothing is
// left has come to its end.
type outlet struct {
	file  *os.File
	ended chan struct{} // closed when the program has ended
}

func (o *outlet) Read(b []byte) (int, error) {
	for {
		ended := false
		select {
		case <-o.ended:
			ended = true
			_ = o.file.SetReadDeadline(time.Now().Add(lastWordsMax))
		default:
		}
		n, err := o.file.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if ended {
			return 0, io.EOF
		}
		<-o.ended // its end has woken us
	}
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

// cpu is the processor time that the running program has used, in all of its
// threads; 0 when it is gone.
func (p *process) cpu() time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, text, _ := strings.Cut(string(stat), ") ") // behind the name, which may hold anything
	fields := strings.Fields(text)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / clockTicks)
}

// clockTicks is how many of the kernel's units of processor time are a second:
// a hundred on every architecture that Go knows (proc(5), sysconf(3)).
const clockTicks = 100

// written is how many bytes the running program made dirty; 0 when it is gone.
func (p *process) written() int64 {
	io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	for line := range strings.Lines(string(io)) {
		if value, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
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

// until asks ok every few milliseconds and fails the test after limit.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
