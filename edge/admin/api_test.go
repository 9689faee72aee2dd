package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"leveret/amqp"
)

var nan = math.NaN()

// everyone is who may ask, in the order of the codes below.
var everyone = []string{"local", "", "root:wrong", "tagless", "manager", "policymaker", "monitor", "root"}

// Codes by what a route asks for, written down once more and independently of
// access.go. "-" stands for the answer of the route itself.
const (
	//            local none wrong tagless manager policy monitor root
	lookCodes   = "-     401  401   401     -       -      -       -"
	watchCodes  = "-     401  401   401     403     403    -       -"
	knownCodes  = "401   401  401   401     -       -      -       -"
	changeCodes = "401   401  401   401     -       -      403     -"
	ruleCodes   = "401   401  401   401     403     -      403     -"
	rootCodes   = "401   401  401   401     403     403    403     -"
)

// endpoints are all routes with something to ask for: who may, and what those
// who may are answered.
var endpoints = []struct {
	method, path, target string
	codes                string
	want                 int
}{
	{"GET", "/metrics", "/metrics", watchCodes, 200},
	{"GET", "/api/status", "/api/status", watchCodes, 200},
	{"GET", "/api/overview", "/api/overview", lookCodes, 200},
	{"GET", "/api/whoami", "/api/whoami", knownCodes, 200},
	{"GET", "/api/nodes", "/api/nodes", watchCodes, 200},
	{"GET", "/api/nodes/{name}", "/api/nodes/leveret@test", watchCodes, 200},
	{"GET", "/api/health/checks/alarms", "/api/health/checks/alarms", lookCodes, 200},
	{"GET", "/api/health/checks/local-alarms", "/api/health/checks/local-alarms", lookCodes, 200},
	{"GET", "/api/vhosts", "/api/vhosts", lookCodes, 200},
	{"GET", "/api/vhosts/{vhost}", "/api/vhosts/%2F", lookCodes, 200},
	{"GET", "/api/connections", "/api/connections/", lookCodes, 200},
	{"GET", "/api/connections/{name}", "/api/connections/gone", lookCodes, 404},
	{"DELETE", "/api/connections/{name}", "/api/connections/gone", changeCodes, 404},
	{"GET", "/api/vhosts/{vhost}/connections", "/api/vhosts/lab%2Fa/connections", lookCodes, 200},
	{"GET", "/api/channels", "/api/channels", lookCodes, 200},
	{"GET", "/api/channels/{name}", "/api/channels/gone", lookCodes, 404},
	{"GET", "/api/connections/{name}/channels", "/api/connections/gone/channels", lookCodes, 404},
	{"GET", "/api/consumers", "/api/consumers", lookCodes, 200},
	{"GET", "/api/consumers/{vhost}", "/api/consumers/%2F", lookCodes, 200},
	{"GET", "/api/exchanges", "/api/exchanges", lookCodes, 200},
	{"GET", "/api/exchanges/{vhost}", "/api/exchanges/%2f", lookCodes, 200},
	{"GET", "/api/exchanges/{vhost}/{name}", "/api/exchanges/%2F/amq.default", lookCodes, 200},
	{"GET", "/api/exchanges/{vhost}/{name}/bindings/source", "/api/exchanges/%2F/amq.topic/bindings/source", lookCodes, 200},
	{"GET", "/api/exchanges/{vhost}/{name}/bindings/destination", "/api/exchanges/%2F/amq.topic/bindings/destination", lookCodes, 200},
	{"GET", "/api/bindings", "/api/bindings", lookCodes, 200},
	{"GET", "/api/bindings/{vhost}", "/api/bindings/%2F", lookCodes, 200},
	{"GET", "/api/queues", "/api/queues", lookCodes, 200},
	{"GET", "/api/queues/{vhost}", "/api/queues/%2F", lookCodes, 200},
	{"GET", "/api/queues/{vhost}/{name}", "/api/queues/lab%2Fa/a%2Fb%20c", lookCodes, 200},
	{"GET", "/api/queues/{vhost}/{name}/bindings", "/api/queues/%2F/mine/bindings", lookCodes, 200},
	{"DELETE", "/api/queues/{vhost}/{name}/contents", "/api/queues/%2F/mine/contents", changeCodes, 204},
	{"PUT", "/api/queues/{vhost}/{name}/pause", "/api/queues/%2F/mine/pause", ruleCodes, 204},
	{"PUT", "/api/queues/{vhost}/{name}/resume", "/api/queues/%2F/mine/resume", ruleCodes, 204},
	{"GET", "/api/retained", "/api/retained", knownCodes, 200},
	{"GET", "/api/retained/{vhost}", "/api/retained/%2F", knownCodes, 200},
	{"GET", "/api/retained/{vhost}/{exchange}", "/api/retained/%2F/amq.topic", knownCodes, 200},
	{"GET", "/api/devices", "/api/devices", lookCodes, 200},
	{"GET", "/api/devices/{id}", "/api/devices/gone", lookCodes, 404},
	{"DELETE", "/api/devices/{id}", "/api/devices/gone", rootCodes, 404},
}

// TestEveryEndpointForEveryone asks for everything as everybody. Wrong logins
// are answered a second later, so time is virtual.
func TestEveryEndpointForEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		asked := make(map[string]bool)
		for _, e := range endpoints {
			asked[e.method+" "+e.path] = true
			codes := strings.Fields(e.codes)
			for i, who := range everyone {
				want := codes[i]
				if want == "-" {
					want = fmt.Sprint(e.want)
				}
				w := g.ask(who, e.method, e.target)
				if got := fmt.Sprint(w.Code); got != want {
					t.Errorf("%s %s as %q: %s %s, want %s", e.method, e.target, who, got, w.Body, want)
				}
				if w.Code >= 400 {
					refused(t, e.method+" "+e.target, w.Body.Bytes())
				}
				if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" && (who == "" || strings.Contains(who, ":")) {
					t.Errorf("%s %s as %q: no challenge", e.method, e.target, who)
				}
			}
		}
		for _, r := range g.server.routes() {
			if !asked[r.method+" "+r.path] {
				t.Errorf("%s %s is not in this test", r.method, r.path)
			}
		}
	})
}

// refused checks that a refusal has RabbitMQ's form.
func refused(t *testing.T, what string, body []byte) {
	t.Helper()
	var said struct{ Error, Reason string }
	if err := json.Unmarshal(body, &said); err != nil || said.Error == "" || said.Reason == "" {
		t.Errorf("%s is refused with %s", what, body)
	}
}

func TestWrongRequests(t *testing.T) {
	g := newGateway(t)
	with := func(header, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(header, value) }
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(text)) }
	}
	long := strings.Repeat("x", bodyBytesMax+1)
	nested := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	const pause = "/api/queues/%2F/mine/pause"
	for _, c := range []struct {
		method, target string
		edit           func(*http.Request)
		want           int
	}{
		{"GET", "/api/users", nil, 404},
		{"POST", "/api/definitions", body("{}"), 404},
		{"PUT", "/api/policies/%2F/p", body("{}"), 404},
		{"GET", "/api", nil, 404},
		{"GET", "/api/", nil, 404},
		{"POST", "/api/queues", nil, 405},
		{"DELETE", "/api/queues/%2F/mine", nil, 405},
		{"GET", pause, nil, 405},
		{"OPTIONS", pause, nil, 405},
		{"TRACE", "/api/overview", nil, 405},
		{"HEAD", "/api/overview", nil, 200},
		{"PUT", pause, body("{}"), 204},
		{"PUT", pause, body(nested), 204},
		{"PUT", pause, body(long), 413},
		{"GET", "/api/overview", body(long), 413},

		{"GET", "/api/queues/none", nil, 404},
		{"GET", "/api/queues/none/q", nil, 404},
		{"GET", "/api/queues/%2F/none", nil, 404},
		{"GET", "/api/queues/%2F/%00", nil, 404},
		{"GET", "/api/queues/%2F/..%2F..%2Fetc%2Fpasswd", nil, 404},
		{"GET", "/api/queues/%2F/%2e%2e", nil, 404},
		{"GET", "/api/queues/%2F/" + strings.Repeat("n", 10_000), nil, 404},
		{"GET", "/api/exchanges/%2F/none", nil, 404},
		{"GET", "/api/nodes/none", nil, 404},
		{"GET", "/api/vhosts/none", nil, 404},
		{"PUT", "/api/queues/%2F/none/pause", nil, 404},
		{"DELETE", "/api/queues/%2F/none/contents", nil, 404},
		{"DELETE", "/api/devices/meter%2F1", nil, 409},

		{"GET", "/api/queues?page=0", nil, 400},
		{"GET", "/api/queues?page=9", nil, 400},
		{"GET", "/api/queues?page=x", nil, 400},
		{"GET", "/api/queues?page=1&page_size=501", nil, 400},
		{"GET", "/api/queues?page=999999999999999999999", nil, 400},
		{"GET", "/api/retained/none", nil, 404},

		// Pages of other sites.
		{"PUT", pause, with("Origin", "http://evil.example"), 403},
		{"PUT", pause, with("Origin", "null"), 403},
		{"PUT", pause, with("Sec-Fetch-Site", "cross-site"), 403},
		{"PUT", pause, with("Sec-Fetch-Site", "same-site"), 403},
		{"PUT", pause, with("Origin", "http://gateway"), 204},
		{"PUT", pause, with("Sec-Fetch-Site", "same-origin"), 204},
		{"DELETE", "/api/connections/gone", with("Origin", "https://evil.example"), 403},

		{"GET", "/api/overview", with("Authorization", "Bearer x"), 401},
		{"GET", "/api/overview", with("Authorization", "Basic ?"), 401},
	} {
		edits := []func(*http.Request){}
		if c.edit != nil {
			edits = append(edits, c.edit)
		}
		w := g.ask("root", c.method, c.target, edits...)
		if w.Code != c.want {
			t.Errorf("%s %.80s: %d %s, want %d", c.method, c.target, w.Code, w.Body, c.want)
		}
		if w.Code >= 400 && c.method != "HEAD" {
			refused(t, c.method+" "+c.target, w.Body.Bytes())
		}
		if w.Code == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no word of what is allowed", c.method, c.target)
		}
	}
	if w := g.ask("local", "GET", "/api/overview", with("Authorization", "Bearer x")); w.Code != 401 {
		t.Errorf("a login of another kind, on this machine: %d", w.Code)
	}
	// The path in plain is cleaned by the mux, never walked.
	if w := g.ask("root", "GET", "/api/queues/../../etc/passwd"); w.Code == 200 {
		t.Errorf("a path that climbs: %d %s", w.Code, w.Body)
	}
	if strings.Contains(g.lines.String(), "cmlnaHQ") || strings.Contains(g.lines.String(), "Basic") { // base64 of "right"
		t.Errorf("a login is in the log:\n%s", g.lines)
	}
}

func TestPages(t *testing.T) {
	g := newGateway(t)
	var p struct {
		Items                                              []map[string]any
		Filtered, Count, Page, Pages, Size, Total, Unknown int
		FilteredCount                                      int `json:"filtered_count"`
		ItemCount                                          int `json:"item_count"`
		PageCount                                          int `json:"page_count"`
		PageSize                                           int `json:"page_size"`
		TotalCount                                         int `json:"total_count"`
	}
	g.get("root", "/api/queues?page=2&page_size=2&columns=name,state,none", &p)
	if len(p.Items) != 1 || len(p.Items[0]) != 2 || p.Items[0]["name"] != "a/b c" || p.TotalCount != 3 || p.PageCount != 2 || p.PageSize != 2 || p.ItemCount != 1 || p.FilteredCount != 3 {
		t.Errorf("second page %+v", p)
	}
	g.get("root", "/api/queues?page=1&name=in", &p)
	if len(p.Items) != 1 || p.Items[0]["name"] != "mine" || p.FilteredCount != 1 || p.TotalCount != 3 {
		t.Errorf("page of some %+v", p)
	}
	g.get("root", "/api/queues?page=1&name=zzz", &p)
	if len(p.Items) != 0 || p.PageCount != 1 {
		t.Errorf("page of none %+v", p)
	}
	var consumers []map[string]any
	g.get("root", "/api/consumers?columns=consumer_tag,queue.name,queue.none,channel_details.number,none.x,ack_required.x", &consumers)
	want := []map[string]any{{
		"consumer_tag": "tag", "queue": map[string]any{"name": "a/b c"}, "channel_details": map[string]any{"number": 3.0}, "ack_required": true,
	}}
	if !reflect.DeepEqual(consumers, want) {
		t.Errorf("columns of objects are %v, want %v", consumers, want)
	}
	if got := g.names("root", "/api/queues?columns=name", "name"); !slices.Equal(got, []string{"mine", "other", "a/b c"}) {
		t.Errorf("names alone are %q", got)
	}
}

func TestTablesAsJSON(t *testing.T) {
	got, err := json.Marshal(object(amqp.Table{
		{Key: "t", Value: amqp.Table{{Key: "a", Value: amqp.Array{int8(-1), nil, true}}}},
		{Key: "bytes", Value: []byte{0xff}}, {Key: "text", Value: []byte("ab")}, {Key: "nan", Value: nan}, {Key: "inf", Value: float32(math.Inf(-1))},
		{Key: "dec", Value: amqp.Decimal{Scale: 3, Value: 5}}, {Key: "whole", Value: amqp.Decimal{Value: 7}}, {Key: "time", Value: amqp.Timestamp(9)},
		{Key: "time", Value: "twice"}, {Key: "f", Value: 1.5},
	}))
	const want = `{"bytes":"/w==","dec":"0.005","f":1.5,"inf":"-Inf","nan":"NaN","t":{"a":[-1,null,true]},"text":"ab","time":9,"whole":"7"}`
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("table is %s, %v", got, err)
	}
}
