package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"leveret/spool"
	"leveret/spool/mem"
)

// TestWhoSeesWhat: monitoring and administrators see everything, others what is
// theirs.
func TestWhoSeesWhat(t *testing.T) {
	g := newGateway(t)
	for _, c := range []struct {
		who, target, key string
		want             []string
	}{
		{"monitor", "/api/vhosts", "name", []string{"/", "lab/a"}},
		{"local", "/api/vhosts", "name", []string{"/", "lab/a"}},
		{"anna", "/api/vhosts", "name", []string{"/"}},
		{"monitor", "/api/queues", "name", []string{"mine", "other", "a/b c"}},
		{"anna", "/api/queues", "name", []string{"mine", "other"}},
		{"monitor", "/api/connections", "name", []string{"10.0.0.7:4711 -> 127.0.0.1:1", "[fe80::1]:5 -> 127.0.0.1:1"}},
		{"anna", "/api/connections", "name", []string{"10.0.0.7:4711 -> 127.0.0.1:1"}},
		{"rules", "/api/connections", "name", nil},
		{"monitor", "/api/vhosts/lab%2Fa/connections", "user_provided_name", []string{"worker"}},
		{"monitor", "/api/channels", "name", []string{"[fe80::1]:5 -> 127.0.0.1:1 (3)"}},
		{"anna", "/api/channels", "name", nil},
		{"monitor", "/api/connections/" + url.PathEscape("[fe80::1]:5 -> 127.0.0.1:1") + "/channels", "user", []string{"root"}},
		{"monitor", "/api/consumers", "consumer_tag", []string{"tag"}},
		{"anna", "/api/consumers", "consumer_tag", nil},
		{"monitor", "/api/devices", "id", []string{"amqp:root@worker", "meter/1"}},
		{"anna", "/api/devices", "id", []string{"meter/1"}},
		{"anna", "/api/bindings", "properties_key", []string{"mine", "other", "plant.%23~aEFEOyZNzb3u-R4X"}},
		{"monitor", "/api/queues/%2F/mine/bindings", "source", []string{"", "amq.topic"}},
		{"monitor", "/api/exchanges/%2F/amq.topic/bindings/source", "destination", []string{"mine"}},
		{"monitor", "/api/exchanges/%2F/amq.default/bindings/source", "destination", []string{"mine", "other"}},
		{"monitor", "/api/exchanges/%2F/amq.topic/bindings/destination", "source", nil},
	} {
		got := g.names(c.who, c.target, c.key)
		if c.key == "properties_key" { // the sum of the arguments is ours to choose
			for i := range got {
				if at := strings.Index(got[i], "~"); at > 0 {
					got[i], c.want[i] = got[i][:at], c.want[i][:at]
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("GET %s as %s: %q, want %q", c.target, c.who, got, c.want)
		}
	}
	for _, target := range []string{
		"/api/queues/lab%2Fa", "/api/queues/lab%2Fa/a%2Fb%20c", "/api/exchanges/lab%2Fa", "/api/bindings/lab%2Fa", "/api/vhosts/lab%2Fa",
		"/api/consumers/lab%2Fa", "/api/vhosts/lab%2Fa/connections", "/api/retained/lab%2Fa",
		"/api/connections/" + url.PathEscape("[fe80::1]:5 -> 127.0.0.1:1"), "/api/channels/" + url.PathEscape("[fe80::1]:5 -> 127.0.0.1:1 (3)"),
		"/api/devices/amqp:root@worker",
	} {
		if w := g.ask("anna", "GET", target); w.Code != 403 {
			t.Errorf("GET %s as anna: %d %s", target, w.Code, w.Body)
		}
		if w := g.ask("monitor", "GET", target); w.Code != 200 && !strings.HasPrefix(target, "/api/retained") {
			t.Errorf("GET %s as monitor: %d %s", target, w.Code, w.Body)
		}
	}
}

// TestViews compares single things in whole.
func TestViews(t *testing.T) {
	g := newGateway(t)
	worker := url.PathEscape("[fe80::1]:5 -> 127.0.0.1:1")
	for target, want := range map[string]string{
		"/api/connections/" + worker: `{"name":"[fe80::1]:5 -\u003e 127.0.0.1:1","vhost":"lab/a","user":"root","node":"leveret@test","type":"network",
			"protocol":"AMQP 0-9-1","state":"blocked","channels":1,"peer_host":"fe80::1","peer_port":5,"host":"127.0.0.1","port":1,"ssl":true,
			"auth_mechanism":"PLAIN","frame_max":131072,"channel_max":2047,"timeout":60,"connected_at":1700000001000,
			"client_properties":{"connection_name":"worker","product":"\u003cb\u003e"},"user_provided_name":"worker",
			"user_who_performed_action":"root","recv_oct":11,"recv_cnt":2,"send_oct":33,"send_cnt":4,"send_pend":0,"messages_in":0,"bytes_in":0,"messages_out":0,"bytes_out":0}`,
		"/api/channels/" + worker + "%20%283%29": `{"name":"[fe80::1]:5 -\u003e 127.0.0.1:1 (3)","number":3,"vhost":"lab/a","user":"root","node":"leveret@test",
			"state":"running","consumer_count":1,"messages_unacknowledged":0,"prefetch_count":5,"global_prefetch_count":0,
			"confirm":true,"transactional":false,"messages_unconfirmed":7,"messages_uncommitted":0,"acks_uncommitted":0,"user_who_performed_action":"root",
			"connection_details":{"name":"[fe80::1]:5 -\u003e 127.0.0.1:1","peer_host":"fe80::1","peer_port":5}}`,
		"/api/queues/lab%2Fa/a%2Fb%20c": `{"name":"a/b c","vhost":"lab/a","node":"leveret@test","type":"classic","state":"running","durable":true,
			"auto_delete":false,"exclusive":false,"arguments":{"x-nan":"NaN","x-max-length":9},"messages":0,"messages_ready":0,
			"messages_unacknowledged":0,"messages_delayed":0,"message_bytes_ready":0,"consumers":1,"policy":null,"operator_policy":null,
			"message_stats":{"publish":0,"gone":0},"consumer_details":[{"consumer_tag":"tag","queue":{"name":"a/b c","vhost":"lab/a"},
			"ack_required":true,"exclusive":false,"prefetch_count":5,"active":true,"activity_status":"up","messages_unacknowledged":0,"arguments":{},
			"channel_details":{"name":"[fe80::1]:5 -\u003e 127.0.0.1:1 (3)","number":3,"user":"root","node":"leveret@test",
			"connection_name":"[fe80::1]:5 -\u003e 127.0.0.1:1","peer_host":"fe80::1","peer_port":5}}]}`,
		"/api/exchanges/%2F/amq.default": `{"name":"","vhost":"/","type":"direct","durable":true,"auto_delete":false,"internal":false,"arguments":{}}`,
		"/api/whoami":                    `{"name":"root","tags":["administrator"]}`,
		"/api/health/checks/alarms":      `{"status":"ok"}`,
		"/api/vhosts/%2F": `{"name":"/","description":"","tags":[],"default_queue_type":"classic","tracing":false,"messages":3,"messages_ready":3,
			"messages_unacknowledged":0,"cluster_state":{"leveret@test":"running"}}`,
		"/api/devices/amqp:root@worker": `{"id":"amqp:root@worker","client":"worker","user":"root","vhost":"lab/a","protocol":"AMQP 0-9-1",
			"address":"[fe80::1]:5","connected":true,"connections":1,"first_seen":"2023-11-14T22:13:21Z","last_seen":"2023-11-14T22:13:21Z",
			"last_message":null,"messages_in":0,"bytes_in":0,"messages_out":0,"bytes_out":0,"silent":false,"silent_after_seconds":0}`,
	} {
		var got, wanted any
		g.get("root", target, &got)
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if !reflect.DeepEqual(got, wanted) {
			text, _ := json.Marshal(got)
			t.Errorf("GET %s:\n%s\nwant\n%s", target, text, want)
		}
	}
	var overview struct {
		Totals map[string]int `json:"object_totals"`
		Queues map[string]int `json:"queue_totals"`
	}
	g.get("anna", "/api/overview", &overview)
	if overview.Totals["connections"] != 1 || overview.Totals["queues"] != 2 || overview.Queues["messages"] != 3 {
		t.Errorf("overview of anna %+v", overview)
	}
	mqtt := g.names("anna", "/api/connections", "protocol")
	if !slices.Equal(mqtt, []string{"MQTT 3-1-1"}) {
		t.Errorf("protocols %q", mqtt)
	}
	g.server.o.Alarms = func() []string { return []string{"disk"} }
	if w := g.ask("root", "GET", "/api/health/checks/alarms"); w.Code != 503 || !strings.Contains(w.Body.String(), `"resource":"disk"`) {
		t.Errorf("with an alarm: %d %s", w.Code, w.Body)
	}
}

func TestClosingConnections(t *testing.T) {
	g := newGateway(t)
	sensor, worker := "/api/connections/"+url.PathEscape("10.0.0.7:4711 -> 127.0.0.1:1"), "/api/connections/"+url.PathEscape("[fe80::1]:5 -> 127.0.0.1:1")
	for _, c := range []struct {
		who, target string
		want        int
	}{
		{"anna", worker, 403}, {"manager", sensor, 403}, {"policymaker", sensor, 403}, {"monitor", sensor, 403}, {"local", sensor, 401},
		{"anna", sensor, 204}, {"root", worker, 204},
	} {
		w := g.ask(c.who, "DELETE", c.target, func(r *http.Request) {
			if c.who == "root" {
				r.Header.Set("X-Reason", "spring cleaning")
			}
		})
		if w.Code != c.want {
			t.Errorf("DELETE %s as %s: %d %s, want %d", c.target, c.who, w.Code, w.Body, c.want)
		}
	}
	want := []string{
		"10.0.0.7:4711: CONNECTION_FORCED - Closed via management plugin",
		"[fe80::1]:5: CONNECTION_FORCED - spring cleaning",
	}
	if !slices.Equal(g.ended, want) {
		t.Errorf("ended %q, want %q", g.ended, want)
	}
}

// TestRulingOverQueues: the tag lets a user come, the permissions say to which
// queues.
func TestRulingOverQueues(t *testing.T) {
	g := newGateway(t)
	for _, c := range []struct {
		who, method, target string
		want                int
	}{
		{"rules", "PUT", "/api/queues/%2F/mine/pause", 204},
		{"rules", "PUT", "/api/queues/%2F/other/pause", 403},
		{"rules", "PUT", "/api/queues/lab%2Fa/a%2Fb%20c/pause", 403},
		{"policymaker", "PUT", "/api/queues/lab%2Fa/a%2Fb%20c/pause", 204},
		{"anna", "DELETE", "/api/queues/%2F/other/contents", 403},
		{"anna", "DELETE", "/api/queues/lab%2Fa/a%2Fb%20c/contents", 403},
		{"anna", "DELETE", "/api/queues/%2F/mine/contents", 204},
	} {
		if w := g.ask(c.who, c.method, c.target); w.Code != c.want {
			t.Errorf("%s %s as %s: %d %s, want %d", c.method, c.target, c.who, w.Code, w.Body, c.want)
		}
	}
	st, _ := g.core.QueueStatus("/", "mine")
	if !st.Paused || st.Ready != 0 {
		t.Errorf("queue is %+v", st)
	}
	var v queueView
	g.get("root", "/api/queues/%2F/mine", &v)
	if v.State != "paused" {
		t.Errorf("state %q", v.State)
	}
	if w := g.ask("root", "PUT", "/api/queues/%2F/mine/resume"); w.Code != 204 {
		t.Errorf("resume: %d", w.Code)
	}
	if st, _ := g.core.QueueStatus("/", "mine"); st.Paused {
		t.Error("still paused")
	}
}

// TestSuccessWaitsForTheDisk: nothing is answered before the log has committed.
func TestSuccessWaitsForTheDisk(t *testing.T) {
	for _, c := range []struct{ method, target string }{
		{"PUT", "/api/queues/%2F/mine/pause"},
		{"DELETE", "/api/queues/%2F/mine/contents"},
		{"DELETE", "/api/devices/meter%2F1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := mem.New()
			g := newGatewayOn(t, log)
			g.sensor.Close()
			log.Commit()
			answered := make(chan int, 1)
			go func() { answered <- g.ask("root", c.method, c.target).Code }()
			synctest.Wait()
			if len(answered) > 0 {
				t.Fatalf("%s %s: answered %d before the commit", c.method, c.target, <-answered)
			}
			log.Commit()
			if code := <-answered; code != 204 {
				t.Errorf("%s %s: %d after the commit", c.method, c.target, code)
			}
		})
	}
}

func TestRetainedValues(t *testing.T) {
	g := newGateway(t)
	type value struct {
		Topic, Payload string
		Key            string `json:"routing_key"`
		Encoding       string `json:"payload_encoding"`
		Bytes          int    `json:"payload_bytes"`
	}
	ask := func(who, target string) (list []value) {
		t.Helper()
		var p struct{ Items []value }
		g.get(who, target, &p)
		return p.Items
	}
	all := []value{
		{"other/1", "hidden", "other.1", "string", 6},
		{"plant/1/raw", "//4=", "plant.1.raw", "base64", 2},
		{"plant/1/temp", "21.5", "plant.1.temp", "string", 4},
	}
	for _, c := range []struct {
		who, target string
		want        []value
	}{
		{"root", "/api/retained", all},
		{"root", "/api/retained/%2F/amq.topic", all},
		{"root", "/api/retained/%2F/amq.default", nil},
		{"root", "/api/retained/lab%2Fa", nil},
		{"root", "/api/retained?filter=plant/%2B/temp", all[2:]},
		{"root", "/api/retained?filter=plant/1/temp", all[2:]},
		{"root", "/api/retained?filter=plant/%23&page=2&page_size=1", all[2:]},
		{"anna", "/api/retained", all[1:]}, // her topics begin with plant
		{"rules", "/api/retained/%2F", all[1:]},
	} {
		if got := ask(c.who, c.target); !slices.Equal(got, c.want) {
			t.Errorf("GET %s as %s: %v, want %v", c.target, c.who, got, c.want)
		}
	}
	// Large values are listed without what they are, but for the first.
	large := strings.Repeat("x", payloadBytesMax-10)
	for _, key := range []string{"big.1", "big.2", "big.3"} {
		g.publish(g.sensor, "amq.topic", key, large, true)
	}
	got := ask("root", "/api/retained?filter=big/%23")
	if len(got) != 3 || len(got[0].Payload) != len(large) || got[1].Payload != "" || got[1].Bytes != len(large) {
		t.Errorf("of three large values %d have payloads of %d, %d bytes", len(got), len(got[0].Payload), len(got[1].Payload))
	}
	if got := ask("root", "/api/retained?filter=big/2"); len(got) != 1 || len(got[0].Payload) != len(large) {
		t.Error("a large value cannot be had alone")
	}
}

func TestForgettingDevices(t *testing.T) {
	g := newGateway(t)
	const meter = "/api/devices/meter%2F1"
	g.sensor.Close()
	if w := g.ask("root", "DELETE", meter); w.Code != 204 {
		t.Fatalf("forget: %d %s", w.Code, w.Body)
	}
	if w := g.ask("root", "DELETE", meter); w.Code != 404 {
		t.Errorf("forget twice: %d %s", w.Code, w.Body)
	}
	found := false
	g.log = g.log.Crash()
	g.must(g.log.Load(func(key string, value []byte) error {
		found = found || strings.Contains(string(value), "meter/1")
		return nil
	}, func(spool.Depth) error { return nil }))
	if found {
		t.Error("the spool still knows it")
	}
}
