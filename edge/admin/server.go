// Package admin is the door for operators: health, metrics, status and the
// management API over HTTP.
//
// The API is that part of RabbitMQ's, in paths, names and codes, which is about
// what goes on at present (connections, queues, bindings, ...), with what
// leveret has beside it: its status, retained values, devices, and queues that
// pause. See routes for all of it.
//
// Who may open a Unix socket of the door may look without a login, and, if that
// is configured, who asks over loopback (a browser that was led astray by a
// foreign name is refused, see local); anybody else, and
// whoever changes something, logs in as a user with a tag that allows it; see
// access.go. /healthz says no more than whether all is well, to everybody.
//
// Nothing is answered with success before it is durable. Passwords are neither
// shown nor logged. Its goroutines are those of one http.Server for each
// listener.
package admin

import (
	"context"
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

	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/edge/devices"
	"leveret/edge/health"
	"leveret/edge/users"
)

// Options is what the door is made of.
type Options struct {
	Listeners []net.Listener
	// TrustLoopback lets who asks over loopback look without a login, see local.
	TrustLoopback bool
	Status        func() Status
	Metrics       func(io.Writer)
	Troubles      func() []health.Trouble
	// Alarms are the resources that are short, so that publishers wait.
	Alarms func() []string
	// Login checks a password; nil refuses everybody. remote is the zero
	// address where a loopback connection is not to be trusted, see local.
	Login   func(user, password string, remote netip.Addr) (*users.User, error)
	Broker  *broker.Broker
	Devices *devices.Registry
	// Dots is how MQTT topics are spelled as routing keys.
	Dots bridge.Dots
	// Node is what answers call this gateway.
	Node string
	Log  *slog.Logger
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
	o         Options
	crossSite *http.CrossOriginProtection
}

// New makes the door; Run serves.
func New(o Options) *Server { return &Server{o: o, crossSite: http.NewCrossOriginProtection()} }

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
	// The paths of the API are taken apart by router: a name may be "/", which
	// the mux cannot match.
	api := newRouter(s.routes())
	serve := func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, api.find(r)) }
	mux.HandleFunc("/metrics", serve)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isAPI(r) {
			serve(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
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

func (s *Server) metrics(q *request) (any, error) {
	q.w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.o.Metrics(q.w)
	return written, nil
}

func (s *Server) status(*request) (any, error) { return s.o.Status(), nil }
