package amqp091

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/bridge"
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
	var start wire091.ConnectionStart
	if err := c.await(0, &start); err != nil {
		if broken, ok := errors.AsType[*amqp.Error](err); ok {
			return fmt.Errorf("what came is not AMQP 0-9-1: %w", broken)
		}
		return err
	}
	startOk, err := c.startOk(&start)
	if err != nil {
		return err
	}
	var tune wire091.ConnectionTune
	err = c.call(0, startOk, &tune)
	if errors.Is(err, io.EOF) {
		// Before there was a way to say so, brokers refused a login like this.
		return fmt.Errorf("the far side left at the login: are user and password right? (%w)", err)
	}
	if err != nil {
		return err
	}
	if err := c.tuned(&tune); err != nil {
		return err
	}
	if err := c.call(0, &wire091.ConnectionOpen{VirtualHost: c.far.remote.vhost}, &wire091.ConnectionOpenOk{}); err != nil {
		return err
	}
	return c.call(channelID, &wire091.ChannelOpen{}, &wire091.ChannelOpenOk{})
}

// startOk says who we are.
func (c *conn) startOk(start *wire091.ConnectionStart) (*wire091.ConnectionStartOk, error) {
	mechanism, response := "PLAIN", "\x00"+c.far.remote.user+"\x00"+c.far.remote.password
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
			{Key: "connection.blocked", Value: true},
			{Key: "publisher_confirms", Value: true},
		}},
	}
	if c.far.o.Name != "" {
		properties = append(properties, amqp.Field{Key: "connection_name", Value: c.far.o.Name})
	}
	if c.far.o.Node != "" {
		properties = append(properties, amqp.Field{Key: bridge.UserNode, Value: c.far.o.Node})
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
	c.frameMax = int(frameMax)
	c.frames.SetMax(c.frameMax)
	c.beat = time.Duration(beat) * time.Second
	return c.send(0, &wire091.ConnectionTuneOk{ChannelMax: channelID, FrameMax: frameMax, Heartbeat: beat})
}

// attach begins to consume, and answers how many messages were in the queue.
func (c *conn) attach(s *Source, prefetch int) (ready uint32, err error) {
	if err := c.call(channelID, &wire091.BasicQos{PrefetchCount: uint16(prefetch)}, &wire091.BasicQosOk{}); err != nil {
		return 0, err
	}
	declare := &wire091.QueueDeclare{Queue: s.queue, Passive: true}
	if s.declares {
		declare = &wire091.QueueDeclare{Queue: s.queue, Durable: true, Arguments: s.arguments}
	}
	var there wire091.QueueDeclareOk
	if err := c.call(channelID, declare, &there); err != nil {
		return 0, err
	}
	if s.exchange != "" {
		bind := &wire091.QueueBind{Queue: s.queue, Exchange: s.exchange, RoutingKey: s.key}
		if err := c.call(channelID, bind, &wire091.QueueBindOk{}); err != nil {
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
	var got wire091.BasicConsumeOk
	err := c.call(channelID, ask, &got)
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
	c.silence, c.impatient = 2*c.beat, true
	return c, ready, err
}
