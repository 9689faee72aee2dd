package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"leveret/amqp"
	"leveret/spool"
)

// route is one thing that can be asked for or done.
type route struct {
	method, path string
	need         need
	handle       func(*request) (any, error)
}

// routes are all of them. An answer that is not nil is sent as JSON.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/metrics", toMonitor, s.metrics},
		{"GET", "/api/status", toMonitor, s.status},

		{"GET", "/api/overview", toLook, s.overview},
		{"GET", "/api/whoami", toBeKnown, s.whoami},
		{"GET", "/api/nodes", toMonitor, s.nodes},
		{"GET", "/api/nodes/{name}", toMonitor, s.node},
		{"GET", "/api/health/checks/alarms", toLook, s.alarms},
		{"GET", "/api/health/checks/local-alarms", toLook, s.alarms},
		{"GET", "/api/vhosts", toLook, s.vhosts},
		{"GET", "/api/vhosts/{vhost}", toLook, s.vhost},

		{"GET", "/api/connections", toLook, s.connections},
		{"GET", "/api/connections/{name}", toLook, s.connection},
		{"DELETE", "/api/connections/{name}", toChange, s.closeConnection},
		{"GET", "/api/vhosts/{vhost}/connections", toLook, s.connections},
		{"GET", "/api/channels", toLook, s.channels},
		{"GET", "/api/channels/{name}", toLook, s.channel},
		{"GET", "/api/connections/{name}/channels", toLook, s.channels},
		{"GET", "/api/consumers", toLook, s.consumers},
		{"GET", "/api/consumers/{vhost}", toLook, s.consumers},

		{"GET", "/api/exchanges", toLook, s.exchanges},
		{"GET", "/api/exchanges/{vhost}", toLook, s.exchanges},
		{"GET", "/api/exchanges/{vhost}/{name}", toLook, s.exchange},
		{"GET", "/api/exchanges/{vhost}/{name}/bindings/source", toLook, s.bindingsFrom},
		{"GET", "/api/exchanges/{vhost}/{name}/bindings/destination", toLook, s.bindingsTo},
		{"GET", "/api/bindings", toLook, s.bindings},
		{"GET", "/api/bindings/{vhost}", toLook, s.bindings},

		{"GET", "/api/queues", toLook, s.queues},
		{"GET", "/api/queues/{vhost}", toLook, s.queues},
		{"GET", "/api/queues/{vhost}/{name}", toLook, s.queue},
		{"GET", "/api/queues/{vhost}/{name}/bindings", toLook, s.bindingsOfQueue},
		{"DELETE", "/api/queues/{vhost}/{name}/contents", toChange, s.purge},
		{"PUT", "/api/queues/{vhost}/{name}/pause", toRule, s.pause},
		{"PUT", "/api/queues/{vhost}/{name}/resume", toRule, s.resume},

		{"GET", "/api/retained", toBeKnown, s.retained},
		{"GET", "/api/retained/{vhost}", toBeKnown, s.retained},
		{"GET", "/api/retained/{vhost}/{exchange}", toBeKnown, s.retained},

		{"GET", "/api/devices", toLook, s.devices},
		{"GET", "/api/devices/{id}", toLook, s.device},
		{"DELETE", "/api/devices/{id}", toAdminister, s.forgetDevice},
	}
}

// request is one that is being answered.
type request struct {
	*http.Request
	w   http.ResponseWriter
	who caller
}

// Bounds of a request.
const bodyBytesMax = 64 << 10 // no request needs one

// answer is a refusal, or a success that is not 200.
type answer struct {
	code   int
	word   string // what RabbitMQ has as "error"
	reason string
}

func (a *answer) Error() string { return a.word + ": " + a.reason }

var (
	errNotFound = &answer{http.StatusNotFound, "Object Not Found", "Not Found"}
	errBody     = &answer{http.StatusRequestEntityTooLarge, "payload_too_large", "the body is longer than any request needs"}
	errSlow     = &answer{http.StatusRequestTimeout, "bad_request", "the body did not come in time"}
	errMethod   = &answer{http.StatusMethodNotAllowed, "method_not_allowed", "Method Not Allowed"}
	errFull     = &answer{http.StatusServiceUnavailable, "unavailable", "the spool is full"}
	errOurs     = &answer{http.StatusInternalServerError, "internal_server_error", "internal error"}

	noContent = &answer{code: http.StatusNoContent}
	written   = &answer{} // the handler has written the answer itself
)

func badRequest(reason string) error {
	return &answer{http.StatusBadRequest, "bad_request", reason}
}

// serve answers a request for a path that takes these methods; nil is no path.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, methods map[string]route) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	q := &request{Request: r, w: w}
	found, err := s.admit(q, methods)
	var value any = noContent
	if err == nil {
		value, err = found.handle(q)
	}
	if err != nil {
		value = s.refusal(r, err)
	}
	if value != any(written) {
		s.send(w, value)
	}
}

// admit finds the route, if whoever asks may go it.
func (s *Server) admit(q *request, methods map[string]route) (found route, err error) {
	if q.who, err = s.caller(q); err != nil {
		return found, err
	}
	method := q.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	found, known := methods[method]
	switch {
	case methods == nil:
		return found, errNotFound
	case !known:
		q.w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
		return found, errMethod
	}
	if err := q.who.may(found.need); err != nil {
		return found, err
	}
	if method != http.MethodGet && s.crossSite.Check(q.Request) != nil {
		return found, errCrossSite
	}
	return found, drain(q)
}

// drain reads a body that nobody asked for: some clients send an empty object.
func drain(q *request) error {
	_, err := io.Copy(io.Discard, http.MaxBytesReader(q.w, q.Body, bodyBytesMax))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return errBody
	}
	if err != nil {
		return errSlow
	}
	return nil
}

// refusal is what is answered for an error. What is our own trouble is logged
// and not shown.
func (s *Server) refusal(r *http.Request, err error) *answer {
	if a, ok := errors.AsType[*answer](err); ok {
		return a
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		switch e.Code {
		case amqp.NotFound:
			return errNotFound
		case amqp.AccessRefused, amqp.NotAllowed:
			return &answer{http.StatusForbidden, "not_authorised", e.Text}
		}
		return &answer{http.StatusBadRequest, "bad_request", e.Error()}
	}
	switch {
	case errors.Is(err, spool.ErrFull):
		return errFull
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errSlow
	}
	s.o.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	return errOurs
}

// send writes an answer.
func (s *Server) send(w http.ResponseWriter, value any) {
	code := http.StatusOK
	if a, ok := value.(*answer); ok {
		code, value = a.code, map[string]string{"error": a.word, "reason": a.reason}
	}
	if code == http.StatusNoContent {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if withCode, ok := value.(coded); ok {
		code, value = withCode.code, withCode.value
	}
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(value); err != nil {
		s.o.Log.Debug("an answer was not sent", "err", err)
	}
}

// coded is an answer with a code of its own.
type coded struct {
	code  int
	value any
}

// durable waits until a change is on the disk.
func (s *Server) durable(ctx context.Context, lsn spool.LSN) error {
	for {
		upTo, moved, err := s.o.Broker.Log().Durable()
		if err != nil || upTo >= lsn {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
