package server091

import (
	"sync/atomic"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool"
)

// channel is an open channel. It belongs to the reader.
type channel struct {
	id        uint16
	session   *broker.Session
	lastQueue string       // declared last: what an empty queue name means
	prefetch  int          // of consumers to come
	confirms  bool         // after confirm.select
	published uint64       // messages since then: the tag of the last one
	tx        *transaction // after tx.select; nil before
	content   content
	gone      bool // closed; somebody may still have it in hand
	shown     shown
}

// shown is what operators see of a channel; the reader writes it.
type shown struct {
	confirms, tx atomic.Bool
	prefetch     atomic.Int32
}

// unopened answers a method on a channel that is not open.
func (c *conn) unopened(id uint16, m wire091.MethodID) error {
	if _, closing := c.closing[id]; closing {
		switch m {
		case wire091.MethodChannelCloseOk:
			delete(c.closing, id)
		case wire091.MethodChannelClose: // both closed at once
			c.reply(id, 0, &wire091.ChannelCloseOk{})
		}
		return nil
	}
	if m != wire091.MethodChannelOpen {
		return c.refuse(0, m, amqp.Errorf(amqp.ChannelError, "expected 'channel.open'"))
	}
	if err := c.flush(); err != nil {
		return err
	}
	if n := len(c.channels); n >= c.channelMax {
		return c.refuse(0, m, amqp.Errorf(amqp.NotAllowed,
			"number of channels opened (%d) has reached the negotiated channel_max (%d)", n, c.channelMax))
	}
	if err := c.s.channels.enter(c); err != nil {
		return c.refuse(0, 0, err)
	}
	ch := &channel{id: id, session: c.core.OpenChannel(int(id))}
	ch.session.Describe(func() broker.ChannelState {
		return broker.ChannelState{
			Confirms: ch.shown.confirms.Load(), Transactional: ch.shown.tx.Load(),
			Prefetch: int(ch.shown.prefetch.Load()), Unconfirmed: c.out.unconfirmed(id),
		}
	})
	c.channels[id] = ch
	c.last = nil
	c.s.counts.channelsNow.Add(1)
	c.out.know(ch.session, id)
	c.reply(id, 0, &wire091.ChannelOpenOk{})
	return nil
}

var errUnimplemented = amqp.Errorf(amqp.CommandInvalid, "unimplemented method")

// forget ends a channel's state.
func (c *conn) forget(ch *channel) {
	ch.session.Close()
	ch.gone = true
	c.hold(-cap(ch.content.body))
	ch.content = content{}
	delete(c.channels, ch.id)
	c.last = nil
	c.s.counts.channelsNow.Add(-1)
	c.s.channels.leave(c, 1)
}

// closeChannel refuses what a channel did. What it was promised before comes
// before the news.
func (c *conn) closeChannel(ch *channel, at wire091.MethodID, e *amqp.Error) {
	c.forget(ch)
	if c.closing == nil {
		c.closing = make(map[uint16]struct{})
	}
	c.closing[ch.id] = struct{}{}
	c.log.Debug("channel closed", "channel", ch.id, "method", at.String(), "err", e)
	c.owe(0, promise{kind: promiseReply, channel: ch.id, reply: &reply{
		method: &wire091.ChannelClose{
			ReplyCode: uint16(e.Code), ReplyText: e.Error(), ClassID: at.Class(), MethodID: at.Method(),
		},
		forget: ch.session,
	}})
}

// dispatch does what a method asks; an error refuses it. Publishing and
// settling, which come in numbers, have gone another way.
func (c *conn) dispatch(ch *channel, m wire091.Method) error {
	switch m := m.(type) {
	case *wire091.ChannelOpen:
		return amqp.Errorf(amqp.ChannelError, "second 'channel.open' seen")
	case *wire091.ChannelFlow:
		return c.channelFlow(ch, m)
	case *wire091.ChannelClose:
		c.channelClose(ch)
		return nil
	case *wire091.AccessRequest:
		c.reply(ch.id, 0, &wire091.AccessRequestOk{Ticket: 1})
		return nil

	case *wire091.ExchangeDeclare:
		return c.exchangeDeclare(ch, m)
	case *wire091.ExchangeDelete:
		return c.exchangeDelete(ch, m)
	case *wire091.ExchangeBind:
		return c.exchangeBind(ch, m)
	case *wire091.ExchangeUnbind:
		return c.exchangeUnbind(ch, m)

	case *wire091.QueueDeclare:
		return c.queueDeclare(ch, m)
	case *wire091.QueueBind:
		return c.queueBind(ch, m)
	case *wire091.QueueUnbind:
		return c.queueUnbind(ch, m)
	case *wire091.QueuePurge:
		return c.queuePurge(ch, m)
	case *wire091.QueueDelete:
		return c.queueDelete(ch, m)

	case *wire091.BasicQos:
		return c.basicQos(ch, m)
	case *wire091.BasicConsume:
		return c.basicConsume(ch, m)
	case *wire091.BasicCancel:
		return c.basicCancel(ch, m)
	case *wire091.BasicGet:
		return c.basicGet(ch, m)
	case *wire091.BasicRecover:
		return c.basicRecover(ch, m)
	case *wire091.BasicRecoverAsync:
		return basicRequeue(ch, m.Requeue)

	case *wire091.ConfirmSelect:
		return c.confirmSelect(ch, m)
	case *wire091.TxSelect:
		return c.txSelect(ch)
	case *wire091.TxCommit:
		return c.txCommit(ch)
	case *wire091.TxRollback:
		return c.txRollback(ch)
	}
	return errUnimplemented
}

// channelFlow: a client cannot stop its deliveries this way, as with RabbitMQ;
// prefetch is the way.
func (c *conn) channelFlow(ch *channel, m *wire091.ChannelFlow) error {
	if !m.Active {
		return amqp.Errorf(amqp.NotImplemented, "active=false")
	}
	c.reply(ch.id, 0, &wire091.ChannelFlowOk{Active: true})
	return nil
}

func (c *conn) channelClose(ch *channel) {
	c.forget(ch)
	c.owe(0, promise{kind: promiseReply, channel: ch.id, reply: &reply{
		method: &wire091.ChannelCloseOk{}, forget: ch.session,
	}})
}

// reply owes the peer a method, once the log is durable up to lsn.
func (c *conn) reply(channel uint16, lsn spool.LSN, m wire091.Method) {
	c.owe(lsn, promise{kind: promiseReply, channel: channel, reply: &reply{method: m}})
}

// answer is reply for a method that the peer may not have wanted answered.
func (c *conn) answer(ch *channel, noWait bool, lsn spool.LSN, m wire091.Method) {
	if !noWait {
		c.reply(ch.id, lsn, m)
	}
}
