package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNodeRED runs Node-RED's own MQTT nodes, as its users wire them: an "mqtt
// in" that hands on to an "mqtt out", in both protocol versions. The same is
// asked of Mosquitto.
func TestNodeRED(t *testing.T) {
	t.Parallel()
	brokers := []struct {
		name string
		addr func() string
	}{
		{"mosquitto", func() string { return startMosquitto(t) }},
		{"leveret", func() string { return openGateway(t, "").mqtt() }},
	}
	for _, b := range brokers {
		addr := b.addr()
		for _, version := range []struct{ flow, tools string }{{"4", "mqttv311"}, {"5", "mqttv5"}} {
			t.Run(b.name+"/"+version.tools, func(t *testing.T) {
				testNodeRED(t, mosquittoTools{addr, version.tools}, version.flow)
			})
		}
	}
}

func testNodeRED(t *testing.T, m mosquittoTools, version string) {
	site := "nr" + version
	m.pub(t, site+"/to/kept", "a value", "-r", "-q", "1")
	early := m.sub(t, "-t", site+"/from/kept", "-q", "2", "-C", "1", "-F", "%q %r %p")
	red := startNodeRED(t, m.addr, version, site)
	// Its birth message is retained, and it has subscribed behind it.
	until(t, patience, "Node-RED is connected", func() bool {
		out, _ := run(t, patience, "", "mosquitto_sub", m.args("-t", site+"/birth", "-C", "1", "-W", "3", "-F", "%r %p")...)
		return firstLine(out) == "1 here"
	})
	early.expect(t, "1 0 a value") // what was retained came to it, and went on

	for _, q := range []string{"0", "1", "2"} {
		s := m.sub(t, "-t", site+"/from/a/b", "-q", "2", "-C", "1", "-F", "%q %t %p")
		m.pub(t, site+"/to/a/b", "text", "-q", q)
		s.expect(t, q+" "+site+"/from/a/b text")
	}
	if version == "5" {
		s := m.sub(t, "-t", site+"/from/p", "-q", "1", "-C", "1", "-F", "%P|%C|%p")
		m.pub(t, site+"/to/p", "text", "-q", "1", "-D", "publish", "user-property", "unit", "C", "-D", "publish", "content-type", "text/plain")
		s.expect(t, "unit:C|text/plain|text")
	}

	will := m.sub(t, "-t", site+"/will", "-q", "1", "-C", "1", "-F", "%q %p")
	red.kill()
	will.expect(t, "1 gone")
}

// startNodeRED runs Node-RED without its editor on one flow.
func startNodeRED(t *testing.T, addr, version, site string) *process {
	t.Helper()
	dir := t.TempDir()
	type node map[string]any
	flow := []node{
		{"id": "tab", "type": "tab", "label": "site"},
		{
			"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": port(addr), "clientid": site, "autoConnect": true,
			"usetls": false, "protocolVersion": version, "keepalive": "30", "cleansession": true,
			"birthTopic": site + "/birth", "birthQos": "1", "birthRetain": "true", "birthPayload": "here", "birthMsg": node{},
			"willTopic": site + "/will", "willQos": "1", "willRetain": "false", "willPayload": "gone", "willMsg": node{},
			"closeTopic": "", "closePayload": "", "closeMsg": node{}, "userProps": "", "sessionExpiry": "",
		},
		{
			"id": "in", "type": "mqtt in", "z": "tab", "topic": site + "/to/#", "qos": "2", "datatype": "buffer", "broker": "broker",
			"nl": false, "rap": true, "rh": 0, "inputs": 0, "wires": [][]string{{"turn"}},
		},
		{
			"id": "turn", "type": "function", "z": "tab", "outputs": 1, "wires": [][]string{{"out"}},
			"func": `msg.topic = msg.topic.replace("/to/", "/from/"); msg.retain = false; return msg;`,
		},
		{"id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "", "retain": "", "broker": "broker", "wires": [][]string{}},
	}
	text, err := json.Marshal(flow)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "flows.json"), text, 0o600))
	settings := fmt.Sprintf("module.exports = {uiHost: '127.0.0.1', uiPort: %s, httpAdminRoot: false, httpNodeRoot: false, flowFile: 'flows.json', credentialSecret: false, telemetry: {enabled: false, updateNotification: false}}\n", port(freeAddr()))
	must(t, os.WriteFile(filepath.Join(dir, "settings.js"), []byte(settings), 0o600))
	return startPeer(t, exec.Command("node", filepath.Join(os.Getenv("NODE_PATH"), "node-red", "red.js"), "-s", filepath.Join(dir, "settings.js"), "-u", dir), nil)
}
