package interop

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	nodeAMQPVersion = "0.2.7"
	nodeAMQPCases   = 44 // at least so many of its programs ran, or they were not found
	nodeAMQPLimit   = 2 * time.Minute
	nodeAMQPAtOnce  = 4 // the programs mostly wait
)

// nodeAMQPLeftOut are the programs that say nothing about this broker.
var nodeAMQPLeftOut = map[string]string{
	"test-buffer.js":                "compares a buffer's printed form with that of an old Node.js",
	"test-connection-blocked.js":    "raises RabbitMQ's memory alarm with rabbitmqctl",
	"test-connection-connect.js":    "connects to the fixed port 5672",
	"test-connection-disconnect.js": "waits for an event that Node.js no longer sends after destroy()",
	"test-connection-timeout.js":    "needs a network that swallows packets, and no broker",
	"test-flow.js":                  "stops deliveries with channel.flow, which RabbitMQ refuses with 540, as we do",
	"test-volume.js":                "publishes without confirms while it breaks its connection: what is lost it awaits for ever",
	"test-publish-confirms-callbacks-not-hanging-after-recovery.js": "restarts RabbitMQ with rabbitmqctl",
	"test-reconnection.js":                    "restarts RabbitMQ with rabbitmqctl",
	"test-reconnection-server-named-queue.js": "restarts RabbitMQ with rabbitmqctl",
}

// TestNodeAMQPSuite runs the live tests of the npm package amqp, which spoke
// 0-9-1 years before amqplib did, against leveret. Each is a program that
// passes by ending with code 0.
func TestNodeAMQPSuite(t *testing.T) {
	t.Parallel()
	home := nodePackage(t, "amqp", nodeAMQPVersion)
	programs, err := filepath.Glob(filepath.Join(home, "test", "test-*.js"))
	must(t, err)
	turns := make(chan struct{}, nodeAMQPAtOnce)
	ran := 0
	t.Run("programs", func(t *testing.T) {
		for _, program := range programs {
			if nodeAMQPLeftOut[filepath.Base(program)] != "" {
				continue
			}
			ran++
			t.Run(filepath.Base(program), func(t *testing.T) {
				t.Parallel()
				turns <- struct{}{}
				defer func() { <-turns }()
				nodeAMQPProgram(t, program)
			})
		}
	})
	if ran < nodeAMQPCases {
		t.Errorf("%d programs ran, want at least %d", ran, nodeAMQPCases)
	}
	for _, name := range slices.Sorted(maps.Keys(nodeAMQPLeftOut)) {
		t.Logf("left out: %s: %s", name, nodeAMQPLeftOut[name])
	}
}

// nodeAMQPProgram runs one of them, and once more when it fails: most have a
// time in which their messages have to arrive.
func nodeAMQPProgram(t *testing.T, program string) {
	out, code := nodeAMQPTry(t, program)
	if code != 0 {
		secondTry(t, filepath.Base(program), tailOf(out))
		out, code = nodeAMQPTry(t, program)
	}
	if code != 0 {
		t.Errorf("ended with code %d:\n%s", code, tailOf(out))
	}
}

// nodeAMQPTry gives a program a broker of its own, as some use the same names.
// It names the broker twice: some programs read flags, some the first argument.
func nodeAMQPTry(t *testing.T, program string) (out string, code int) {
	g := openGateway(t, "")
	addr := g.doors["amqp"]
	cmd := exec.Command("node", program, addr, "-h", "127.0.0.1", "-p", port(addr))
	cmd.Dir = filepath.Dir(program)
	out, code = runCommand(t, nodeAMQPLimit, "", cmd)
	g.mustStop(t)
	return out, code
}

// nodePackage is the folder of an installed package in NODE_PATH.
func nodePackage(t *testing.T, name, version string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv("NODE_PATH"), name)
	manifest, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		t.Fatalf("the npm package %s is not there: %v", name, err)
	}
	if !strings.Contains(strings.ReplaceAll(string(manifest), " ", ""), `"version":"`+version+`"`) {
		t.Fatalf("%s is not at version %s", dir, version)
	}
	return dir
}
