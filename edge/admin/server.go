// Package admin is the door for operators: health, metrics and status over
// HTTP.
//
// It changes nothing yet, it only shows. From the machine itself it answers
// without a login (a browser that was led astray by a foreign name is refused,
// see local); anybody else logs in as a user with a tag that allows looking.
// /healthz says no more than whether all is well, to everybody.
//
// Its goroutines are those of one http.Server for each listener.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"leveret/edge/health"
)

// Options is what the door is made of.
type Options struct {
	Listeners []net.Listener
	Status    func() Status
	Metrics   func(io.Writer)
	Troubles  func() []health.Trouble
	// Login checks a user that wants to look; nil refuses.
	Login func(user, password string, remote netip.Addr) error
	Log   *slog.Logger
}

const (
	headerTimeout    = 5 * time.Second
	answerTimeout    = 30 * time.Second
	idleTimeout      = time.Minute
	headerBytesMax   = 16 << 10
	connectionsMax   = 64 // for each listener
	failedLoginPause = time.Second
	shutdownTimeout  = 2 * time.Second
)

// Server is the door.
type Server struct {
	o Options
}

// New makes the door; Run serves.
func New(o Options) *Server { return &Server{o: o} }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	servers := make([]*http.Server, len(s.o.Listeners))
	failed := make(chan error, len(s.o.Listeners))
	for i, l := range s.o.Listeners {
		servers[i] = &http.Server{
			Handler:           s.handler(),
			ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout,
			WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: headerBytesMax,
			ErrorLog:       slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		}
		wg.Go(func() {
			if err := servers[i].Serve(netutil.LimitListener(l, connectionsMax)); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	for _, server := range servers {
		if server.Shutdown(within) != nil {
			server.Close()
		}
	}
	wg.Wait()
	return err
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.Handle("GET /metrics", s.lookers(s.metrics))
	mux.Handle("GET /api/status", s.lookers(s.status))
	return mux
}

// healthz answers 200 when nothing is wrong, else 503. What is wrong is in the
// status, which wants a login.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if n := len(s.o.Troubles()); n > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "trouble: %d\n", n)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.o.Metrics(w)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(s.o.Status()); err != nil {
		s.o.Log.Debug("status was not sent", "err", err)
	}
}

// lookers lets those through who may look.
func (s *Server) lookers(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r) {
			next(w, r)
			return
		}
		user, password, given := r.BasicAuth()
		remote, _ := netip.ParseAddrPort(r.RemoteAddr)
		if given && s.o.Login != nil && s.o.Login(user, password, remote.Addr().Unmap()) == nil {
			next(w, r)
			return
		}
		if given {
			select { // guessing is slow; connectionsMax bounds who waits here
			case <-time.After(failedLoginPause):
			case <-r.Context().Done():
			}
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="leveret"`)
		http.Error(w, "login required", http.StatusUnauthorized)
	})
}

// local reports whether a request comes from this machine and means it: a page
// from elsewhere whose name was made to point here names itself as the host.
func local(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
