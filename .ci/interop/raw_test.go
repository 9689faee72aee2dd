package interop

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// rawQuiet is how long a broker may say nothing while something is awaited.
const rawQuiet = 2 * patience

// rawAMQP is a client that costs next to nothing, for large numbers: an ordinary
// one takes several times the time of the broker. It has one durable queue.
// Messages are persistent, have a number in front and do not pack.
type rawAMQP struct {
	nc    net.Conn
	in    *bufio.Reader
	queue string
	// next is the number of the next message, sent or expected.
	next uint64
	rng  *rand.ChaCha8
}

// dialRaw connects, opens channel 1 and declares the queue.
func dialRaw(addr, queue string) (*rawAMQP, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &rawAMQP{nc: nc, in: bufio.NewReaderSize(nc, 64<<10), queue: queue, rng: rand.NewChaCha8([32]byte{1})}
	hello := append(append([]byte{}, opened091...), on(1, 50, 10, uint16(0), queue, byte(2), []byte{})...)
	if err = r.ask(hello, 50<<16|11); err != nil {
		nc.Close()
		return nil, fmt.Errorf("open a channel and %s: %w", queue, err)
	}
	return r, nil
}

func (r *rawAMQP) close() { r.nc.Close() }

// ask sends bytes and reads until a method answers them.
func (r *rawAMQP) ask(send []byte, answer uint32) error {
	if _, err := r.nc.Write(send); err != nil {
		return err
	}
	for {
		kind, payload, err := r.frame()
		if err != nil {
			return err
		}
		if kind == 1 && len(payload) >= 4 && binary.BigEndian.Uint32(payload) == answer {
			return nil
		}
	}
}

// frame reads one frame; its payload is valid until the next. What closes the
// connection or the channel is an error.
func (r *rawAMQP) frame() (kind byte, payload []byte, err error) {
	if r.in.Buffered() < 8 {
		_ = r.nc.SetReadDeadline(time.Now().Add(rawQuiet))
	}
	head, err := r.in.Peek(7)
	if err != nil {
		return 0, nil, err
	}
	kind = head[0]
	n := int(binary.BigEndian.Uint32(head[3:]))
	if n+8 > r.in.Size() {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	whole, err := r.in.Peek(n + 8)
	if err != nil {
		return 0, nil, err
	}
	payload = whole[7 : n+7]
	if _, err = r.in.Discard(n + 8); err != nil {
		return 0, nil, err
	}
	if kind == 1 && len(payload) >= 4 {
		if id := binary.BigEndian.Uint32(payload); id == 10<<16|50 || id == 20<<16|40 {
			return 0, nil, fmt.Errorf("the broker closed: %q", payload[4:])
		}
	}
	return kind, payload, nil
}

// rawStep is how many messages are sent in one write; what is filled and windows
// are multiples of it.
const rawStep = 50

// fill publishes n messages of some size with confirms, at most window of them
// unanswered, and returns when all are confirmed.
func (r *rawAMQP) fill(n, size, window int) error {
	if err := r.ask(on(1, 85, 10, byte(0)), 85<<16|11); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	room := make(chan struct{}, window/rawStep)
	sent := make(chan error, 1)
	base, confirmed, given := r.next, 0, 0
	go func() { sent <- r.publish(n, size, room) }()
	for confirmed < n {
		kind, payload, err := r.frame()
		if err != nil {
			r.nc.Close()
			return fmt.Errorf("after %d of %d confirms: %w", confirmed, n, err)
		}
		if kind != 1 || len(payload) < 13 || binary.BigEndian.Uint32(payload) != 60<<16|80 {
			continue
		}
		// They come in order, one by one or many at once.
		confirmed = int(binary.BigEndian.Uint64(payload[4:]) - base)
		for ; given < confirmed/rawStep; given++ {
			<-room
		}
	}
	return <-sent
}

// publish sends the messages, as far as there is room for their confirms.
func (r *rawAMQP) publish(n, size int, room chan<- struct{}) error {
	block, bodies := r.block(rawStep, size)
	for at := 0; at < n; at += rawStep {
		room <- struct{}{}
		for _, body := range bodies {
			_, _ = r.rng.Read(body[8:])
			binary.BigEndian.PutUint64(body, r.next)
			r.next++
		}
		if _, err := r.nc.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// block is so many publishes of messages with room for their bodies.
func (r *rawAMQP) block(n, size int) (block []byte, bodies [][]byte) {
	one := on(1, 60, 40, uint16(0), "", r.queue, byte(0))
	// Persistent: bit 12 of the property flags, then the delivery mode.
	one = append(one, frame091(2, 1, method091(60, 0, uint64(size), uint16(1<<12), byte(2)))...)
	at := len(one) + 7
	one = append(one, frame091(3, 1, make([]byte, size))...)
	for range n {
		block = append(block, one...)
	}
	for i := range n {
		from := i*len(one) + at
		bodies = append(bodies, block[from:from+size])
	}
	return block, bodies
}

// consume begins to read the queue; prefetch 0 stands for no bound.
func (r *rawAMQP) consume(prefetch uint16) error {
	if err := r.ask(on(1, 60, 10, uint32(0), prefetch, byte(0)), 60<<16|11); err != nil {
		return fmt.Errorf("set prefetch: %w", err)
	}
	_, err := r.nc.Write(on(1, 60, 20, uint16(0), r.queue, "raw", byte(0), []byte{}))
	return err
}

// drain reads n messages, which have to come in order, and acknowledges each
// ackEvery-th with all before it; 0 stands for none.
func (r *rawAMQP) drain(n, ackEvery int) error {
	tag, left := uint64(0), uint64(0)
	var acks []byte
	for got := 0; got < n; {
		if len(acks) > 0 && r.in.Buffered() < 8 {
			if _, err := r.nc.Write(acks); err != nil {
				return err
			}
			acks = acks[:0]
		}
		kind, payload, err := r.frame()
		if err != nil {
			return fmt.Errorf("after %d of %d messages: %w", got, n, err)
		}
		switch {
		case kind == 1 && len(payload) > 5 && binary.BigEndian.Uint32(payload) == 60<<16|60:
			tag = binary.BigEndian.Uint64(payload[5+int(payload[4]):])
			continue
		case kind == 2:
			left = binary.BigEndian.Uint64(payload[4:])
			continue
		case kind != 3:
			continue
		}
		if number := binary.BigEndian.Uint64(payload); number != r.next {
			return fmt.Errorf("message %d came, want %d", number, r.next)
		}
		r.next++
		if left != uint64(len(payload)) {
			return io.ErrUnexpectedEOF // bodies here fit into one frame
		}
		if got++; ackEvery > 0 && (got%ackEvery == 0 || got == n) {
			acks = append(acks, on(1, 60, 80, tag, byte(1))...)
		}
	}
	_, err := r.nc.Write(acks)
	return err
}
