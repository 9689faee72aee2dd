package server091

import (
	"bytes"
	"errors"
	"net"
	"os"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/socket"
	"leveret/amqp/wire091"
)

const (
	// packMax is what is collected before it is written.
	packMax = 256 << 10
	// borrowMin is the size from which bodies are written from where they lie.
	borrowMin = 4 << 10
	// shortStringMax is what a routing key on the wire may have.
	shortStringMax = 255
	// wholeKeyHeader carries a longer routing key; that of an MQTT topic has the
	// topic itself along.
	wholeKeyHeader   = "x-routing-key"
	wholeTopicHeader = "x-mqtt-topic"
)

// packer collects frames for one write. Large bodies are not copied: cuts say
// where between the bytes of buf they go.
type packer struct {
	nc       *socket.Socket
	frameMax int
	vectored bool // the socket takes many pieces in one call

	buf      []byte
	cuts     []cut
	borrowed int // bytes of all cuts
	pieces   net.Buffers
	unsent   []byte // of an earlier write; goes first
}

type cut struct {
	at   int
	body []byte
}

func newPacker(nc *socket.Socket, frameMax int) packer {
	p := packer{nc: nc, frameMax: frameMax}
	switch nc.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		p.vectored = true
	}
	return p
}

func (p *packer) size() int { return len(p.unsent) + len(p.buf) + p.borrowed }

func (p *packer) method(channel uint16, m wire091.Method) {
	p.buf = wire091.AppendMethod(p.buf, channel, m)
}

func (p *packer) deliver(channel uint16, d *broker.Delivery) {
	p.buf = wire091.AppendDeliver(p.buf, channel, d.Consumer.Tag, d.Tag, d.Redelivered, d.Msg.Exchange, d.Msg.Key)
	p.content(channel, d.Msg)
}

// content packs what follows a method with content.
func (p *packer) content(channel uint16, m *amqp.Message) {
	props := m.Props
	if len(m.Key) > shortStringMax {
		props = withWholeKey(m)
	}
	p.buf = wire091.AppendContentHeader(p.buf, channel, uint64(len(m.Body)), props)
	if len(m.Body) < borrowMin || !p.vectored {
		p.buf = wire091.AppendBody(p.buf, channel, m.Body, p.frameMax)
		return
	}
	for rest := m.Body; len(rest) > 0; {
		n := min(len(rest), p.frameMax-wire091.FrameOverhead)
		p.buf = wire091.AppendFrameHeader(p.buf, wire091.FrameBody, channel, n)
		p.cuts = append(p.cuts, cut{len(p.buf), rest[:n]})
		p.borrowed += n
		p.buf = append(p.buf, wire091.FrameEnd)
		rest = rest[n:]
	}
}

func withWholeKey(m *amqp.Message) amqp.Properties {
	if _, has := m.Props.Header(wholeTopicHeader); has {
		return m.Props
	}
	l := m.Props.List()
	l.Headers = l.Headers.With(wholeKeyHeader, m.Key)
	return l.Encode()
}

// write writes what was packed: what the socket takes at once, which is mostly
// all, and the rest now or, if it may not wait, next time. A peer that takes some
// of it within patience is given patience again: it is slow, not dead. (TLS
// cannot go on after it stalled once; there all of it must pass within patience.)
func (p *packer) write(patience func() time.Duration, wait bool) (n int64, err error) {
	defer p.reset()
	rest := p.assemble()
	if len(rest) == 1 {
		some, err := p.nc.Try(rest[0])
		n = int64(some)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if rest[0] = rest[0][some:]; len(rest[0]) == 0 {
			p.unsent = nil
			return n, nil
		}
	}
	if !wait {
		p.unsent = bytes.Join(rest, nil)
		return n, nil
	}
	p.unsent = nil
	for len(rest) > 0 {
		if err := p.nc.SetWriteDeadline(time.Now().Add(patience())); err != nil {
			return n, err
		}
		some, err := p.writeSome(&rest)
		n += some
		if err != nil && (some == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return n, err
		}
	}
	return n, p.nc.SetWriteDeadline(time.Time{}) // the next is not to fail for it
}

// writeSome writes from the head of rest and takes off what was written.
func (p *packer) writeSome(rest *net.Buffers) (int64, error) {
	if len(*rest) > 1 {
		return rest.WriteTo(p.nc.Conn) // the kernel takes all pieces in one call
	}
	n, err := p.nc.Write((*rest)[0])
	if (*rest)[0] = (*rest)[0][n:]; len((*rest)[0]) == 0 {
		*rest = nil
	}
	return int64(n), err
}

// assemble lists the pieces in order.
func (p *packer) assemble() net.Buffers {
	p.pieces = p.pieces[:0]
	if len(p.unsent) > 0 {
		p.pieces = append(p.pieces, p.unsent)
	}
	from := 0
	for _, c := range p.cuts {
		p.pieces = append(p.pieces, p.buf[from:c.at], c.body)
		from = c.at
	}
	if from < len(p.buf) {
		p.pieces = append(p.pieces, p.buf[from:])
	}
	return p.pieces
}

func (p *packer) reset() {
	clear(p.cuts)
	clear(p.pieces[:cap(p.pieces)])
	p.buf, p.cuts, p.borrowed = p.buf[:0], p.cuts[:0], 0
}
