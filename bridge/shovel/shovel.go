package shovel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"leveret/bridge"
)

// Options is what a shovel is made of. Zero fields take the defaults named.
type Options struct {
	Name   string // for operators
	Source bridge.Source
	Target bridge.Target
	// Messages and Bytes bound what is under way, 256 and 4 MiB. The number is
	// also how many messages can be sent twice when a link is lost.
	Messages int
	Bytes    int
	// StallAfter is how long messages may be under way without a single
	// confirm before the link is taken for dead: 30 s, and not less than 20 s,
	// two heartbeats.
	StallAfter time.Duration
	// Backoff is between attempts.
	Backoff bridge.Backoff
	// OnRefusal says what becomes of a message that the far side refuses or has
	// no queue for RefusalTries times in a row, 10: with the pauses of the
	// backoff some minutes.
	OnRefusal    OnRefusal
	RefusalTries int
	// Trouble is told when a message holds the shovel up, and, with "", when it
	// no longer does; nil is not to be told. It must not call the shovel.
	Trouble func(text string)
	// Log is told every change of state; nil is silent.
	Log *slog.Logger
	// Paused starts the shovel paused.
	Paused bool
}

const (
	messagesDefault   = 256
	bytesDefault      = 4 << 20
	stallAfterDefault = 30 * time.Second
	stallAfterMin     = 20 * time.Second
	refusalTries      = 10
	// livedEnough is how long a link must have lived to count as a good one
	// when it confirmed nothing: the next attempt after it comes soon.
	livedEnough = 10 * time.Second
	// finishMax bounds how long a link that is to end is waited for, so that
	// what is under way need not be sent again.
	finishMax = 5 * time.Second
	// slowestLink is the speed, in bytes a second, that a link is given time
	// for before silence counts as a stall: a large message on a modem is not
	// a dead link.
	slowestLink = 8 << 10
)

func (o Options) orDefaults() Options {
	if o.Messages <= 0 {
		o.Messages = messagesDefault
	}
	if o.Bytes <= 0 {
		o.Bytes = bytesDefault
	}
	if o.StallAfter <= 0 {
		o.StallAfter = stallAfterDefault
	}
	o.StallAfter = max(o.StallAfter, stallAfterMin)
	if o.RefusalTries <= 0 {
		o.RefusalTries = refusalTries
	}
	if o.Trouble == nil {
		o.Trouble = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Shovel moves messages from its source to its target while Run runs. The
// other methods may be called from any goroutine at any time.
type Shovel struct {
	o       Options
	log     *slog.Logger
	backoff bridge.Backoff // of Run alone
	poison  poison         // of Run alone
	wake    chan struct{}  // holds a note when paused or nudged changed

	mu      sync.Mutex // protects the fields below
	paused  bool
	nudged  bool
	status  Status      // its constant and its counted part
	flight  *flight     // of the link that is up, or nil
	link    bridge.Link // that is up, or nil
	backlog int         // what is left of what waited when the link came up
}

// New makes a shovel that is not running.
func New(o Options) *Shovel {
	o = o.orDefaults()
	s := &Shovel{
		o: o, log: o.Log.With("shovel", o.Name, "source", o.Source.String(), "target", o.Target.String()),
		backoff: o.Backoff, wake: make(chan struct{}, 1), paused: o.Paused,
	}
	s.status = Status{Name: o.Name, Source: o.Source.String(), Target: o.Target.String(), State: Down, Since: time.Now()}
	return s
}

var errPaused = errors.New("paused")

// Run shovels until ctx ends; it has no other end. What is under way then is
// waited for, five seconds at most.
func (s *Shovel) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if s.isPaused() {
			s.become(Paused, nil)
			s.sleep(ctx, 0, s.isPaused)
			continue
		}
		err := s.attempt(ctx)
		if ctx.Err() != nil || errors.Is(err, errPaused) {
			continue
		}
		s.become(Down, err)
		again := time.Now().Add(s.backoff.Next())
		s.sleep(ctx, time.Until(again), func() bool {
			return !s.isPaused() && !s.takeNudge() && time.Now().Before(again)
		})
	}
	s.poison.freed(s)
	s.become(Down, nil)
	return nil
}

// attempt dials and lives through one link.
func (s *Shovel) attempt(ctx context.Context) error {
	s.takeNudge() // this is the attempt that it asked for
	s.become(Dialing, nil)
	link, err := s.o.Target.Dial(ctx, s.o.Messages)
	if err != nil {
		return err
	}
	return s.cross(ctx, link)
}

// sleep waits for ctx, for d (0 is for ever) or until asleep, which is asked
// at each note, answers no.
func (s *Shovel) sleep(ctx context.Context, d time.Duration, asleep func() bool) {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	for asleep() {
		select {
		case <-over:
			return
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// Pause lets what is under way finish, then closes the link and stays away
// from source and target until Resume.
func (s *Shovel) Pause() { s.setPaused(true) }

// Resume ends a pause. It does not wait for a backoff.
func (s *Shovel) Resume() { s.setPaused(false) }

func (s *Shovel) setPaused(paused bool) {
	s.mu.Lock()
	s.nudged = s.nudged || s.paused && !paused
	s.paused = paused
	s.mu.Unlock()
	note(s.wake)
}

// Nudge ends a running backoff: something has changed, such as the network
// coming up, that makes an attempt worth while.
func (s *Shovel) Nudge() {
	s.mu.Lock()
	s.nudged = s.status.State == Down
	s.mu.Unlock()
	note(s.wake)
}

func (s *Shovel) state() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.State
}

func (s *Shovel) isPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

func (s *Shovel) takeNudge() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.nudged
	s.nudged = false
	return was
}

// become changes the state and tells it. A link that is away for a week fails
// thousands of times: the same failure again, and the attempts between, are
// told only to those who debug.
func (s *Shovel) become(to State, cause error) {
	s.mu.Lock()
	from := s.status.State
	if from != to {
		s.status.State, s.status.Since = to, time.Now()
	}
	again := false
	if cause != nil {
		again = from == Dialing && s.status.LastError == cause.Error()
		s.status.LastError, s.status.LastErrorAt = cause.Error(), time.Now()
		s.status.Failures++
	}
	s.mu.Unlock()
	level := slog.LevelInfo
	switch {
	case again || to == Dialing:
		level = slog.LevelDebug
	case cause != nil:
		level = slog.LevelWarn
	}
	switch {
	case cause != nil:
		s.log.Log(context.Background(), level, "shovel is "+to.String(), "was", from.String(), "err", cause)
	case from != to:
		s.log.Log(context.Background(), level, "shovel is "+to.String(), "was", from.String())
	}
}

// refusalError is why a link was given up although it works.
func refusalError(a *bridge.Answer) error {
	switch a.Outcome {
	case bridge.Returned:
		return fmt.Errorf("the far side has no queue for a message: %s", a.Reason)
	case bridge.Busy:
		return fmt.Errorf("the far side has no room at present: %s", a.Reason)
	}
	return fmt.Errorf("the far side refused a message: %s", a.Reason)
}
