package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// TestMosquittoBridge: a Mosquitto that exists already is joined to leveret by
// its own configuration, in both directions, and the bridge mends itself when
// leveret was killed: what either side takes in between arrives, once. The
// bridge speaks 3.1.1, its default: in MQTT 5 version 2.0 asks for no session
// expiry, so nothing would wait for it.
func TestMosquittoBridge(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "")
	site := mosquittoTools{g.mqtt(), "mqttv311"}
	site.pub(t, "down/ready", "yes", "-r", "-q", "1")
	cellar := mosquittoTools{startBridge(t, g.mqtt()), "mqttv311"}
	cellar.expect(t, []string{"down/ready yes"}, "-t", "down/ready") // the bridge has subscribed
	site.leaveBridge(t, "up/r")
	cellar.leaveBridge(t, "down/r")

	cellar.pubAll(t, "up/r", "one", "two")
	site.pubAll(t, "down/r", "one", "two")
	site.joinBridge(t, "up/r", "one", "two")
	cellar.joinBridge(t, "down/r", "one", "two")

	site.pubAll(t, "down/r", "three")
	g.kill()
	cellar.pubAll(t, "up/r", "three", "four")
	g.mustStart(t)
	site.pubAll(t, "down/r", "four")
	site.joinBridge(t, "up/r", "three", "four")
	cellar.joinBridge(t, "down/r", "three", "four")
}

func (m mosquittoTools) pubAll(t *testing.T, topic string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		m.pub(t, topic, text, "-q", "2")
	}
}

// bridgeArgs keep a session for one topic.
func (m mosquittoTools) bridgeArgs(topic string) []string {
	return []string{"-c", "-i", "reader", "-q", "2", "-t", topic}
}

func (m mosquittoTools) leaveBridge(t *testing.T, topic string) {
	t.Helper()
	out, code := run(t, patience, "", "mosquitto_sub", m.args(append(m.bridgeArgs(topic), "-E")...)...)
	if code != 0 {
		t.Fatalf("mosquitto_sub -E ended with code %d: %s", code, out)
	}
}

func (m mosquittoTools) joinBridge(t *testing.T, topic string, want ...string) {
	t.Helper()
	m.sub(t, append(m.bridgeArgs(topic), "-C", strconv.Itoa(len(want)))...).expect(t, want...)
}

// startBridge starts a Mosquitto that carries up/# to the broker at addr and
// down/# from it.
func startBridge(t *testing.T, addr string) string {
	t.Helper()
	dir, own := t.TempDir(), freeAddr()
	conf := filepath.Join(dir, "bridge.conf")
	text := fmt.Sprintf(`listener %s 127.0.0.1
allow_anonymous true
persistence false
user root
connection leveret
address %s
bridge_protocol_version mqttv311
remote_clientid bridge
cleansession false
notifications false
try_private false
restart_timeout 1
topic up/# out 2
topic down/# in 2
`, port(own), addr)
	must(t, os.WriteFile(conf, []byte(text), 0o600))
	startPeer(t, exec.Command("/usr/sbin/mosquitto", "-c", conf), nil)
	until(t, patience, "Mosquitto answers", func() bool { return answers(own) })
	return own
}
