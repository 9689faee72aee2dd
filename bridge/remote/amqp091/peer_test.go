package amqp091

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

// peer is the broker's end of a connection, played by a test.
type peer struct {
	net.Conn
	r *bufio.Reader
}

// say writes and then listens until the other side has had enough: closing with
// unread bytes would have the kernel take back what was said.
func (p *peer) say(text string) {
	_, _ = io.WriteString(p, text)
	_, _ = io.Copy(io.Discard, p.r)
}

const (
	frameMethod    = wire091.FrameMethod
	frameHeader    = wire091.FrameHeader
	frameBody      = wire091.FrameBody
	frameHeartbeat = wire091.FrameHeartbeat
	frameEnd       = wire091.FrameEnd
)

// frame is one frame as it came.
type frame struct {
	kind    byte
	channel uint16
	payload []byte
}

func (f *frame) is(class, method uint16) bool {
	return f.kind == frameMethod && len(f.payload) >= 4 &&
		binary.BigEndian.Uint16(f.payload) == class && binary.BigEndian.Uint16(f.payload[2:]) == method
}

func (p *peer) frame() (frame, error) {
	var head [7]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[0], channel: binary.BigEndian.Uint16(head[1:])}
	f.payload = make([]byte, binary.BigEndian.Uint32(head[3:]))
	if _, err := io.ReadFull(p.r, f.payload); err != nil {
		return frame{}, err
	}
	if end, err := p.r.ReadByte(); err != nil || end != frameEnd {
		return frame{}, fmt.Errorf("frame end %d, %v", end, err)
	}
	return f, nil
}

// expect skips frames up to that method.
func (p *peer) expect(class, method uint16) (frame, error) {
	for {
		f, err := p.frame()
		if err != nil || f.is(class, method) {
			return f, err
		}
	}
}

func (p *peer) send(kind byte, channel uint16, payload []byte) {
	_, _ = p.Write(rawFrame(kind, channel, payload))
}

func rawFrame(kind byte, channel uint16, payload []byte) []byte {
	b := append([]byte{kind}, byte(channel>>8), byte(channel))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), frameEnd)
}

// method is a method's payload: fields are uint8, uint16, uint32, uint64,
// string (a short one) and []byte (a long one).
func method(class, id uint16, fields ...any) []byte {
	b := binary.BigEndian.AppendUint16(nil, class)
	b = binary.BigEndian.AppendUint16(b, id)
	for _, f := range fields {
		switch f := f.(type) {
		case uint8:
			b = append(b, f)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, f)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, f)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, f)
		case string:
			b = append(append(b, byte(len(f))), f...)
		case []byte:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
		}
	}
	return b
}

// greet speaks the handshake up to the client's login.
func (p *peer) greet() error {
	if _, err := io.ReadFull(p.r, make([]byte, 8)); err != nil {
		return err
	}
	p.send(frameMethod, 0, method(10, 10, uint8(0), uint8(9), []byte(nil), []byte("PLAIN EXTERNAL"), []byte("en_US")))
	_, err := p.expect(10, 11)
	return err
}

// open speaks the handshake up to confirm mode.
func (p *peer) open(frameMax uint32) error {
	if err := p.greet(); err != nil {
		return err
	}
	p.send(frameMethod, 0, method(10, 30, uint16(2047), frameMax, uint16(60)))
	for _, step := range []struct {
		class, method uint16
		channel       uint16
		reply         []byte
	}{
		{10, 40, 0, method(10, 41, "")},
		{20, 10, 1, method(20, 11, []byte(nil))},
		{85, 10, 1, method(85, 11)},
	} {
		if _, err := p.expect(step.class, step.method); err != nil {
			return err
		}
		p.send(frameMethod, step.channel, step.reply)
	}
	return nil
}

// published is a message as the peer gets it.
type published struct {
	exchange, key string
	mandatory     bool
	props         amqp.Properties
	body          []byte
}

// receive waits for a message.
func (p *peer) receive() (m published, err error) {
	f, err := p.expect(60, 40)
	if err != nil {
		return m, err
	}
	b := f.payload[6:]
	n := int(b[0])
	m.exchange, b = string(b[1:1+n]), b[1+n:]
	n = int(b[0])
	m.key, b = string(b[1:1+n]), b[1+n:]
	m.mandatory = b[0] == 1
	if f, err = p.frame(); err != nil {
		return m, err
	}
	size := binary.BigEndian.Uint64(f.payload[4:])
	if m.props, err = amqp.ParseProperties(f.payload[12:]); err != nil {
		return m, err
	}
	for uint64(len(m.body)) < size {
		if f, err = p.frame(); err != nil {
			return m, err
		}
		m.body = append(m.body, f.payload...)
	}
	return m, nil
}

func (p *peer) ack(number uint64, multiple uint8) {
	p.send(frameMethod, 1, method(60, 80, number, multiple))
}

func (p *peer) nack(number uint64) { p.send(frameMethod, 1, method(60, 120, number, uint8(0))) }

// sendBack returns a message for want of a route.
func (p *peer) sendBack(m *published) {
	p.send(frameMethod, 1, method(60, 50, uint16(312), "NO_ROUTE", m.exchange, m.key))
	p.send(frameHeader, 1, append(method(60, 0, uint64(len(m.body))), m.props...))
	if len(m.body) > 0 {
		p.send(frameBody, 1, m.body)
	}
}

// goodbye answers the client's connection.close.
func (p *peer) goodbye() {
	if _, err := p.expect(10, 50); err == nil {
		p.send(frameMethod, 0, method(10, 51))
	}
}

// listen serves each connection by the scripts in turn, the last one again and
// again, and answers the address.
func listen(t *testing.T, scripts ...func(*peer)) (address string) {
	t.Helper()
	var plain []func(net.Conn)
	for _, script := range scripts {
		plain = append(plain, func(c net.Conn) { script(&peer{Conn: c, r: bufio.NewReader(c)}) })
	}
	return remotetest.Serve(t, plain...)
}

const (
	secret  = remotetest.Secret
	longMax = remotetest.Patience
)

// dial opens a link to a script.
func dial(t *testing.T, o TargetOptions, script func(*peer)) (*Target, bridge.Link, error) {
	t.Helper()
	o.URL = "amqp://gw:" + secret + "@" + listen(t, script) + "/site"
	if o.Exchange == "" && o.Key == "" {
		o.Exchange = "up"
	}
	target, err := NewTarget(o)
	if err != nil {
		t.Fatal(err)
	}
	link, err := target.Dial(context.Background(), 16)
	if err == nil {
		t.Cleanup(link.Close)
	}
	return target, link, err
}
