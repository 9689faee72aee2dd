package interop

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestSmoke is one short round through every door. The cross-built binaries
// run it under their emulator.
func TestSmoke(t *testing.T) {
	g := openGateway(t, "")
	if out, code := runCommand(t, startMax, "", leveretCommand("version")); code != 0 || strings.TrimSpace(out) == "" {
		t.Errorf("leveret version: code %d, %q", code, out)
	}
	goRound(t, g.amqp())
	sensor, err := dialMQTT(g.mqtt(), "smoke")
	must(t, err)
	defer sensor.close()
	acked := 0
	texts := []string{reading{"s", 1}.String(), reading{"s", 2}.String(), reading{"s", 3}.String()}
	must(t, sensor.publish("plant/s/temp", texts, func(int) { acked++ }))
	if acked != len(texts) {
		t.Errorf("%d of %d readings were acknowledged", acked, len(texts))
	}
	g.mustStop(t)
}

// TestOperatorSees: health, figures and status of a gateway that works.
func TestOperatorSees(t *testing.T) {
	g := openGateway(t, "[[queue]]\nname = \"seen\"\ndurable = true\n")
	if code, body := fetch(t, g.admin()+"/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, body)
	}
	code, body := fetch(t, g.admin()+"/metrics")
	if code != http.StatusOK || !strings.Contains(body, "leveret_") {
		t.Errorf("/metrics: %d, %s", code, firstLine(body))
	}
	out, err := leveretCommand("status", "--json", "--set", "data_dir="+g.data()).Output()
	must(t, err)
	if !json.Valid(out) || !bytes.Contains(out, []byte(`"seen"`)) {
		t.Errorf("leveret status --json is no JSON that names the queue:\n%s", out)
	}
}

func fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience}
	reply, err := client.Get(url)
	must(t, err)
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, 8<<20))
	must(t, err)
	return reply.StatusCode, string(body)
}
