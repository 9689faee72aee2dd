package edge

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"leveret/bridge"
	"leveret/bridge/shovel"
	"leveret/edge/admin"
	"leveret/edge/config"
	"leveret/edge/metrics"
)

// shovels keeps those shovels running that the configuration asks for.
type shovels struct {
	app *App

	mu      sync.Mutex // protects the fields below
	wanted  map[string]wantedShovel
	running map[string]*runningShovel
	changed chan struct{} // holds a note when wanted has changed
}

type wantedShovel struct {
	config.Shovel
	source bridge.Source
	target bridge.Target
	noted  bool // messages to an AMQP broker say that they were here
}

type runningShovel struct {
	*shovel.Shovel
	asked  config.Shovel
	source bridge.Source
	target bridge.Target
	noted  bool
	end    context.CancelFunc
	ended  chan struct{}
}

func newShovels(a *App) *shovels {
	return &shovels{app: a, running: make(map[string]*runningShovel), changed: make(chan struct{}, 1)}
}

// want says which shovels there shall be.
func (s *shovels) want(wanted map[string]wantedShovel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = wanted
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run starts and stops shovels until ctx ends, and then waits for them.
func (s *shovels) run(ctx context.Context) error {
	for {
		s.adjust(ctx)
		select {
		case <-s.changed:
		case <-ctx.Done():
			s.mu.Lock()
			s.wanted = nil
			s.mu.Unlock()
			s.adjust(ctx)
			return nil
		}
	}
}

// adjust makes what runs what is wanted. A shovel that changed is ended first:
// two of a name never run beside each other.
func (s *shovels) adjust(ctx context.Context) {
	for _, r := range s.unwanted() {
		r.end()
		<-r.ended
		s.mu.Lock()
		delete(s.running, r.asked.Name)
		s.mu.Unlock()
	}
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.wanted {
		if s.running[name] == nil {
			s.running[name] = s.app.startShovel(ctx, c)
		}
	}
}

func (s *shovels) unwanted() (list []*runningShovel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range s.running {
		if c, ok := s.wanted[name]; !ok || c.noted != r.noted || !reflect.DeepEqual(c.Shovel, r.asked) {
			list = append(list, r)
		}
	}
	return list
}

func (a *App) startShovel(ctx context.Context, c wantedShovel) *runningShovel {
	ctx, end := context.WithCancel(ctx)
	r := &runningShovel{asked: c.Shovel, source: c.source, target: c.target, noted: c.noted, end: end, ended: make(chan struct{})}
	trouble := "shovel " + c.Name
	r.Shovel = shovel.New(shovel.Options{
		Name: c.Name, Messages: c.Prefetch, Source: c.source, Target: c.target,
		Backoff:   bridge.Backoff{Min: c.ReconnectMin, Max: c.ReconnectMax, Rand: rand.Float64},
		OnRefusal: onRefusal[c.OnRefusal], RefusalTries: c.RefusalTries,
		Trouble: func(text string) {
			if text == "" {
				a.report.Clear(trouble)
			} else {
				a.report.Raise(trouble, text)
			}
		},
		Log: a.log,
	})
	go func() {
		defer close(r.ended)
		_ = r.Run(ctx) // ends with ctx and in no other way
	}()
	return r
}

var onRefusal = map[config.OnRefusal]shovel.OnRefusal{
	config.RefusalDeadLetter: shovel.DeadLetter, config.RefusalHold: shovel.Hold, config.RefusalDrop: shovel.Drop,
}

// list is the running shovels by name.
func (s *shovels) list() []*runningShovel {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*runningShovel
	for _, name := range slices.Sorted(maps.Keys(s.running)) {
		list = append(list, s.running[name])
	}
	return list
}

// ignored is how many messages source and target have left out of a circle.
func (r *runningShovel) ignored() (n uint64) {
	for _, end := range [...]any{r.source, r.target} {
		if e, ok := end.(interface{ Ignored() uint64 }); ok {
			n += e.Ignored()
		}
	}
	return n
}

// deadLettered is how many messages were put aside, by the shovel or by its
// source before it saw them.
func (r *runningShovel) deadLettered(st *shovel.Status) uint64 {
	n := st.Buried
	if s, ok := r.source.(interface{ Rejected() uint64 }); ok {
		n += s.Rejected()
	}
	return n
}

func (s *shovels) status() []admin.Shovel {
	list := []admin.Shovel{}
	for _, r := range s.list() {
		st := r.Status()
		a := admin.Shovel{
			Name: st.Name, State: st.State.String(), Source: st.Source, Target: st.Target, Held: st.Held,
			Lag: int64(st.Lag), LagUnknown: !st.LagKnown, Sent: st.Confirmed, Since: st.Since, LastError: st.LastError,
			Refused: st.Refused + st.Returned, DeadLettered: r.deadLettered(&st), Dropped: st.Dropped, Ignored: r.ignored(),
		}
		if !st.LastErrorAt.IsZero() {
			a.ErrorAt = &st.LastErrorAt
		}
		list = append(list, a)
	}
	return list
}

func (s *shovels) metrics(w *metrics.Writer) {
	all := make([]shovel.Status, 0)
	running := s.list()
	for _, r := range running {
		all = append(all, r.Status())
	}
	each := func(write func(st *shovel.Status)) {
		for i := range all {
			write(&all[i])
		}
	}
	each(func(st *shovel.Status) {
		up := 0.0
		if st.State == shovel.Live || st.State == shovel.Draining {
			up = 1
		}
		w.Gauge("leveret_shovel_up", "1 while the link is up.", up, "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		if st.LagKnown {
			w.Gauge("leveret_shovel_lag_messages", "Messages that the far side has not confirmed.", float64(st.Lag), "shovel", st.Name)
		}
	})
	each(func(st *shovel.Status) {
		w.Gauge("leveret_shovel_in_flight", "Messages sent and not settled.", float64(st.InFlight), "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_confirmed_total", "Messages that the far side took.", st.Confirmed, "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_refused_total", "Messages that it refused or had no queue for.", st.Refused+st.Returned, "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_busy_total", "Messages that the far side had no room for at the time.", st.Busy, "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_unmatched_total", "Messages that it took although nobody there waits for them.", st.Unmatched, "shovel", st.Name)
	})
	for i, r := range running {
		w.Counter("leveret_shovel_dead_lettered_total", "Messages that it never took and that were dead-lettered.", r.deadLettered(&all[i]), "shovel", r.asked.Name)
	}
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_dropped_total", "Messages that it never took and that were dropped.", st.Dropped, "shovel", st.Name)
	})
	for _, r := range running {
		w.Counter("leveret_shovel_ignored_total", "Messages that had been here or there before, or that nobody asked for.", r.ignored(), "shovel", r.asked.Name)
	}
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_resent_total", "Messages sent that may have been sent before.", st.Resent, "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		w.Counter("leveret_shovel_reconnects_total", "Times that the link came up again.", st.Reconnects(), "shovel", st.Name)
	})
	each(func(st *shovel.Status) {
		if !st.LastConfirm.IsZero() {
			w.Gauge("leveret_shovel_last_confirm_seconds", "Time since the far side last confirmed something.", time.Since(st.LastConfirm).Seconds(), "shovel", st.Name)
		}
	})
}
