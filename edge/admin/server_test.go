package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"leveret/edge/health"
)

func TestWhoMayLook(t *testing.T) { synctest.Test(t, testWhoMayLook) } // a wrong login takes a second

func testWhoMayLook(t *testing.T) {
	g := newGateway(t)
	plain := g.server
	for _, c := range []struct {
		path, remote, host, user, password string
		want                               int
	}{
		{"/healthz", "192.0.2.7:1", "gateway", "", "", 200},
		{"/metrics", "127.0.0.1:1", "127.0.0.1:15672", "", "", 200},
		{"/metrics", "[::1]:1", "localhost:15672", "", "", 200},
		{"/metrics", "127.0.0.1:1", "evil.example:15672", "", "", 401},
		{"/metrics", "192.0.2.7:1", "127.0.0.1", "", "", 401},
		{"/api/status", "192.0.2.7:1", "gateway", "", "", 401},
		{"/api/status", "192.0.2.7:1", "gateway", "monitor", "right", 200},
		{"/api/status", "192.0.2.7:1", "gateway", "monitor", "wrong", 401},
		{"/api/status", "127.0.0.1:1", "localhost", "monitor", "wrong", 401},
		{"/api/status", "127.0.0.1:1", "localhost", "local", "right", 200},
		{"/api/status", "127.0.0.1:1", "evil.example", "local", "right", 401},
		{"/api/status", "192.0.2.7:1", "gateway", "local", "right", 401},
		{"/api/else", "127.0.0.1:1", "localhost", "", "", 404},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		if c.user != "" {
			r.SetBasicAuth(c.user, c.password)
		}
		w := httptest.NewRecorder()
		plain.handler().ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("GET %s from %s for host %s as %q: %d, want %d", c.path, c.remote, c.host, c.user, w.Code, c.want)
		}
	}
}

// A reverse proxy on this machine may name it as the host, and yet asks for
// somebody elsewhere.
func TestAProxyIsNotThisMachine(t *testing.T) { synctest.Test(t, testAProxyIsNotThisMachine) }

func testAProxyIsNotThisMachine(t *testing.T) {
	g := newGateway(t)
	loggedIn := func(r *http.Request) { r.SetBasicAuth("local", "right") } // from this machine only
	for _, c := range []struct {
		name, value string
		want        int
	}{
		{"Accept", "*/*", 200},
		{"Forwarded", "for=192.0.2.7", 401},
		{"X-Forwarded-For", "192.0.2.7", 401},
		{"x-forwarded-for", "", 401},
		{"X-Real-IP", "192.0.2.7", 401},
		{"Via", "1.1 proxy", 401},
	} {
		header := func(r *http.Request) { r.Header.Set(c.name, c.value) }
		if w := g.ask("local", "GET", "/api/status", header); w.Code != c.want {
			t.Errorf("GET /api/status with %s: %q: %d, want %d", c.name, c.value, w.Code, c.want)
		}
		if w := g.ask("local", "GET", "/api/status", header, loggedIn); w.Code != c.want {
			t.Errorf("the same by who may come from this machine only: %d, want %d", w.Code, c.want)
		}
		if w := g.ask("local", "GET", "/api/status", header, func(r *http.Request) { r.SetBasicAuth("monitor", "right") }); w.Code != 200 {
			t.Errorf("the same by who may come from anywhere: %d, want 200", w.Code)
		}
	}
}

func TestHealthz(t *testing.T) {
	g := newGateway(t)
	g.server.o.Troubles = func() []health.Trouble { return []health.Trouble{{Name: "spool", Text: "secret details"}} }
	w := httptest.NewRecorder()
	g.server.handler().ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	if w.Code != 503 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("healthz with a trouble: %d %q", w.Code, w.Body)
	}
}

// TestLoopbackIsNotTrustedByDefault: a reverse proxy on this machine that says
// nothing of whom it asks for looks like somebody here.
func TestLoopbackIsNotTrustedByDefault(t *testing.T) {
	g := newGateway(t)
	g.server.o.TrustLoopback = false
	for _, path := range []string{"/api/status", "/api/overview", "/metrics"} {
		if w := g.ask("local", "GET", path); w.Code != 401 {
			t.Errorf("GET %s over loopback without a login: %d, want 401", path, w.Code)
		}
		if w := g.ask("local", "GET", path, func(r *http.Request) { r.SetBasicAuth("local", "right") }); w.Code != 200 {
			t.Errorf("GET %s as a user from this machine only: %d, want 200", path, w.Code)
		}
	}
	if w := g.ask("local", "GET", "/healthz"); w.Code != 200 {
		t.Errorf("GET /healthz: %d", w.Code)
	}
}

// TestWhoMayOpenTheSocketMayLook, and change nothing without a login; what a proxy
// passes on over it is from elsewhere all the same.
func TestWhoMayOpenTheSocketMayLook(t *testing.T) { synctest.Test(t, testWhoMayOpenTheSocketMayLook) }

func testWhoMayOpenTheSocketMayLook(t *testing.T) {
	g := newGateway(t)
	g.server.o.TrustLoopback = false
	overSocket := func(r *http.Request) {
		r.RemoteAddr, r.Host = "@", "localhost"
		*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "/x", Net: "unix"})))
	}
	user := func(r *http.Request) { r.SetBasicAuth("local", "right") } // from this machine only
	proxied := func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.7") }
	for _, c := range []struct {
		name, method, path string
		edits              []func(*http.Request)
		want               int
	}{
		{"nobody looks", "GET", "/api/status", nil, 200},
		{"nobody looks at metrics", "GET", "/metrics", nil, 200},
		{"nobody changes", "DELETE", "/api/devices/gone", nil, 401},
		{"a user of this machine looks", "GET", "/api/status", []func(*http.Request){user}, 200},
		{"nobody, passed on", "GET", "/api/status", []func(*http.Request){proxied}, 401},
		{"a user of this machine, passed on", "GET", "/api/status", []func(*http.Request){user, proxied}, 401},
	} {
		if w := g.ask("", c.method, c.path, append([]func(*http.Request){overSocket}, c.edits...)...); w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
}
