package interop

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestMQTTClients runs the rounds of the clients that programs on a gateway
// use. Mosquitto 2.0 passes them too, but for streams, which it cuts at 20
// messages in flight, and for what one of its own subscription options does
// to retained messages.
func TestMQTTClients(t *testing.T) {
	t.Parallel()
	socket := freeAddr()
	g := openGateway(t, fmt.Sprintf("[mqtt]\nwebsocket_listen = %q\n", socket))
	paho := func(version string) *exec.Cmd {
		return python("paho_round.py", "127.0.0.1", port(g.mqtt()), version, "paho"+version+"/")
	}
	clients := []struct {
		name string
		cmd  *exec.Cmd
		min  int // cases
	}{
		{"paho/3.1.1", paho("4"), 9},
		{"paho/5", paho("5"), 13},
		{"MQTT.js/tcp/3.1.1", node("mqttjs_round.js", "mqtt://"+g.mqtt(), "4", "js4/"), 5},
		{"MQTT.js/tcp/5", node("mqttjs_round.js", "mqtt://"+g.mqtt(), "5", "js5/"), 7},
		{"MQTT.js/websocket/3.1.1", node("mqttjs_round.js", "ws://"+socket+"/mqtt", "4", "ws4/"), 5},
		{"MQTT.js/websocket/5", node("mqttjs_round.js", "ws://"+socket+"/mqtt", "5", "ws5/"), 7},
	}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) { scriptCases(t, c.cmd, c.min) })
	}
}

// scriptCases runs a script whose lines are "ok CASE" or "failed CASE: WHY" and
// makes each a test.
func scriptCases(t *testing.T, cmd *exec.Cmd, casesMin int) {
	t.Helper()
	out, code := runCommand(t, clientLimit, "", cmd)
	cases := 0
	for line := range strings.Lines(out) {
		name, passed := strings.CutPrefix(strings.TrimSpace(line), "ok ")
		why, failed := strings.CutPrefix(name, "failed ")
		if !passed && !failed {
			continue
		}
		cases++
		if failed {
			name, why, _ = strings.Cut(why, ": ")
		}
		t.Run(name, func(t *testing.T) {
			if failed {
				t.Error(why)
			}
		})
	}
	if cases < casesMin || code != 0 {
		t.Errorf("%d cases, want %d; code %d:\n%s", cases, casesMin, code, out)
	}
}
