package server091

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool"
)

// roundPromisesMax bounds a writer's round.
const roundPromisesMax = 1024

// writer owns a socket's outgoing direction. Fields belong to whoever has the
// turn (see speak.go) but where it is said otherwise.
type writer struct {
	turn   sync.Mutex
	direct bool         // the reader has the turn, and cannot wait
	stage  atomic.Int32 // of the goroutine, see stageClosed
	pulse  *time.Timer  // of heartbeats; nil without
	beats  atomic.Bool  // pulse says that it is time

	counts *counts
	octets atomic.Uint64 // written to this peer since its handshake
	writes atomic.Uint64
	pool   *sync.Pool
	log    *slog.Logger
	nc     net.Conn
	spool  spool.Log
	core   *broker.Conn
	// cancelNotify: the peer wants to hear when its consumers are ended.
	cancelNotify bool
	beat         heartbeat

	wake   chan struct{} // a note that there is something to do
	outbox atomic.Bool   // the core has something, set by its wake function
	given  chan struct{} // a note that promises were given
	quit   chan struct{} // closed when run must return
	over   chan struct{} // closed when run has returned
	ended  chan struct{} // closed when the end has begun, see end
	ending atomic.Bool   // the same, for a quick look
	hurry  atomic.Bool   // the broker stops: no patience with the peer
	// consumes counts subscriptions that the core has and the peer has not
	// heard of; the reader raises it before.
	consumes atomic.Int32
	err      error // why run returned, nil after last words; read it after over

	mu        sync.Mutex // protects the fields below
	line      spool.Waiting[promise]
	lineBytes int
	lineLong  bool             // line has been longer than it should stay
	watches   bool             // the goroutine waits for the log, on behalf of line
	urgent    []wire091.Method // for channel 0, before everything else
	channels  map[*broker.Session]uint16
	final     wire091.Method // the last words, when the end has begun
	until     time.Time      // when promises still in line are given up

	ready       []promise
	cancelled   []*broker.Consumer // ended by the core; to be told
	starts      []*broker.Consumer
	taken       []broker.Delivery
	ack         wire091.BasicAck
	pack        packer
	lent        *[]byte         // the pool's, while pack.buf is
	lastSession *broker.Session // whose channel is lastChannel
	lastChannel uint16
	patience    <-chan time.Time // of until
}

func newWriter(c *conn) *writer {
	return &writer{
		counts: &c.s.counts, pool: &c.s.buffers, log: c.log, nc: c.nc, spool: c.s.o.Broker.Log(),
		cancelNotify: c.client.consumerCancelNotify,
		beat:         heartbeat{interval: c.heartbeat, in: c.in},
		wake:         make(chan struct{}, 1),
		given:        make(chan struct{}, 1),
		quit:         make(chan struct{}),
		over:         make(chan struct{}),
		ended:        make(chan struct{}),
		channels:     make(map[*broker.Session]uint16),
		pack:         newPacker(c.in.Socket, c.frameMax),
	}
}

// deliverable is the core's wake function, called with its lock held.
func (w *writer) deliverable() {
	w.outbox.Store(true)
	w.nudge()
}

// urge sends a method on channel 0 that does not stand in line.
func (w *writer) urge(m wire091.Method) {
	w.mu.Lock()
	w.urgent = append(w.urgent, m)
	w.mu.Unlock()
	w.nudge()
}

// end begins the end: what can be promised within patience still is, then the
// last words are written and the writer is over. Only the first call counts.
func (w *writer) end(final wire091.Method, patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final != nil {
		return
	}
	w.final, w.until = final, time.Now().Add(patience)
	w.ending.Store(true)
	close(w.ended)
	w.nudge()
}

// errLastWords ends run after everything was said.
var errLastWords = errors.New("last words were written")

// run is the goroutine. A socket that fails is closed, which the reader will
// notice.
func (w *writer) run() {
	err := w.guarded()
	if err == errRest {
		return // until the next nudge
	}
	if w.pulse != nil {
		w.pulse.Stop()
	}
	if !errors.Is(err, errLastWords) {
		w.err = err
		_ = w.nc.Close()
	}
	w.stage.Store(stageClosed)
	close(w.over)
}

// guarded survives a mistake of ours.
func (w *writer) guarded() (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.counts.panics.Add(1)
			w.log.Error("connection failed by a mistake of ours", "panic", p, "stack", string(debug.Stack()))
			err = errMistake
		}
	}()
	return w.rounds()
}

// rounds writes until the end, or until there was nothing to do for a while.
func (w *writer) rounds() error {
	linger := time.NewTimer(writerLinger)
	defer linger.Stop()
	for busy := true; ; {
		select {
		case <-w.quit: // before everything else: the socket is closed
			return nil
		default:
		}
		moved, err := w.waitingRound()
		if err != nil {
			return err
		}
		select {
		case <-w.wake:
			busy = true
		case <-moved:
			busy = true
		case <-w.patience:
		case <-linger.C:
			if !busy && moved == nil {
				if err := w.rest(); err != nil {
					return err
				}
			}
			busy = false
			linger.Reset(writerLinger)
		case <-w.quit:
			return nil
		}
	}
}

// waitingRound is a round of the goroutine, which may wait for its turn and for
// the peer.
func (w *writer) waitingRound() (moved <-chan struct{}, err error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.beats.Swap(false) {
		if err := w.ticked(); err != nil {
			return nil, err
		}
		w.pulse.Reset(w.beat.tick())
	}
	return w.round()
}

// round writes everything that is there to be written. moved is to be waited
// for when promises are left.
//
// The promises are picked before the deliveries are taken, and written after
// them: what the core delivered before the reader made a promise is then
// written before it.
func (w *writer) round() (moved <-chan struct{}, err error) {
	durable, moved, failed := w.spool.Durable()
	if failed != nil {
		w.giveUp()
	}
	urgent, left, final := w.pick(durable)
	w.borrow()
	defer w.giveBack()
	for _, m := range urgent {
		w.pack.method(0, m)
	}
	if err := w.deliver(); err != nil {
		return nil, err
	}
	if err := w.give(); err != nil {
		return nil, err
	}
	w.notify()
	if final != nil {
		w.pack.method(0, final)
	}
	if err := w.flush(); err != nil {
		return nil, err
	}
	w.startConsumers()
	switch {
	case final != nil:
		return nil, errLastWords
	case left == 0 || failed != nil:
		return nil, nil
	}
	return moved, nil
}

// unconfirmed counts the messages of a channel whose confirms are still in line.
func (w *writer) unconfirmed(channel uint16) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.line.All() {
		if p.channel == channel && (p.kind == promiseAck || p.kind == promiseNack) {
			n += int(p.count)
		}
	}
	return n
}

// giveUp ends the connection because the log will never be durable further.
func (w *writer) giveUp() {
	w.end(connectionClose(0, errSpoolFailed), 0)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Now()
}

// pick takes over what is to be written in this round: urgent methods, promises
// (to w.ready), and the last words, when nothing stands before them any more.
func (w *writer) pick(durable spool.LSN) (urgent []wire091.Method, left int, final wire091.Method) {
	w.mu.Lock()
	defer w.mu.Unlock()
	urgent, w.urgent = w.urgent, nil
	w.popLocked(durable)
	left = w.line.Len()
	if len(w.ready) == roundPromisesMax {
		w.nudge() // there may be more
	}
	if w.direct {
		return urgent, left, nil
	}
	w.watches = left > 0
	if w.final == nil {
		return urgent, left, nil
	}
	wait := time.Until(w.until)
	if left == 0 || wait <= 0 {
		return urgent, left, w.final
	}
	w.patience = time.After(wait)
	return urgent, left, nil
}

// ticked sends a heartbeat if one is due and looks whether the peer is alive.
func (w *writer) ticked() error {
	send, err := w.beat.beat()
	if err != nil || !send {
		return err
	}
	w.borrow()
	defer w.giveBack()
	w.pack.buf = wire091.AppendHeartbeat(w.pack.buf)
	return w.flush()
}

// borrow takes a buffer, which idle connections have none of.
func (w *writer) borrow() {
	w.lent = w.pool.Get().(*[]byte)
	w.pack.buf = (*w.lent)[:0]
}

func (w *writer) giveBack() {
	if cap(w.pack.buf) <= writeBufferKept {
		*w.lent = w.pack.buf[:0]
		w.pool.Put(w.lent)
	}
	w.lent, w.pack.buf = nil, nil
}

func (w *writer) flushFull() error {
	if w.pack.size() < packMax {
		return nil
	}
	return w.flush()
}

// flush writes what was packed.
func (w *writer) flush() error {
	if w.pack.size() == 0 {
		return nil
	}
	w.beat.wrote = true
	n, err := w.pack.write(w.writePatience, !w.direct)
	w.counts.bytesOut.Add(uint64(n))
	w.octets.Add(uint64(n))
	w.writes.Add(1)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (w *writer) writePatience() time.Duration {
	if w.hurry.Load() {
		return promisesTimeout
	}
	return w.beat.patience()
}
