package admin

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"leveret/edge/health"
)

func testServer(troubles ...health.Trouble) *Server {
	return New(Options{
		Status:   func() Status { return Status{} },
		Metrics:  func(w io.Writer) { io.WriteString(w, "leveret_up 1\n") },
		Troubles: func() []health.Trouble { return troubles },
		Login: func(user, password string, _ netip.Addr) error {
			if user == "anna" && password == "right" {
				return nil
			}
			return errors.New("no")
		},
		Log: slog.New(slog.DiscardHandler),
	})
}

func TestWhoMayLook(t *testing.T) {
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
		{"/api/status", "192.0.2.7:1", "gateway", "anna", "right", 200},
		{"/api/status", "192.0.2.7:1", "gateway", "anna", "wrong", 401},
		{"/api/else", "127.0.0.1:1", "localhost", "", "", 404},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		if c.user != "" {
			r.SetBasicAuth(c.user, c.password)
		}
		w := httptest.NewRecorder()
		testServer().handler().ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("GET %s from %s for host %s as %q: %d, want %d", c.path, c.remote, c.host, c.user, w.Code, c.want)
		}
	}
}

func TestHealthz(t *testing.T) {
	w := httptest.NewRecorder()
	testServer(health.Trouble{Name: "spool", Text: "secret details"}).handler().ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	if w.Code != 503 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("healthz with a trouble: %d %q", w.Code, w.Body)
	}
}
