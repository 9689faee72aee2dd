package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho/log"
	libsession "github.com/eclipse/paho.golang/paho/session"

	"leveret/bridge/mqttwire"
)

// session is what the library asks about packets with an identifier. It keeps
// no message: those that come wait unsettled with the far side, those that go
// with the shovel's source.
type session struct {
	wire *wire
	// begin is told, of a source, whether the far side had the session.
	begin func(present bool)
	// answer takes a PUBACK, of a target.
	answer func(*packets.Puback)
	// release takes a PUBREL, of a source.
	release func(id uint16)
	// number gives the identifier of the message that is being sent, of a
	// target.
	number func() uint16

	mu         sync.Mutex                   // protects subscribing
	subscribed chan<- packets.ControlPacket // waits for SUBACK; nil when nobody does
}

const subscribeID = 1 // of the one SUBSCRIBE at a time; sources send nothing else that has one

var _ libsession.SessionManager = (*session)(nil)

// ConAckReceived comes before the first message.
func (s *session) ConAckReceived(_ io.Writer, _ *packets.Connect, ack *packets.Connack) error {
	if s.begin != nil {
		s.begin(ack.SessionPresent)
	}
	return nil
}

// ConnectionLost frees who waits for SUBACK.
func (s *session) ConnectionLost(*packets.Disconnect) error {
	s.subscribedWith(packets.ControlPacket{})
	return nil
}

func (s *session) subscribedWith(p packets.ControlPacket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscribed != nil {
		s.subscribed <- p // has room for one
		s.subscribed = nil
	}
}

// AddToSession gives a packet its identifier.
func (s *session) AddToSession(_ context.Context, p libsession.Packet, answer chan<- packets.ControlPacket) error {
	switch p.Type() {
	case packets.PUBLISH:
		p.SetIdentifier(s.number())
		return nil
	case packets.SUBSCRIBE:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.subscribed != nil {
			return errors.New("subscribing already")
		}
		s.subscribed = answer
		p.SetIdentifier(subscribeID)
		return nil
	}
	return fmt.Errorf("packet type %d is not sent", p.Type())
}

// PacketReceived takes what has an identifier. The wire lets nothing through
// that is not handled here.
func (s *session) PacketReceived(p *packets.ControlPacket, messages chan<- *packets.Publish) error {
	switch m := p.Content.(type) {
	case *packets.Publish:
		messages <- m
	case *packets.Puback:
		s.answer(m)
	case *packets.Pubrel:
		s.release(m.PacketID)
		return s.acknowledge(mqttwire.TypePubcomp, m.PacketID)
	case *packets.Suback:
		s.subscribedWith(*p)
	}
	return nil
}

func (s *session) acknowledge(kind mqttwire.Type, id uint16) error {
	b, err := mqttwire.AppendAck(nil, kind, mqttwire.V5, &mqttwire.Ack{PacketID: id})
	if err != nil {
		return err
	}
	return s.wire.send(b)
}

// Ack is the library's wish to acknowledge as soon as a message was seen. That
// is too early.
func (s *session) Ack(*packets.Publish) error { return nil }

func (s *session) Close() error              { return nil }
func (s *session) SetErrorLogger(log.Logger) {}
func (s *session) SetDebugLogger(log.Logger) {}
