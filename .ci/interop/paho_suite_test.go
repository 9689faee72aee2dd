package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pahoModule is the Go client whose own functional tests are run.
const pahoModule = "github.com/eclipse/paho.mqtt.golang@v1.5.1"

// pahoCasesMin is how many functional tests that version has.
const pahoCasesMin = 35

// TestPahoSuite runs the functional tests that come with the client: they want
// a broker, ours is it.
func TestPahoSuite(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "")
	dir := pahoSources(t, g.mqtt())
	goSuite{
		dir:   dir,
		env:   []string{"CGO_ENABLED=0", "GOWORK=off"},
		args:  []string{"-timeout=5m"},
		limit: 6 * time.Minute,
		cases: pahoCasesMin,
	}.check(t)
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
	out, err := goCommand("", nil, "mod", "download", "-json", module)
	must(t, err)
	var found struct{ Dir string }
	must(t, json.Unmarshal(out, &found))
	return found.Dir
}
