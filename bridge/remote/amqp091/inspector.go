package amqp091

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
)

// inspector reads along with the far side's frames and stops at the first that
// a broker has no business to send to a publisher: too large, out of place, a
// confirm of what was never sent, a returned message larger than any that was
// sent. The frame's layout (0-9-1, section 2.3.5):
//
//	octet type, short channel, long size, size octets of payload, octet 206
//
// Of the payload it keeps the first octets, which hold all that it asks for.
//
// It also remembers which messages were refused one by one. The library puts
// answers into order, and when an ack of all up to some message follows, takes
// a refusal that had come before for acked too: the message would be lost.
type inspector struct {
	sent    atomic.Uint64 // messages handed to the library
	bodyMax atomic.Uint64 // largest body among them

	mu      sync.Mutex          // protects refused
	refused map[uint64]struct{} // messages after done that were refused singly
	done    atomic.Uint64       // the last whose answer was taken

	// Of the reader alone.
	bad  error    // set once; nothing is believed after it
	head [20]byte // frame header and the payload's first octets
	have int      // of head
	rest uint64   // octets of the frame that are still to pass, the end included
}

const (
	frameHeaderSize = 7
	frameEnd        = 206

	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8

	channelID = 1 // the one channel that is opened
)

// expect notes a message that is about to be sent.
func (in *inspector) expect(body int) {
	if n := uint64(body); n > in.bodyMax.Load() {
		in.bodyMax.Store(n)
	}
	in.sent.Add(1)
}

// answered takes a message's answer out: whether it was refused. Messages are
// answered in order.
func (in *inspector) answered(number uint64) (refused bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.done.Store(number)
	_, refused = in.refused[number]
	delete(in.refused, number)
	return refused
}

// refuse notes a refusal.
func (in *inspector) refuse(number uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.refused == nil {
		in.refused = make(map[uint64]struct{})
	}
	in.refused[number] = struct{}{}
}

// inspect says how many of the octets may be passed on; when that is not all,
// bad says why.
func (in *inspector) inspect(p []byte) int {
	for i := 0; i < len(p); {
		n, err := in.step(p[i:])
		if err != nil {
			in.bad = err
			return i
		}
		i += n
	}
	return len(p)
}

// step takes some octets, at least one.
func (in *inspector) step(p []byte) (int, error) {
	if want := in.wanted(); in.have < want {
		n := copy(in.head[in.have:want], p)
		in.have += n
		if in.have < want {
			return n, nil
		}
		if want == frameHeaderSize {
			return n, in.checkFrame()
		}
		in.rest -= uint64(want - frameHeaderSize)
		return n, in.checkPayload()
	}
	if in.rest > 1 {
		n := min(uint64(len(p)), in.rest-1)
		in.rest -= n
		return int(n), nil
	}
	if p[0] != frameEnd {
		return 0, fmt.Errorf("what came is not AMQP 0-9-1: a frame ends with octet %d", p[0])
	}
	in.have, in.rest = 0, 0
	return 1, nil
}

// wanted is how many octets head needs before the frame can pass: its header,
// and then what must be looked at of its payload.
func (in *inspector) wanted() int {
	if in.have < frameHeaderSize {
		return frameHeaderSize
	}
	size := int(in.size())
	switch in.head[0] {
	case frameMethod:
		return frameHeaderSize + min(size, 13) // class, method, and of confirms the tag and the flags
	case frameHeader:
		return frameHeaderSize + min(size, 12) // class, weight, body size
	}
	return frameHeaderSize
}

func (in *inspector) size() uint32    { return binary.BigEndian.Uint32(in.head[3:]) }
func (in *inspector) channel() uint16 { return binary.BigEndian.Uint16(in.head[1:]) }

// checkFrame looks at a frame's header.
func (in *inspector) checkFrame() error {
	size, channel := in.size(), in.channel()
	least := uint32(0)
	switch in.head[0] {
	case frameMethod:
		least = 4
	case frameHeader:
		least = 14
	case frameBody:
	case frameHeartbeat:
		if size > 0 || channel != 0 {
			return fmt.Errorf("the far side sent a heartbeat of %d octets on channel %d", size, channel)
		}
	default:
		return fmt.Errorf("what came is not AMQP 0-9-1: %q", in.head[:frameHeaderSize])
	}
	if size < least || size > frameBytesMax-frameHeaderSize-1 || channel > channelID {
		return fmt.Errorf("the far side sent a frame of type %d with %d octets on channel %d", in.head[0], size, channel)
	}
	if channel == 0 && (in.head[0] == frameHeader || in.head[0] == frameBody) {
		return fmt.Errorf("the far side sent content on channel 0")
	}
	in.rest = uint64(size) + 1
	return nil
}

// checkPayload looks at the beginning of a method or content header.
func (in *inspector) checkPayload() error {
	class, method := binary.BigEndian.Uint16(in.head[7:]), binary.BigEndian.Uint16(in.head[9:])
	number := binary.BigEndian.Uint64(in.head[11:]) // of confirms and content headers
	if in.head[0] == frameHeader {
		if longest := in.bodyMax.Load(); number > longest {
			return fmt.Errorf("the far side returns a message of %d octets; the longest sent has %d", number, longest)
		}
		return nil
	}
	if !expected(in.channel(), class, method) {
		return fmt.Errorf("the far side sent method %d.%d on channel %d", class, method, in.channel())
	}
	if class == classBasic && method != basicReturn {
		return in.checkConfirm(method, number)
	}
	return nil
}

// checkConfirm looks at an ack or a nack.
func (in *inspector) checkConfirm(method uint16, number uint64) error {
	if in.size() != 13 {
		return fmt.Errorf("the far side sent a confirm of %d octets", in.size())
	}
	if sent := in.sent.Load(); number == 0 || number > sent {
		return fmt.Errorf("the far side confirmed message %d of %d sent", number, sent)
	}
	if multiple := in.head[19]&1 != 0; multiple {
		return nil
	}
	if number <= in.done.Load() {
		return fmt.Errorf("the far side confirmed message %d again", number)
	}
	if method == basicNack {
		in.refuse(number)
	}
	return nil
}

const (
	classConnection = 10
	classChannel    = 20
	classBasic      = 60
	classConfirm    = 85

	basicReturn = 50
	basicAck    = 80
	basicNack   = 120
)

// expected reports whether a broker may send the method to a publisher.
func expected(channel, class, method uint16) bool {
	if channel == 0 {
		switch method {
		case 10, 20, 30, 41, 50, 51, 60, 61: // start, secure, tune, open-ok, close, close-ok, blocked, unblocked
			return class == classConnection
		}
		return false
	}
	switch class {
	case classChannel:
		return method == 11 || method == 20 || method == 40 || method == 41 // open-ok, flow, close, close-ok
	case classBasic:
		return method == basicReturn || method == basicAck || method == basicNack
	case classConfirm:
		return method == 11 // select-ok
	}
	return false
}
