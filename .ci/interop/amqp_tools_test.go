package interop

import (
	"os/exec"
	"strings"
	"testing"
)

// TestAMQPTools: the command-line tools of Debian's amqp-tools (rabbitmq-c),
// as scripts on a gateway use them.
func TestAMQPTools(t *testing.T) {
	g := openGateway(t, "")
	url := g.amqp() + "%2f" // rabbitmq-c takes an empty path for a vhost without a name
	tool := func(t *testing.T, input string, wantCode int, name string, args ...string) string {
		t.Helper()
		out, code := run(t, patience, input, name, append([]string{"--url=" + url}, args...)...)
		if code != wantCode {
			t.Fatalf("%s %s ended with code %d, want %d:\n%s", name, strings.Join(args, " "), code, wantCode, out)
		}
		return strings.TrimSpace(out)
	}
	equal := func(t *testing.T, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("the tool wrote %q, want %q", got, want)
		}
	}
	steps := []struct {
		name string
		act  func(t *testing.T)
	}{
		{"declare", func(t *testing.T) {
			equal(t, tool(t, "", 0, "amqp-declare-queue", "-q", "tools", "-d"), "tools")
		}},
		{"declare otherwise", func(t *testing.T) {
			if out := tool(t, "", 1, "amqp-declare-queue", "-q", "tools"); !strings.Contains(out, "406") {
				t.Errorf("the tool wrote %q, want 406", out)
			}
		}},
		{"publish and get", func(t *testing.T) {
			tool(t, "", 0, "amqp-publish", "-r", "tools", "-p", "-b", "one")
			equal(t, tool(t, "", 0, "amqp-get", "-q", "tools"), "one")
		}},
		{"get from an empty queue", func(t *testing.T) { tool(t, "", 2, "amqp-get", "-q", "tools") }},
		{"publish lines", func(t *testing.T) {
			tool(t, "two\nthree\n", 0, "amqp-publish", "-r", "tools", "-p", "-l")
		}},
		{"consume", func(t *testing.T) {
			equal(t, tool(t, "", 0, "amqp-consume", "-q", "tools", "-c", "2", "cat"), "two\nthree")
		}},
		{"consume from an exchange", func(t *testing.T) {
			p := startPeer(t, exec.Command("amqp-consume", "--url="+url, "-e", "amq.topic", "-r", "a.#", "-c", "1", "cat"), nil)
			until(t, patience, "the message arrives", func() bool {
				tool(t, "", 0, "amqp-publish", "-e", "amq.topic", "-r", "a.b", "-b", "four")
				return strings.Contains(p.output(), "four")
			})
		}},
		{"delete", func(t *testing.T) {
			tool(t, "", 0, "amqp-publish", "-r", "tools", "-p", "-b", "left")
			equal(t, tool(t, "", 0, "amqp-delete-queue", "-q", "tools"), "1")
		}},
		{"get from no queue", func(t *testing.T) {
			if out := tool(t, "", 1, "amqp-get", "-q", "tools"); !strings.Contains(out, "404") {
				t.Errorf("the tool wrote %q, want 404", out)
			}
		}},
	}
	for _, step := range steps {
		t.Run(step.name, step.act)
	}
	g.mustStop(t)
}
