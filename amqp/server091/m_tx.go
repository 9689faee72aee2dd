package server091

import (
	"errors"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool"
)

// transaction is what a channel in tx mode has begun. The core holds it; which
// of its messages are mandatory is the door's affair.
type transaction struct {
	core      *broker.Tx
	mandatory []bool // for each message
}

// txSelect: from now on publishes and acknowledgements take effect with the
// commit. A second one changes nothing.
func (c *conn) txSelect(ch *channel) error {
	if ch.confirms {
		return amqp.Errorf(amqp.PreconditionFailed, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.tx = &transaction{core: ch.session.Begin()}
		ch.shown.tx.Store(true)
	}
	c.reply(ch.id, 0, &wire091.TxSelectOk{})
	return nil
}

var errNoTx = amqp.Errorf(amqp.PreconditionFailed, "channel is not transactional")

// publishInTx puts what was collected into the transaction.
func (c *conn) publishInTx(ch *channel) error {
	w := c.scratch
	n, err := ch.tx.core.Publish(w.batch)
	for i := range w.sealed[:n] {
		ch.tx.mandatory = append(ch.tx.mandatory, w.sealed[i].mandatory)
	}
	if err != nil {
		return c.refuse(ch.id, wire091.MethodBasicPublish, err)
	}
	return nil
}

// txCommit answers when all of it is on the disk. Messages that no queue takes
// come back then (0-9-1, basic.publish: "mandatory") and before commit-ok, as
// with RabbitMQ. While the log is full, nothing is read.
func (c *conn) txCommit(ch *channel) error {
	if ch.tx == nil {
		return errNoTx
	}
	for {
		ps, lsn, err := ch.tx.core.Commit(c.s.o.Now())
		if errors.Is(err, spool.ErrFull) {
			if err := c.awaitRoom(true); err != nil {
				return err
			}
			continue
		}
		mandatory := ch.tx.mandatory
		ch.tx.mandatory = nil
		if err != nil {
			return err
		}
		c.s.counts.published.Add(uint64(len(ps)))
		for i := range ps {
			if mandatory[i] && !ps[i].Routed {
				c.owe(lsn, returned(ch, ps[i].Msg))
				c.s.counts.returned.Add(1)
			}
		}
		c.reply(ch.id, lsn, &wire091.TxCommitOk{})
		return c.awaitRoom(false)
	}
}

func (c *conn) txRollback(ch *channel) error {
	if ch.tx == nil {
		return errNoTx
	}
	ch.tx.core.Rollback()
	ch.tx.mandatory = nil
	c.reply(ch.id, 0, &wire091.TxRollbackOk{})
	return nil
}
