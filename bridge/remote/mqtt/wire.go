package mqtt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// wire is the socket as the library sees it. Reading gives whole packets that
// were checked; what the library writes under the lock leaves in one piece when
// it is unlocked.
type wire struct {
	net.Conn                // TLS over the socket, or the socket itself
	socket   net.Conn       // closing it frees everything
	policy   policy         // which packets may come
	admit    func()         // waits until the next packet may be read; nil does not
	passed   func(size int) // is told of each message before the library has it
	over     func(err error)
	lastIn   atomic.Int64 // unix nanoseconds of the last byte from the far side
	lastOut  atomic.Int64 // and of the last that we wrote
	closed   chan struct{}
	hangUp   func()       // closes closed and the socket, once
	patience atomic.Int64 // longest silence, nanoseconds

	// Of the reader alone.
	in    *mqttwire.Reader
	most  int    // bytes of a packet, once we are in
	rest  []byte // of the packet that the library is reading
	spare []byte
	terms terms

	mu  sync.Mutex // held while the library writes a packet; protects the fields below
	out []byte
	err error // of an earlier write
}

// policy says what kind of peer we are: sources get messages, targets answers.
type policy struct {
	messages, answers bool
}

// terms is what the far side said in CONNACK.
type terms struct {
	greeted    bool
	reason     mqttwire.ReasonCode
	text       string
	present    bool
	receiveMax int
	packetMax  int // 0 is no limit
	qosMax     byte
	retain     bool
	node       string // "" when it is not one of us
}

func newWire(stream, socket net.Conn, o *Options, p policy) *wire {
	w := &wire{Conn: stream, socket: socket, policy: p, most: o.PacketBytesMax, closed: make(chan struct{}), over: func(error) {}}
	w.hangUp = sync.OnceFunc(func() {
		close(w.closed)
		_ = socket.Close()
	})
	w.setKeepAlive(o.KeepAlive)
	w.lastIn.Store(time.Now().UnixNano())
	w.lastOut.Store(time.Now().UnixNano())
	w.in = mqttwire.NewReader(timed{w}, min(connackBytesMax, o.PacketBytesMax))
	w.in.SetVersion(mqttwire.V5)
	return w
}

// setKeepAlive sets how long the far side may be silent (section 3.1.2.10).
func (w *wire) setKeepAlive(d time.Duration) { w.patience.Store(int64(d + d/2)) }

// timed is the stream with a deadline for each read.
type timed struct{ w *wire }

func (t timed) Read(p []byte) (int, error) {
	silence := time.Duration(t.w.patience.Load())
	if err := t.w.Conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	n, err := t.w.Conn.Read(p)
	if n > 0 {
		t.w.lastIn.Store(time.Now().UnixNano())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing was heard for %v", silence)
	}
	return n, err
}

// Read gives the library what the far side said, as far as it may be believed.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		if err := w.next(); err != nil {
			w.over(err)
			return 0, err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// spareMax is the memory for packets that is kept.
const spareMax = 64 << 10

// next reads a packet and checks it.
func (w *wire) next() error {
	if w.admit != nil {
		w.admit()
	}
	p, err := w.in.Next()
	if err != nil {
		if err == io.EOF {
			err = errors.New("the far side closed the connection")
		}
		return err
	}
	if err := w.check(p); err != nil {
		return err
	}
	if cap(w.spare) > spareMax {
		w.spare = nil
	}
	w.spare = append(w.spare[:0], byte(p.Type)<<4|p.Flags)
	n := len(p.Body)
	for ; n > 127; n >>= 7 {
		w.spare = append(w.spare, byte(n)|0x80)
	}
	w.spare = append(append(w.spare, byte(n)), p.Body...)
	w.rest = w.spare
	if p.Type == mqttwire.TypePublish {
		w.passed(len(p.Body))
	}
	return nil
}

// check refuses what has no business to come, and reads CONNACK and DISCONNECT
// before the library does, which shortens their words.
func (w *wire) check(p mqttwire.Packet) error {
	if !w.terms.greeted && p.Type != mqttwire.TypeConnack {
		return fmt.Errorf("the far side sent %s before CONNACK", p.Type)
	}
	switch p.Type {
	case mqttwire.TypeConnack:
		if w.terms.greeted {
			return errors.New("the far side sent a second CONNACK")
		}
		return w.greeted(p)
	case mqttwire.TypePublish:
		if w.policy.messages {
			return checkMessage(p)
		}
	case mqttwire.TypePuback:
		if w.policy.answers {
			return new(mqttwire.Ack).Decode(p.Type, p.Body, mqttwire.V5)
		}
	case mqttwire.TypePubrel:
		if w.policy.messages {
			return new(mqttwire.Ack).Decode(p.Type, p.Body, mqttwire.V5)
		}
	case mqttwire.TypeSuback:
		if w.policy.messages {
			return new(mqttwire.Suback).Decode(p.Body, mqttwire.V5)
		}
	case mqttwire.TypePingresp:
		return mqttwire.DecodePing(p.Type, p.Body)
	case mqttwire.TypeDisconnect:
		var d mqttwire.Disconnect
		if err := d.DecodeFromServer(p.Body, mqttwire.V5); err != nil {
			return err
		}
		return disconnected(&d)
	}
	return fmt.Errorf("the far side sent %s", p.Type)
}

func checkMessage(p mqttwire.Packet) error {
	var m mqttwire.Publish
	if err := m.DecodeFromServer(p.Flags, p.Body, mqttwire.V5); err != nil {
		return err
	}
	if m.Props.Has(mqttwire.TopicAlias) { // we announced that we know none
		return errors.New("the far side sent a topic alias")
	}
	return nil
}

// greeted reads CONNACK.
func (w *wire) greeted(p mqttwire.Packet) error {
	var ack mqttwire.Connack
	if err := ack.Decode(p.Body, mqttwire.V5); err != nil {
		return err
	}
	if ack.Props.Has(mqttwire.AuthenticationMethod) {
		return errors.New("the far side asks for enhanced authentication")
	}
	t := &w.terms
	*t = terms{greeted: true, reason: ack.Reason, present: ack.SessionPresent, receiveMax: 65535, qosMax: 2, retain: true}
	t.text, _ = ack.Props.Text(mqttwire.ReasonString)
	if n, ok := ack.Props.Uint32(mqttwire.ReceiveMaximum); ok {
		t.receiveMax = int(n)
	}
	if n, ok := ack.Props.Uint32(mqttwire.MaximumPacketSize); ok {
		t.packetMax = int(min(n, 1<<30))
	}
	if n, ok := ack.Props.Uint32(mqttwire.MaximumQoS); ok {
		t.qosMax = byte(n)
	}
	if n, ok := ack.Props.Uint32(mqttwire.RetainAvailable); ok {
		t.retain = n == 1
	}
	if n, ok := ack.Props.Uint32(mqttwire.ServerKeepAlive); ok && n > 0 {
		w.setKeepAlive(time.Duration(n) * time.Second)
	}
	for name, value := range ack.Props.UserProperties {
		if string(name) == bridge.UserNode && bridge.ValidNode(string(value)) {
			t.node = string(value)
		}
	}
	w.in.SetMax(w.most)
	return nil
}

// Lock begins a packet; the library does so by itself (see its packets.WriteTo).
func (w *wire) Lock() { w.mu.Lock() }

// Unlock sends it. An error is told by the next write, and by the reader, whose
// socket is closed.
func (w *wire) Unlock() {
	w.flushLocked()
	w.mu.Unlock()
}

// Write is called between Lock and Unlock.
func (w *wire) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// send writes whole packets of our own.
func (w *wire) send(packets []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.out = append(w.out, packets...)
		w.flushLocked()
	}
	return w.err
}

func (w *wire) flushLocked() {
	if w.err != nil || len(w.out) == 0 {
		return
	}
	patience := time.Duration(w.patience.Load()) + time.Duration(len(w.out))*time.Second/slowestLink
	_ = w.Conn.SetWriteDeadline(time.Now().Add(patience)) // fails on a closed socket, as the write will
	_, w.err = w.Conn.Write(w.out)
	w.lastOut.Store(time.Now().UnixNano())
	w.out = w.out[:0]
	if cap(w.out) > spareMax {
		w.out = nil
	}
	if w.err != nil {
		w.over(w.err)
		w.hangUp()
	}
}

// Close ends the socket without a goodbye, which frees readers and writers.
func (w *wire) Close() error {
	w.hangUp()
	return nil
}
