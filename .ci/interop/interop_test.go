// Package interop tests the real leveret binary with real peers: RabbitMQ as
// the broker in the cloud, Mosquitto's tools, pika, amqplib, amqp091-go and
// paho as clients, a relay that behaves like a bad uplink, and a disk whose
// power is cut.
//
// The folder's name starts with a dot, so `./...` passes it by; `make interop`
// names it. A program that is missing fails the tests that need it: nothing is
// skipped.
//
// Where a test says what a client expects of a broker, it runs against the
// reference (RabbitMQ, Mosquitto) as well, which shows that the expectation is
// fair.
//
// Tests that mostly wait run beside each other (t.Parallel) when the others are
// through: those that load the machine, and those that share the reference's own
// exchanges or count all that it has.
//
// Everything listens on free loopback ports, writes below a temporary folder,
// and is ended by its pid. The environment:
//
//	LEVERET      the binary; built from this module when not set
//	LEVERET_ARM  the same for ARMv6, for TestSpool32; built when not set
//	LAUNCH       an emulator to put in front of LEVERET, with its options
//	SHARED       the folder with tools/ (default: "shared" beside the repository)
//	SOAK         how long TestStory is repeated (default: once); set to anything,
//	             the tests of faults use their large numbers
//
// The test binary also plays the writer and the verifier of the power-cut
// tests, chosen by INTEROP_ROLE: see cuts_test.go.
package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("INTEROP_ROLE"); role != "" {
		os.Exit(play(role))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the temporary folder:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	lab.dir = dir
	defer lab.close()
	if err := lab.build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// lab is what all tests share: the programs, and the reference broker, which
// takes seconds to start.
var lab laboratory

type laboratory struct {
	dir string // programs and data of the shared peers; removed at the end

	mu     sync.Mutex // protects the fields below
	rabbit *rabbit    // nil until a test asks for it
}

// build makes leveret unless the environment names one.
func (l *laboratory) build() error {
	if os.Getenv("LEVERET") != "" {
		return nil
	}
	out := filepath.Join(l.dir, "leveret")
	if _, err := goCommand(filepath.Join("..", ".."), []string{"CGO_ENABLED=0"}, "build", "-o", out, "./cmd/leveret"); err != nil {
		return fmt.Errorf("build leveret: %w", err)
	}
	return os.Setenv("LEVERET", out)
}

// tool builds one of the shared test tools and returns its path. Each tool is
// a module of its own.
func (l *laboratory) tool(t testing.TB, module, pkg string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := filepath.Join(l.dir, filepath.Base(module))
	if _, err := os.Stat(out); err == nil {
		return out
	}
	shared := os.Getenv("SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	_, err := goCommand(filepath.Join(shared, "tools", module), nil, "build", "-o", out, pkg)
	must(t, err)
	return out
}

// reference is the shared RabbitMQ, started on first use.
func (l *laboratory) reference(t testing.TB) *rabbit {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rabbit == nil {
		r, err := startRabbit(filepath.Join(l.dir, "rabbitmq"))
		if err != nil {
			t.Fatal(err)
		}
		l.rabbit = r
	}
	return l.rabbit
}

func (l *laboratory) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rabbit != nil {
		l.rabbit.stop()
	}
}

// number is how often a test does something: in a soak more often.
func number(ci, soak int) int {
	if os.Getenv("SOAK") != "" {
		return soak
	}
	return ci
}

// leveretCommand is a command line of the binary under test, behind its
// emulator if there is one.
func leveretCommand(args ...string) *exec.Cmd {
	argv := append(strings.Fields(os.Getenv("LAUNCH")), os.Getenv("LEVERET"))
	argv = append(argv, args...)
	return exec.Command(argv[0], argv[1:]...)
}
