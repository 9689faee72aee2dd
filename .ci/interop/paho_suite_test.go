package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pahoModule is the Go client whose own functional tests are run.
const pahoModule = "github.com/eclipse/paho.mqtt.golang@v1.5.1"

// pahoCasesMin is how many functional tests that version has.
const pahoCasesMin = 35

// pahoUnexpected names the tests of the suite that need not pass, with the
// reason. None does.
var pahoUnexpected = map[string]string{}

// TestPahoSuite runs the functional tests that come with the client: they want
// a broker, ours is it.
func TestPahoSuite(t *testing.T) {
	g := openGateway(t, "")
	dir := pahoSources(t, g.mqtt())
	cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout", "2m", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, code := runCommand(t, 4*time.Minute, "", cmd)
	if failed, cases := suiteCases(t, out, pahoUnexpected); cases < pahoCasesMin || (code != 0 && failed == 0) {
		t.Errorf("%d tests ended, want %d; code %d:\n%s", cases, pahoCasesMin, code, out)
	}
}

// pahoSources copies the client with its functional tests alone, which are made
// to look for their broker at addr.
func pahoSources(t *testing.T, addr string) string {
	t.Helper()
	from := moduleFolder(t, pahoModule)
	dir := filepath.Join(t.TempDir(), "paho")
	must(t, os.CopyFS(dir, os.DirFS(from)))
	others, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	for _, file := range others {
		if name := filepath.Base(file); name != "fvt_test.go" && name != "fvt_client_test.go" {
			must(t, os.Remove(file))
		}
	}
	place := filepath.Join(dir, "fvt_test.go")
	text, err := os.ReadFile(place)
	must(t, err)
	replaced := bytes.Replace(text, []byte(`":1883"`), []byte(`":`+port(addr)+`"`), 1)
	if bytes.Equal(text, replaced) {
		t.Fatalf("%s does not say where its broker is", place)
	}
	must(t, os.Remove(place)) // the module cache's files are read-only, and so are their copies
	must(t, os.WriteFile(place, replaced, 0o600))
	return dir
}

// moduleFolder is where the go command keeps the sources of module@version.
func moduleFolder(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		t.Fatalf("download %s: %v: %s", module, err, out)
	}
	var found struct{ Dir string }
	must(t, json.Unmarshal(out, &found))
	return found.Dir
}

// suiteCases reads what `go test -json` wrote and makes each of its tests a
// test of ours. Those that are not expected to pass may fail; when one passes
// its reason is out of date.
func suiteCases(t *testing.T, out string, unexpected map[string]string) (failed, cases int) {
	t.Helper()
	said := map[string]*strings.Builder{}
	for sc := bufio.NewScanner(strings.NewReader(out)); sc.Scan(); {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(sc.Bytes(), &e) != nil || e.Test == "" {
			continue
		}
		if said[e.Test] == nil {
			said[e.Test] = &strings.Builder{}
		}
		said[e.Test].WriteString(e.Output)
		if e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
			continue
		}
		cases++
		if e.Action != "pass" {
			failed++
		}
		t.Run(e.Test, func(t *testing.T) {
			reason, known := unexpected[e.Test]
			switch {
			case known && e.Action == "pass":
				t.Errorf("passes, though it is listed: %s", reason)
			case known:
				t.Logf("%s, as expected: %s", e.Action, reason)
			case e.Action != "pass":
				t.Errorf("%s:\n%s", e.Action, said[e.Test])
			}
		})
	}
	return failed, cases
}
