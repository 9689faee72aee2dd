package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leveret/edge/admin"
	"leveret/edge/health"
)

var example = admin.Status{
	Version: "1.2.3", Profile: "small", Uptime: 3661,
	Troubles:  []health.Trouble{{Name: "spool", Text: "nearly full", Since: time.Unix(0, 0)}},
	Listeners: []admin.Listener{{Door: "amqp", Address: "127.0.0.1:5672", Connections: 3}},
	VHosts:    []admin.VHost{{Name: "/", Connections: 7, Queues: 1, Ready: 12}, {Name: "lab", ConnectionsMax: 3, Queues: 1, QueuesMax: 2}},
	Queues: []admin.Queue{
		{VHost: "/", Name: "uplink", Ready: 12, Unacked: 1, Bytes: 3 << 20, Consumers: 2},
		{VHost: "lab", Name: "a\x1b[2J"},
	},
	Devices: admin.Devices{Known: 12, Connected: 9, Silent: 1, Max: 1000},
	Shovels: []admin.Shovel{
		{Name: "cloud", Source: "queue uplink", Target: "amqps://site7@cloud/t", State: "down", Lag: 13, Refused: 2, LastError: "connection refused"},
		{Name: "other", Source: "mqtt://z:1883", Target: "exchange amq.topic", State: "live", LagUnknown: true, Sent: 9, Held: "the spool here is full"},
	},
	Spool: admin.Spool{DiskBytes: 5 << 20, BudgetBytes: 1 << 30, Records: 13, StagedBytes: 100, Commits: 9},
}

const exampleShown = `leveret 1.2.3, profile small, up 1h1m1s
TROUBLE since DATE: spool: nearly full

DOOR  ADDRESS         CONNECTIONS
amqp  127.0.0.1:5672  3

DEVICES  CONNECTED  SILENT  AT MOST
12       9          1       1000

VHOST  CONNECTIONS  QUEUES  READY
/      7            1       12
lab    0 of 3       1 of 2  0

QUEUE                READY  UNACKED  BYTES    CONSUMERS
uplink               12     1        3.0 MiB  2
"a\x1b[2J (lab)"     0      0        0 B      0

SHOVEL  FROM           TO                      STATE  LAG  SENT  REFUSED  LAST ERROR
cloud   queue uplink   amqps://site7@cloud/t   down   13   0     2        connection refused
other   mqtt://z:1883  exchange amq.topic      live   ?    9     0        the spool here is full

SPOOL    BUDGET   RECORDS  STAGED  COMMITS  FAILED
5.0 MiB  1.0 GiB  13       100 B   9        no
`

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestStatusShows(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.URL.Path != "/api/status" || user != "anna" || password != "hunter2" {
			t.Errorf("asked for %s as %s with %s", r.URL.Path, user, password)
		}
		json.NewEncoder(w).Encode(example)
	})
	t.Setenv(passwordEnv, "hunter2")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not be asked
	var shown, asJSON bytes.Buffer
	q := statusQuery{instance: instance{address: address, user: "anna"}}
	if err := q.show(t.Context(), &shown); err != nil {
		t.Fatal(err)
	}
	date := time.Unix(0, 0).Local().Format(time.DateTime)
	got := strings.Join(strings.Fields(strings.Replace(shown.String(), date, "DATE", 1)), " ")
	if want := strings.Join(strings.Fields(exampleShown), " "); got != want {
		t.Errorf("status shows\n%s\nwant\n%s", shown.String(), exampleShown)
	}
	q.json = true
	if err := q.show(t.Context(), &asJSON); err != nil {
		t.Fatal(err)
	}
	var again admin.Status
	if err := json.Unmarshal(asJSON.Bytes(), &again); err != nil || again.Shovels[0].Lag != 13 {
		t.Errorf("--json printed %s: %v", asJSON.String(), err)
	}
}

func TestStatusFailures(t *testing.T) {
	for want, h := range map[string]http.HandlerFunc{
		"a login is required": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"answered 503":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"answered 302":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"not an answer":       func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"longer than": func(w http.ResponseWriter, _ *http.Request) {
			for part := make([]byte, 1<<20); ; {
				if _, err := w.Write(part); err != nil {
					return
				}
			}
		},
	} {
		q := statusQuery{instance: instance{address: serve(t, h)}}
		if err := q.show(t.Context(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestStatusFindsTheInstance(t *testing.T) {
	folder := t.TempDir()
	left := filepath.Join(t.TempDir(), addressFile)
	for text, name := range map[string]string{"127.0.0.1:4711\n": "good", "garbage": "bad"} {
		dir := filepath.Join(filepath.Dir(left), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, addressFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := func(name string) string { return "data_dir=" + filepath.Join(filepath.Dir(left), name) }
	for _, c := range []struct {
		q    instance
		want string
	}{
		{instance{address: "10.0.0.1:15672"}, "10.0.0.1:15672"},
		{instance{address: ":15672"}, "127.0.0.1:15672"},
		{instance{settings: settings{sets: []string{data("good")}}}, "127.0.0.1:4711"},
		{instance{settings: settings{sets: []string{data("bad")}}}, "127.0.0.1:15672"},
		{instance{settings: settings{sets: []string{"data_dir=" + folder, "admin.listen=0.0.0.0:99"}}}, "127.0.0.1:99"},
		{instance{settings: settings{sets: []string{"data_dir=" + folder, "admin.listen=[::]:99"}}}, "[::1]:99"},
		{instance{settings: settings{sets: []string{"data_dir=" + folder, "admin.listen=gw.example:99"}}}, "gw.example:99"},
	} {
		got, err := c.q.find()
		if err != nil || got != c.want {
			t.Errorf("find with %+v = %s, %v, want %s", c.q, got, err, c.want)
		}
		if _, _, err := net.SplitHostPort(got); err != nil {
			t.Error(err)
		}
	}
}
