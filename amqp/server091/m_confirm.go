package server091

import (
	"leveret/amqp"
	"leveret/amqp/wire091"
)

// confirmSelect: from now on the channel's messages are counted and confirmed.
// A second one changes nothing.
func (c *conn) confirmSelect(ch *channel, m *wire091.ConfirmSelect) error {
	if ch.tx != nil {
		return amqp.Errorf(amqp.PreconditionFailed, "cannot switch from tx to confirm mode")
	}
	ch.confirms = true
	ch.shown.confirms.Store(true)
	c.answer(ch, m.NoWait, 0, &wire091.ConfirmSelectOk{})
	return nil
}
