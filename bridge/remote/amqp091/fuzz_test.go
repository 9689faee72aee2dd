package amqp091

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/bridge"
)

// played is a socket from which a prepared stream is read.
type played struct {
	net.Conn // nil: nothing else is called
	*bytes.Reader
	written []byte
}

func (p *played) Read(b []byte) (int, error) { return p.Reader.Read(b) }
func (p *played) Write(b []byte) (int, error) {
	p.written = append(p.written, b...)
	return len(b), nil
}
func (p *played) Close() error                     { return nil }
func (p *played) SetReadDeadline(time.Time) error  { return nil }
func (p *played) SetWriteDeadline(time.Time) error { return nil }

// FuzzAnswers: whatever the far side sends to a publisher with five messages
// under way, it is read to its end or to an error, and each of the five is
// answered once at most.
func FuzzAnswers(f *testing.F) {
	ack := func(b []byte, number uint64, multiple bool) []byte {
		return wire091.AppendMethod(b, channelID, &wire091.BasicAck{DeliveryTag: number, Multiple: multiple})
	}
	good := wire091.AppendMethod(nil, channelID, &wire091.BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", Exchange: "x", RoutingKey: "k"})
	good = wire091.AppendContentHeader(good, channelID, 3, amqp.PropertyList{MessageID: "m"}.Encode())
	good = wire091.AppendBody(good, channelID, []byte("abc"), 0)
	f.Add(ack(ack(bytes.Clone(good), 1, false), 4, true))
	f.Add(wire091.AppendMethod(bytes.Clone(good), channelID, &wire091.BasicNack{DeliveryTag: 3}))
	f.Add(wire091.AppendMethod(wire091.AppendMethod(nil, 0, &wire091.ConnectionBlocked{Reason: "r"}), 0, &wire091.ConnectionUnblocked{}))
	f.Add(ack(nil, 6, true))
	f.Fuzz(func(t *testing.T, stream []byte) {
		target, err := NewTarget(TargetOptions{Options: Options{URL: "amqp://h"}, Exchange: "x"})
		if err != nil {
			t.Fatal(err)
		}
		socket := &played{Reader: bytes.NewReader(stream)}
		c := newConn(&target.farSide, socket, socket)
		c.silence, c.frameMax = time.Second, frameBytesMax
		l := newLink(target, c, 5)
		for range 5 {
			if err := l.Send(&bridge.Message{Key: "k", Body: []byte("abc"), Props: amqp.PropertyList{MessageID: "m"}}); err != nil {
				t.Fatal(err)
			}
		}
		l.listen()
		if c.err == nil || errors.Is(c.err, errClosedByUs) {
			t.Errorf("ended with %v", c.err)
		}
		seen := map[uint64]bool{}
		for a := range l.answers {
			if a.Number < 1 || a.Number > 5 || seen[a.Number] {
				t.Errorf("answered %+v", a)
			}
			seen[a.Number] = true
		}
	})
}

// FuzzListen: whatever the far side sends after the opening, it is read to its
// end or to an error, what is held stays within its bounds, and nothing is
// acknowledged.
func FuzzListen(f *testing.F) {
	good := wire091.AppendDeliver(nil, channelID, "leveret-box", 1, true, "x", "k")
	good = wire091.AppendContentHeader(good, channelID, 5, amqp.PropertyList{UserID: "u", Headers: amqp.Table{{Key: "h", Value: int8(1)}}}.Encode())
	good = wire091.AppendBody(good, channelID, []byte("hello"), 10)
	f.Add(good)
	f.Add(wire091.AppendMethod(bytes.Clone(good), channelID, &wire091.BasicCancel{ConsumerTag: "leveret-box"}))
	f.Add(wire091.AppendMethod(bytes.Clone(good), channelID, &wire091.ChannelFlow{Active: true}))
	f.Add(wire091.AppendMethod(bytes.Clone(good), 0, &wire091.ConnectionClose{ReplyCode: 320, ReplyText: "bye"}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, err := NewSource(SourceOptions{Options: Options{URL: "amqp://h", Name: "box", Node: "here"}, Queue: "q", MessageBytesMax: 64})
		if err != nil {
			t.Fatal(err)
		}
		socket := &played{Reader: bytes.NewReader(stream)}
		c := newConn(&s.farSide, socket, socket)
		c.silence = time.Second
		r := newReader(s, c, 3, 0)
		r.listen()
		if c.err == nil || errors.Is(c.err, errClosedByUs) {
			t.Errorf("ended with %v", c.err)
		}
		if len(r.owed) > 3 || len(r.inbox) > 3 || r.load > 3 {
			t.Errorf("%d owed, %d in the inbox", len(r.owed), len(r.inbox))
		}
		for _, m := range r.inbox {
			if len(m.Body) > 64 || m.Props.MessageID == "" || m.Props.Flags&amqp.HasUserID != 0 {
				t.Errorf("took %+v", m)
			}
		}
		answers := wire091.NewFrameReader(strings.NewReader(string(socket.written)), frameBytesMax)
		for {
			frame, err := answers.Next()
			if err != nil {
				break
			}
			m, err := wire091.ParseMethod(frame.Payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ack, yes := m.(*wire091.BasicAck); yes && s.Ignored() == 0 {
				t.Errorf("told %+v", ack)
			}
		}
	})
}
