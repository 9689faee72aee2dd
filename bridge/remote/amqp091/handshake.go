package amqp091

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
)

const (
	protocolHeader = "AMQP\x00\x00\x09\x01"
	// frameBytesMin is what every peer must take (0-9-1, section 4.2.3).
	frameBytesMin = 4096
)

// login leads from the protocol header to an open channel.
func (c *conn) login() error {
	if err := c.write([]byte(protocolHeader)); err != nil {
		return err
	}
	start, err := await[*wire091.ConnectionStart](c, 0)
	if err != nil {
		if broken, ok := errors.AsType[*amqp.Error](err); ok {
			return fmt.Errorf("what came is not AMQP 0-9-1: %w", broken)
		}
		return err
	}
	startOk, err := c.startOk(start)
	if err != nil {
		return err
	}
	if err := c.send(0, startOk); err != nil {
		return err
	}
	tune, err := await[*wire091.ConnectionTune](c, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		// Before there was a way to say so, brokers refused a login like this.
		return fmt.Errorf("the far side left at the login: are user and password right? (%w)", err)
	}
	if err != nil {
		return err
	}
	if err := c.tuned(tune); err != nil {
		return err
	}
	if err := c.send(0, &wire091.ConnectionOpen{VirtualHost: c.far.remote.Vhost}); err != nil {
		return err
	}
	if _, err := await[*wire091.ConnectionOpenOk](c, 0); err != nil {
		return err
	}
	return call[*wire091.ChannelOpenOk](c, &wire091.ChannelOpen{})
}

// call sends a method on the channel and reads its answer, which says no more.
func call[M wire091.Method](c *conn, m wire091.Method) error {
	if err := c.send(channelID, m); err != nil {
		return err
	}
	_, err := await[M](c, channelID)
	return err
}

// startOk says who we are.
func (c *conn) startOk(start *wire091.ConnectionStart) (*wire091.ConnectionStartOk, error) {
	mechanism, response := "PLAIN", "\x00"+c.far.remote.Username+"\x00"+c.far.remote.Password
	if c.far.external() {
		mechanism, response = "EXTERNAL", ""
	}
	if offered := strings.Fields(start.Mechanisms); !slices.Contains(offered, mechanism) {
		return nil, fmt.Errorf("the far side does not take the login %s, only %q", mechanism, offered)
	}
	properties := amqp.Table{
		{Key: "product", Value: "leveret"},
		{Key: "capabilities", Value: amqp.Table{
			{Key: "consumer_cancel_notify", Value: true},
			{Key: "authentication_failure_close", Value: true},
			{Key: "basic.nack", Value: true},
		}},
	}
	if c.far.o.Name != "" {
		properties = append(properties, amqp.Field{Key: "connection_name", Value: c.far.o.Name})
	}
	return &wire091.ConnectionStartOk{ClientProperties: properties, Mechanism: mechanism, Response: response, Locale: "en_US"}, nil
}

// tuned agrees on a frame size and a heartbeat: the smaller ones.
func (c *conn) tuned(tune *wire091.ConnectionTune) error {
	frameMax := uint32(frameBytesMax)
	if tune.FrameMax != 0 {
		frameMax = min(frameMax, max(tune.FrameMax, frameBytesMin))
	}
	beat := uint16(c.far.o.Heartbeat / time.Second)
	if tune.Heartbeat != 0 {
		beat = min(beat, tune.Heartbeat)
	}
	c.frames.SetMax(int(frameMax))
	c.beat = time.Duration(beat) * time.Second
	return c.send(0, &wire091.ConnectionTuneOk{ChannelMax: channelID, FrameMax: frameMax, Heartbeat: beat})
}

// attach begins to consume, and answers how many messages were in the queue.
func (c *conn) attach(s *Source, prefetch int) (ready uint32, err error) {
	if err := call[*wire091.BasicQosOk](c, &wire091.BasicQos{PrefetchCount: uint16(prefetch)}); err != nil {
		return 0, err
	}
	declare := &wire091.QueueDeclare{Queue: s.queue, Passive: true}
	if s.declares {
		declare = &wire091.QueueDeclare{Queue: s.queue, Durable: true, Arguments: s.arguments}
	}
	if err := c.send(channelID, declare); err != nil {
		return 0, err
	}
	there, err := await[*wire091.QueueDeclareOk](c, channelID)
	if err != nil {
		return 0, err
	}
	if s.exchange != "" {
		bind := &wire091.QueueBind{Queue: s.queue, Exchange: s.exchange, RoutingKey: s.key}
		if err := call[*wire091.QueueBindOk](c, bind); err != nil {
			return 0, err
		}
	}
	return there.MessageCount, c.consume(s)
}

// consume asks for the messages.
func (c *conn) consume(s *Source) error {
	ask := &wire091.BasicConsume{Queue: s.queue, ConsumerTag: s.consumer, Exclusive: !s.shared}
	if offset := s.offset(); offset != nil {
		ask.Arguments = amqp.Table{{Key: headerStreamOffset, Value: offset}}
	}
	if err := c.send(channelID, ask); err != nil {
		return err
	}
	got, err := await[*wire091.BasicConsumeOk](c, channelID)
	if no, ok := errors.AsType[*refusal](err); ok && no.code == amqp.AccessRefused && ask.Exclusive {
		return fmt.Errorf("%w (somebody else consumes from the queue, or a link of ours that was lost is not given up yet over there)", err)
	}
	if err == nil && got.ConsumerTag != s.consumer {
		err = fmt.Errorf("the far side calls our consumer %q", got.ConsumerTag)
	}
	return err
}

// openConn opens a connection that consumes.
func (s *Source) openConn(stream, socket net.Conn, prefetch int) (c *conn, ready uint32, err error) {
	c = newConn(&s.farSide, stream, socket)
	if err = c.login(); err == nil {
		ready, err = c.attach(s, prefetch)
	}
	c.silence = 2 * c.beat
	return c, ready, err
}
