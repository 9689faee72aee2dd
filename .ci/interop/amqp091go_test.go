package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	amqp091goVersion = "v1.16.0"
	amqp091goCases   = 240 // at least so many of its tests ran, or they were not found
	amqp091goLimit   = 10 * time.Minute
)

// amqp091goLeftOut are the client's own tests that say nothing about a broker
// or need more than one, by their pattern.
var amqp091goLeftOut = map[string]string{
	"TestIntegrationRecoverNotImplemented":         "wants basic.recover refused, and forgets its connection where it is not",
	"TestConnection_Close_WhenMemoryAlarmIsActive": "raises RabbitMQ's memory alarm with rabbitmqctl",
}

// TestAMQP091GoSuite runs the tests that amqp091-go has for itself, those with
// a live broker among them, against leveret: each is a case of this test.
func TestAMQP091GoSuite(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "amqp.channels_max = 2047\n") // a test of its own wants RabbitMQ's number
	suite := moduleCopy(t, "github.com/rabbitmq/amqp091-go", amqp091goVersion)
	// Those of TTL and nacks do nothing with a product that is not RabbitMQ, and
	// pass; those of recovery drop connections through the management API.
	rewrite(t, filepath.Join(suite, "integration_test.go"), `server == "RabbitMQ"`, `server == "leveret"`)
	_, port, err := net.SplitHostPort(g.doors["admin"])
	must(t, err)
	rewrite(t, filepath.Join(suite, "recovery_test.go"), `"15672"`, strconv.Quote(port))
	rewrite(t, filepath.Join(suite, "internal", "utils", "http.go"), "localhost:15672", "localhost:"+port)
	goSuite{
		dir: suite,
		env: []string{"AMQP_URL=" + g.amqp(), "GOFLAGS="},
		args: []string{"-mod=mod", "-tags=integration",
			"-skip=" + strings.Join(slices.Sorted(maps.Keys(amqp091goLeftOut)), "|")},
		limit: amqp091goLimit,
		cases: amqp091goCases,
	}.check(t)
	for pattern, reason := range amqp091goLeftOut {
		t.Logf("left out: %s: %s", pattern, reason)
	}
	g.mustStop(t)
}

// rewrite changes a text in a file of the suite, which must be there.
func rewrite(t *testing.T, file, old, new string) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	changed := bytes.ReplaceAll(text, []byte(old), []byte(new))
	if bytes.Equal(changed, text) {
		t.Fatalf("%s does not say %s any more", filepath.Base(file), old)
	}
	must(t, os.WriteFile(file, changed, 0o600))
}

// moduleCopy copies a module out of the read-only cache, where nobody may
// build its tests.
func moduleCopy(t *testing.T, module, version string) string {
	t.Helper()
	text, err := goCommand("", nil, "list", "-m", "-json", module)
	must(t, err)
	var found struct{ Version, Dir string }
	must(t, json.Unmarshal(text, &found))
	if found.Version != version {
		t.Fatalf("%s is at %s, this test is for %s", module, found.Version, version)
	}
	dir := t.TempDir()
	err = filepath.WalkDir(found.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(found.Dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(dir, rel), 0o700)
		}
		data, readErr := os.ReadFile(path)
		return errors.Join(readErr, os.WriteFile(filepath.Join(dir, rel), data, 0o600))
	})
	must(t, err)
	return dir
}
