package mqtt

import (
	"errors"
	"fmt"
	"os"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// writer is what the writing goroutine of a connection works with.
type writer struct {
	*conn
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

// write runs the writer until the connection has ended, then says the last
// words and closes the socket, which frees the reader.
func (c *conn) write() {
	defer c.socket.Close()
	defer c.contain()
	w := writer{conn: c}
	for {
		moved, err := w.round()
		if err != nil {
			c.end(endingOf(err))
			w.farewell()
			return
		}
		select {
		case <-c.wake:
		case <-moved:
		case <-c.ended:
			w.farewell()
			return
		}
	}
}

// round writes all that may go out now. Retained messages come before
// deliveries that were taken before they were looked up, see retained.
func (w *writer) round() (moved <-chan struct{}, err error) {
	w.deliveries = w.core.Take(w.deliveries)
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
	if w.block != nil && cap(w.buf) <= bufferKeep {
		*w.block = w.buf
		w.door.buffers.Put(w.block)
	}
	w.buf, w.block = nil, nil
	for qos := range w.sent {
		if w.sent[qos] > 0 {
			w.door.counts.sent[qos].Add(w.sent[qos])
			w.sent[qos] = 0
		}
	}
	return nil
}

func (w *writer) settle() error {
	if len(w.settled) == 0 {
		return nil
	}
	err := w.session.Settle(w.settled)
	w.settled = w.settled[:0]
	return err
}

// send writes to the socket. A client that takes nothing for WriteTimeout is
// dead; when the connection is ending there is less time.
func (w *writer) send() error {
	_ = w.socket.SetWriteDeadline(time.Now().Add(w.door.WriteTimeout))
	select {
	case <-w.ended:
		_ = w.socket.SetWriteDeadline(time.Now().Add(farewellTimeout))
	default:
	}
	_, err := w.socket.Write(w.buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStuck
	case err != nil:
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

// farewell sends the promises that have become true, and then why the
// connection ends, which only MQTT 5 can say.
func (w *writer) farewell() {
	why := w.why()
	if why.silent {
		return
	}
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
