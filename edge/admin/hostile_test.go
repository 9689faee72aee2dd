package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// afar is the end of a pipe that seems to come from another machine.
type afar struct{ net.Conn }

func (afar) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1} }

// serving runs the door in a bubble of virtual time.
func serving(t *testing.T, play func(g *gateway, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		g.server.o.Listeners = []net.Listener{l}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.server.Run(ctx) }()
		play(g, func() net.Conn {
			ours, theirs := net.Pipe()
			l.conns <- afar{theirs}
			return ours
		})
		stop()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
	})
}

// answered is the status of an answer, or how the connection ended, and after
// how long.
func answered(c net.Conn) (status string, after time.Duration) {
	begun := time.Now()
	line, err := bufio.NewReader(c).ReadString('\n')
	_ = c.Close()
	if err != nil {
		return "closed", time.Since(begun)
	}
	return strings.TrimSpace(line), time.Since(begun)
}

const login = "Host: gateway\r\nAuthorization: Basic cm9vdDpyaWdodA==\r\n" // root:right

func TestHostileRequests(t *testing.T) {
	for name, c := range map[string]struct {
		send string
		want string // begins the status line
		by   time.Duration
	}{
		"says nothing":           {"", "closed", headerTimeout},
		"a slow header":          {"GET /api/overview HTTP/1.1\r\nHost: ga", "closed", headerTimeout},
		"a slow body":            {"PUT /api/queues/%2F/mine/pause HTTP/1.1\r\n" + login + "Content-Length: 10\r\n\r\n{", "HTTP/1.1 408", headerTimeout},
		"a slow body, no login":  {"PUT /api/queues/%2F/mine/pause HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n{", "HTTP/1.1 401", headerTimeout},
		"a body without end":     {"PUT /api/queues/%2F/mine/pause HTTP/1.1\r\n" + login + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 5), "HTTP/1.1 413", headerTimeout},
		"a length without bound": {"PUT /api/queues/%2F/mine/pause HTTP/1.1\r\n" + login + "Content-Length: 9223372036854775807\r\n\r\n" + strings.Repeat("x", bodyBytesMax+1), "HTTP/1.1 413", headerTimeout},
		"many headers":           {"GET /api/overview HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 10_000), "HTTP/1.1 431", headerTimeout},
		"a long header":          {"GET /api/overview HTTP/1.1\r\nA: " + strings.Repeat("b", 1<<20), "HTTP/1.1 431", headerTimeout},
		"a long path":            {"GET /api/" + strings.Repeat("b", 1<<20), "HTTP/1.1 431", headerTimeout},
		"two lengths":            {"PUT /api/queues/%2F/mine/pause HTTP/1.1\r\n" + login + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400", headerTimeout},
		"no host":                {"GET /api/overview HTTP/1.1\r\n\r\n", "HTTP/1.1 400", headerTimeout},
		"a bad escape":           {"GET /api/queues/%zz HTTP/1.1\r\n" + login + "\r\n", "HTTP/1.1 400", headerTimeout},
		"another protocol":       {"AMQP\x00\x00\x09\x01\r\n\r\n", "HTTP/1.1 400", headerTimeout},
		"a wrong login waits":    {"GET /api/overview HTTP/1.1\r\nHost: g\r\nAuthorization: Basic cm9vdDp3cm9uZw==\r\n\r\n", "HTTP/1.1 401", failedLoginPause},
		"a good one":             {"GET /api/overview HTTP/1.1\r\n" + login + "\r\n", "HTTP/1.1 200", 0},
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, func(g *gateway, dial func() net.Conn) {
				bad := dial()
				go func() { _, _ = io.WriteString(bad, c.send) }()
				status, after := answered(bad)
				if !strings.HasPrefix(status, c.want) || after > c.by {
					t.Errorf("%s after %s, want %s within %s", status, after, c.want, c.by)
				}
				good := dial()
				go func() { _, _ = io.WriteString(good, "GET /api/overview HTTP/1.1\r\n"+login+"\r\n") }()
				if status, _ := answered(good); !strings.HasPrefix(status, "HTTP/1.1 200") {
					t.Errorf("a good client afterwards: %s", status)
				}
				if st, _ := g.core.QueueStatus("/", "mine"); st.Paused {
					t.Error("the queue was paused all the same")
				}
			})
		})
	}
}

// TestConnectionsAreBounded: who is too much waits until somebody has gone.
func TestConnectionsAreBounded(t *testing.T) {
	serving(t, func(g *gateway, dial func() net.Conn) {
		var silent []net.Conn
		for range connectionsMax {
			silent = append(silent, dial())
		}
		waiting := make(chan string, 1)
		go func() {
			c := dial()
			go func() { _, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n") }()
			status, after := answered(c)
			waiting <- fmt.Sprint(status, after > 2*headerTimeout)
		}()
		if got := <-waiting; got != "HTTP/1.1 200 OKfalse" {
			t.Errorf("behind %d silent ones: %s", len(silent), got)
		}
	})
}

// FuzzPaths asks for anything: it is refused in good order.
func FuzzPaths(f *testing.F) {
	for _, e := range endpoints {
		f.Add(e.method, e.target)
	}
	f.Add("PUT", "/api/queues/%2F/%00/pause")
	f.Add("GET", "/api/queues?page=1&columns=,,,&name=%ff")
	f.Add("GET", "/api//%2F/../..//")
	f.Fuzz(func(t *testing.T, method, target string) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		r, err := http.NewRequest(method, "http://gateway"+target, http.NoBody)
		if err != nil {
			return
		}
		g := newGateway(t)
		w := g.ask("root", method, "/api/", func(q *http.Request) { q.URL = r.URL })
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	})
}
