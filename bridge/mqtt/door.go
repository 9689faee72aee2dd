package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// Door accepts MQTT clients.
type Door struct {
	Options
	counts   counters
	constant constantProperties
	buffers  sync.Pool   // *[]byte, what writers put their packets in
	nothing  spool.Batch // never filled: asks the log for its newest LSN

	mu     sync.Mutex         // protects the fields below
	conns  map[*conn]struct{} // all that are open
	closed bool               // nobody is let in any more
	// clients are the connected ones by client id; who is in here owns the
	// session of that id.
	clients    map[string]*conn
	connecting int // conns that have not sent CONNECT yet

	clientsMost int            // the most that were connected at a time
	seated      map[*Class]int // clients by class
	others      Class          // of those who are of none; never changed

	shares   map[string]int     // subscribed sessions by the queue of a shared subscription
	watchers map[*conn]struct{} // of the $SYS tree

	longWarned map[string]struct{} // client ids, see longTopic

	watched chan struct{} // 1 slot: there is a watcher
	started time.Time
	sys     atomic.Pointer[sysRound]

	keeper  *broker.Conn    // for what belongs to no connection: sessions that are away
	keeping *broker.Session // of keeper
	away    expiries        // when sessions end
	wills   expiries        // when wills are sent
}

// New makes a door; Run opens it.
func New(o Options) *Door {
	d := &Door{
		Options:    o.orDefaults(),
		constant:   newConstantProperties(),
		conns:      make(map[*conn]struct{}),
		clients:    make(map[string]*conn),
		seated:     make(map[*Class]int),
		shares:     make(map[string]int),
		watchers:   make(map[*conn]struct{}),
		longWarned: make(map[string]struct{}),
		watched:    make(chan struct{}, 1),
		started:    time.Now(),
		away:       newExpiries(),
		wills:      newExpiries(),
	}
	d.others.Limits = d.Limits
	d.wills.changed = d.away.changed // one goroutine looks at both
	d.buffers.New = func() any { return new([]byte) }
	return d
}

// Run accepts clients until ctx ends or a listener fails, and returns when all
// connections have ended. It is called once.
func (d *Door) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	keeper, err := d.Broker.Connect(d.VHost, broker.Identity{Protocol: "MQTT sessions", Door: true}, func() {})
	if err != nil {
		return fmt.Errorf("mqtt: connect to the broker: %w", err)
	}
	defer keeper.Close()
	d.keeper, d.keeping = keeper, keeper.Open()
	d.findSessions(time.Now())
	d.findWills(time.Now())
	d.rerouteRetained()

	var parts, served sync.WaitGroup
	parts.Go(func() { d.expire(ctx) })
	parts.Go(func() { d.tellSys(ctx) })
	for _, l := range d.Listeners {
		parts.Go(func() { stop(d.accept(ctx, l, &served)) })
	}
	<-ctx.Done()
	for _, l := range d.Listeners {
		_ = l.Close() // it is being given up; there is nobody to tell
	}
	parts.Wait()
	d.closeAll()
	served.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// Pauses after an Accept that failed, as when the process is out of
// descriptors: the listener is sound, and some connection will end.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

func (d *Door) accept(ctx context.Context, l net.Listener, served *sync.WaitGroup) error {
	pause := acceptPauseMin
	for {
		socket, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = socket.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("mqtt: accept on %s: %w", l.Addr(), err)
		case err != nil:
			d.Log.Warn("cannot accept mqtt connections for now", "listener", l.Addr().String(), "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPauseMin
		d.counts.accepted.Add(1)
		c := newConn(d, socket)
		if !d.admit(c) {
			d.counts.refused.Add(1)
			_ = socket.Close()
			continue
		}
		served.Go(c.serve)
	}
}

// admit takes a new connection in, unless there are too many. When too many
// strangers are here, the one that has been silent for longest goes.
func (d *Door) admit(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.conns) >= d.ConnectionsMax && d.connecting == 0 {
		return false
	}
	if d.connecting >= d.ConnectingMax || len(d.conns) >= d.ConnectionsMax {
		d.oldestStrangerLocked().end(ending{reason: mqttwire.ServerBusy, text: "too many connections without CONNECT"})
	}
	d.conns[c] = struct{}{}
	d.connecting++
	return true
}

func (d *Door) oldestStrangerLocked() *conn {
	var oldest *conn
	for c := range d.conns {
		if c.stranger && (oldest == nil || c.accepted.Before(oldest.accepted)) {
			oldest = c
		}
	}
	d.knownLocked(oldest)
	return oldest
}

// known: the connection has sent its CONNECT.
func (d *Door) known(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.knownLocked(c)
}

func (d *Door) knownLocked(c *conn) {
	if c.stranger {
		c.stranger = false
		d.connecting--
	}
}

// forget: the connection is closed.
func (d *Door) forget(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.knownLocked(c)
	delete(d.conns, c)
	delete(d.watchers, c)
}

func (d *Door) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.conns {
		c.end(ending{reason: mqttwire.ServerShuttingDown, text: "server is shutting down"})
	}
}

// enter makes c the owner of its client id's session. A connection that owns
// it is told to go, and c waits until it has gone.
func (d *Door) enter(c *conn, deadline time.Time) error {
	var timeout <-chan time.Time
	for {
		d.mu.Lock()
		old := d.clients[c.client]
		if old != nil && !c.mayTake(old.owner) {
			d.mu.Unlock()
			return errOwner
		}
		if old == nil {
			err := d.seatLocked(c.class)
			if err == nil {
				d.clients[c.client] = c
				d.away.cancel(c.client)
				d.clientsMost = max(d.clientsMost, len(d.clients))
			}
			d.mu.Unlock()
			return err
		}
		d.mu.Unlock()
		old.end(ending{reason: mqttwire.SessionTakenOver, text: "the client connected anew"})
		if timeout == nil {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-old.gone:
		case <-c.ended:
			return errEnded
		case <-timeout:
			return refusal(mqttwire.ServerUnavailable, "an older connection of the client has not ended in time")
		}
	}
}

// leave gives the session up; it stays for expiry when it is kept.
func (d *Door) leave(c *conn, kept bool, expiry uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.clients[c.client] != c {
		return
	}
	delete(d.clients, c.client)
	if d.seated[c.class]--; d.seated[c.class] == 0 {
		delete(d.seated, c.class)
	}
	if kept {
		d.away.add(c.client, expiry, time.Now())
	}
}
