package mqtt

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// writer is what writes to a client. Its fields belong to whoever has the turn.
type writer struct {
	*conn
	turn       sync.Mutex
	direct     bool    // the reader has the turn, and cannot wait
	buf        []byte  // packets of this round
	block      *[]byte // where buf is from, and goes back to: door.buffers
	ready      []promise
	deliveries []broker.Delivery
	settled    []broker.Settlement
	props      mqttwire.PropertyWriter
	addresses  addresses
	retained   retained
	held       []heldDelivery
	durable    spool.LSN // the log was, this round
	blocked    bool      // the last attempt met another message with its packet identifier
	sent       [3]uint64 // of this round
}

const (
	chunkBytesMax = 64 << 10 // packets collected before they are written
	bufferKeep    = 256 << 10
	// disconnectMost is a DISCONNECT but for its text.
	disconnectMost = 16
	// What an idle connection keeps of its writer's memory.
	deliveriesKeep = 16
	readyKeep      = 16
)

// write runs the writer's goroutine. When the connection has ended it says the
// last words and closes the socket, which frees the reader.
func (c *conn) write() {
	if c.writeOn() {
		return // until the next poke
	}
	_ = c.socket.Close()
	c.stage.Store(stageClosed)
	c.over.Done()
}

// writeOn makes rounds until there is nothing to do for a while, or the
// connection has ended.
func (c *conn) writeOn() (goesOn bool) {
	defer c.contain()
	w := &c.out
	linger := time.NewTimer(writerLinger)
	defer linger.Stop()
	for busy := true; ; {
		moved, err := w.waitingRound()
		if err != nil {
			c.end(endingOf(err))
			w.farewell()
			return false
		}
		select {
		case <-c.wake:
			busy = true
		case <-moved:
			busy = true
		case <-linger.C:
			if !busy && moved == nil && w.rest() {
				return true
			}
			busy = false
			linger.Reset(writerLinger)
		case <-c.ended:
			w.farewell()
			return false
		}
	}
}

// rest ends the goroutine unless something has come up meanwhile.
func (w *writer) rest() bool {
	w.turn.Lock()
	w.retire()
	w.turn.Unlock()
	w.stage.Store(stageAway)
	again := len(w.wake) > 0
	select {
	case <-w.ended:
		again = true
	default:
	}
	return !again || !w.stage.CompareAndSwap(stageAway, stageHere)
}

// waitingRound is a round of the goroutine, which may wait for its turn and for
// the client.
func (w *writer) waitingRound() (moved <-chan struct{}, err error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	return w.round()
}

// round writes all that may go out now. Retained messages come before
// deliveries that were taken before they were looked up, see retained.
func (w *writer) round() (moved <-chan struct{}, err error) {
	if !w.direct && w.outbox.Swap(false) {
		w.deliveries = w.core.Take(w.deliveries)
	}
	if moved, err = w.answers(); err != nil {
		return nil, err
	}
	if err := w.sendRetained(); err != nil {
		return nil, err
	}
	held, err := w.deliver()
	if err != nil {
		return nil, err
	}
	if moved == nil {
		moved = held
	}
	if w.sysDue.Swap(false) {
		if err := w.sendSys(""); err != nil {
			return nil, err
		}
	}
	if err := w.flush(); err != nil {
		return nil, err
	}
	w.shrink()
	clear(w.deliveries)
	w.deliveries = w.deliveries[:0]
	return moved, nil
}

// answers puts out what has become true.
func (w *writer) answers() (moved <-chan struct{}, err error) {
	var pings int
	w.ready, pings, moved, err = w.acks.give(w.door.Broker.Log(), w.ready[:0])
	if err != nil {
		return nil, err
	}
	for i := range w.ready {
		if err := w.answer(&w.ready[i]); err != nil {
			return nil, err
		}
	}
	for range pings {
		w.open()
		w.buf = mqttwire.AppendPingresp(w.buf)
	}
	if len(w.ready) > 0 {
		signal(w.eased)
	}
	clear(w.ready)
	return moved, nil
}

func (w *writer) answer(p *promise) error {
	w.open()
	if p.reply == nil {
		ack := mqttwire.Ack{PacketID: p.id, Reason: p.reason}
		var err error
		w.buf, err = mqttwire.AppendAck(w.buf, p.kind, w.version, &ack)
		return err
	}
	w.buf = append(w.buf, p.reply.packet...)
	w.retained.want(p.reply.retained, w.subs.Load())
	for _, filter := range p.reply.retained {
		if aboutSys(filter) {
			if err := w.sendSys(filter); err != nil {
				return err
			}
		}
	}
	for _, consumer := range p.reply.start {
		consumer.Start() // behind CONNACK or SUBACK
	}
	return w.spill()
}

// open makes sure that there is a buffer.
func (w *writer) open() {
	if w.block == nil {
		w.block = w.door.buffers.Get().(*[]byte)
		w.buf = (*w.block)[:0]
	}
}

// spill writes when there is much.
func (w *writer) spill() error {
	if len(w.buf) < chunkBytesMax {
		return nil
	}
	return w.flush()
}

// flush writes the buffer and gives it back. QoS 0 messages are settled before:
// they arrive at most once, even if the connection breaks right here.
func (w *writer) flush() error {
	if err := w.settle(); err != nil {
		return err
	}
	if len(w.buf) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	if len(w.buf) == 0 {
		w.close()
	}
	for qos := range w.sent {
		if w.sent[qos] > 0 {
			w.door.counts.sent[qos].Add(w.sent[qos])
			w.sent[qos] = 0
		}
	}
	return nil
}

// close gives the buffer back.
func (w *writer) close() {
	if w.block != nil && cap(w.buf) <= bufferKeep {
		*w.block = w.buf
		w.door.buffers.Put(w.block)
	}
	w.buf, w.block = nil, nil
}

func (w *writer) settle() error {
	if len(w.settled) == 0 {
		return nil
	}
	err := w.session.Settle(w.settled)
	w.settled = w.settled[:0]
	return err
}

// send writes to the socket: first what it takes at once, which is mostly all,
// and unless the reader has the turn what it takes in time. What is left stays
// in buf. A client that takes nothing for WriteTimeout is dead; one that takes
// some of it is slow, and is given that time again. (TLS and WebSocket cannot go
// on after they stalled once; there all of it must pass in time.) When the
// connection is ending there is less of it, and once.
func (w *writer) send() error {
	n, err := w.source.Try(w.buf)
	w.countWritten(n)
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	if w.direct || len(w.buf) == 0 {
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("write to the client: %w", err)
		}
		return nil
	}
	rest := w.buf
	for slow := true; slow; {
		w.grantTime(time.Now().Add(w.door.WriteTimeout))
		n, err = w.socket.Write(rest)
		w.countWritten(n)
		rest = rest[n:]
		slow = n > 0 && errors.Is(err, os.ErrDeadlineExceeded) && w.source.Direct() && !w.hasEnded()
	}
	w.buf = w.buf[:0]
	w.grantTime(time.Time{}) // the next Try is not to fail for it
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStuck
	case err != nil:
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

func (w *writer) countWritten(written int) {
	if written > 0 {
		w.octetsOut.Add(uint64(written))
		w.writes.Add(1)
	}
}

// grantTime sets the deadline of writes, or that of last words.
func (w *writer) grantTime(until time.Time) {
	_ = w.socket.SetWriteDeadline(until)
	if w.hasEnded() {
		_ = w.socket.SetWriteDeadline(time.Now().Add(farewellTimeout))
	}
}

// hasEnded reports that nothing but last words is wanted.
func (w *writer) hasEnded() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// farewell sends the promises that have become true, and then why the
// connection ends, which only MQTT 5 can say.
func (w *writer) farewell() {
	why := w.why()
	if why.silent {
		return
	}
	w.turn.Lock()
	defer w.turn.Unlock()
	_, _ = w.answers() // a log that failed lets nothing come true
	if w.version == mqttwire.V5 {
		bye := mqttwire.Disconnect{Reason: why.reason}
		if w.texts && (w.sizeMax == 0 || len(why.text)+disconnectMost <= w.sizeMax) {
			w.props.Reset()
			w.props.Text(mqttwire.ReasonString, why.text)
			bye.Props, _ = w.props.Properties() // without the text if it cannot be sent
		}
		w.open()
		w.buf, _ = mqttwire.AppendDisconnect(w.buf, w.version, &bye)
	}
	_ = w.flush() // nothing comes after it
}

// retire gives back what only a busy connection has a use for.
func (w *writer) retire() {
	if len(w.held) == 0 {
		w.held = nil
	}
	w.deliveries, w.settled, w.ready = nil, nil, nil
	w.props, w.addresses = mqttwire.PropertyWriter{}, addresses{}
	w.inflight.retire()
}

// shrink gives memory back after a burst.
func (w *writer) shrink() {
	if cap(w.deliveries) > deliveriesKeep && len(w.deliveries) <= deliveriesKeep/4 {
		w.deliveries, w.settled = nil, nil
	}
	if cap(w.ready) > readyKeep && len(w.ready) <= readyKeep/4 {
		w.ready = nil
	}
	if len(w.held) == 0 {
		w.held = nil
	}
}
