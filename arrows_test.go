// Package leveret has no code of its own: this test at its root keeps the
// arrows between the packages pointing down.
package leveret

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// never says what a package must not reach, not even over others. A pattern
// that ends in "/..." stands for everything below it too.
var never = []struct {
	from string
	to   []string
	why  string
}{
	{"./amqp", []string{"leveret/...", "net", "os"}, "the vocabulary stands alone"},
	{"./spool", []string{"leveret/...", "net", "os"}, "the contract stands alone"},
	{"./amqp/broker", []string{
		"net", "os", "github.com/dgraph-io/...", "leveret/amqp/wire091", "leveret/amqp/server091",
		"leveret/bridge/...", "leveret/edge/...", "leveret/spool/disk", "leveret/spool/mem",
	}, "the core knows no socket, no disk and no protocol"},
	{"./amqp/wire091", []string{"leveret/amqp/broker", "leveret/spool/...", "net", "os"}, "a codec is bytes only"},
	{"./bridge/mqttwire", []string{"leveret/...", "net", "os"}, "a codec is bytes only"},
	{"./amqp/server091", []string{"leveret/edge/...", "leveret/bridge/...", "leveret/spool/disk"}, "doors reach the spool only through the core"},
	{"./bridge/mqtt", []string{"leveret/edge/...", "leveret/amqp/server091", "leveret/spool/disk"}, "doors reach the spool only through the core"},
	{"./bridge/shovel", []string{"leveret/edge/...", "leveret/spool/disk", "github.com/rabbitmq/...", "github.com/eclipse/..."}, "the engine knows no remote protocol"},
	{"./bridge/remote/amqp091", []string{"leveret/edge/...", "leveret/amqp/broker", "leveret/spool/disk"}, "a remote protocol knows only messages"},
	{"./bridge/remote/mqtt", []string{"leveret/edge/...", "leveret/amqp/broker", "leveret/bridge/mqtt", "leveret/spool/...", "github.com/eclipse/paho.golang/autopaho/..."}, "a remote protocol knows only messages"},
	{"./spool/disk", []string{"leveret/amqp/...", "leveret/bridge/...", "leveret/edge/..."}, "the log knows no messages"},
	{"./edge/devices", []string{"leveret/edge/config", "leveret/edge/admin", "leveret/spool/disk", "leveret/bridge/...", "leveret/amqp/server091"}, "devices are known from the core alone"},
	{"./edge/config", []string{"leveret/edge/admin", "leveret/spool/disk", "leveret/bridge/mqtt", "leveret/bridge/shovel", "leveret/bridge/remote/..."}, "the configuration is read before anything is built"},
}

// only says who alone may import a package directly.
var only = map[string][]string{
	"github.com/dgraph-io/badger/v4":          {"leveret/spool/disk"},
	"github.com/eclipse/paho.golang/paho":     {"leveret/bridge/remote/mqtt"},
	"github.com/eclipse/paho.golang/packets":  {"leveret/bridge/remote/mqtt"},
	"github.com/rabbitmq/amqp091-go":          {}, // tests alone
	"github.com/pelletier/go-toml/v2":         {"leveret/edge/config"},
	"leveret/edge":                            {"leveret/cmd/leveret"},
	"leveret/edge/config":                     {"leveret/cmd/leveret", "leveret/edge"},
	"github.com/spf13/cobra":                  {"leveret/cmd/leveret"},
	"github.com/coreos/go-systemd/v22/daemon": {"leveret/edge/health"},
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestArrowsPointDown(t *testing.T) {
	for _, rule := range never {
		// Standard packages reach os and net among themselves (fmt does): of
		// those only what our own packages import counts.
		self := strings.TrimPrefix(rule.from, "./")
		for _, line := range goList(t, "-deps", "-f", `{{if not .Standard}}{{.ImportPath}} {{join .Imports " "}}{{end}}`, rule.from) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			for _, dep := range append(fields[1:], fields[0]) {
				if dep != "leveret/"+self && forbidden(dep, rule.to) {
					t.Errorf("%s reaches %s (by %s): %s", rule.from, dep, fields[0], rule.why)
				}
			}
		}
	}
}

func forbidden(dep string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, tree := strings.CutSuffix(p, "/...")
		return dep == p || tree && (dep == below || strings.HasPrefix(dep, below+"/"))
	})
}

func TestWhoImports(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		fields := strings.Fields(line)
		for _, dep := range fields[1:] {
			if allowed, ok := only[dep]; ok && !slices.Contains(allowed, fields[0]) {
				t.Errorf("%s imports %s, which only %s may", fields[0], dep, strings.Join(allowed, ", "))
			}
		}
	}
}
