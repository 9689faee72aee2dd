package server091

import (
	"testing"

	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// TestOperatorsSeeTheChannel: its mode, what it has set and what it waits for.
func TestOperatorsSeeTheChannel(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(3)
		m := &wire091.BasicPublish{RoutingKey: "q"}
		p.do(&wire091.QueueDeclare{Queue: "q", Durable: true, NoWait: true}, &wire091.ConfirmSelect{NoWait: true},
			on(1, &wire091.BasicQos{PrefetchCount: 7}), on(1, &wire091.BasicQos{PrefetchCount: 9, Global: true}), on(2, &wire091.TxSelect{}))
		p.quiet()
		r.log.Commit()
		p.quiet()
		p.do(publishWith(1, m, persistent, "a"), publishWith(1, m, persistent, "b"),
			publishWith(2, m, persistent, "c"), publishWith(2, m, persistent, "d"), publishWith(2, m, persistent, "e"))
		p.quiet()
		show := func(when string, want ...broker.ChannelState) {
			t.Helper()
			for i, st := range r.broker.Channels() {
				if st.ChannelState != want[i] {
					t.Errorf("%s channel %d is %+v, want %+v", when, st.Number, st.ChannelState, want[i])
				}
			}
		}
		confirming, inTx := broker.ChannelState{Confirms: true, Prefetch: 7}, broker.ChannelState{Transactional: true}
		waiting := confirming
		waiting.Unconfirmed = 2
		show("before the commit", waiting, inTx, broker.ChannelState{})
		if st := r.broker.Channels(); st[0].GlobalPrefetch != 9 || st[1].Uncommitted != 3 || st[1].AcksUncommitted != 0 {
			t.Errorf("%+v, %+v", st[0], st[1])
		}
		r.log.Commit()
		p.quiet()
		p.do(on(1, &wire091.BasicGet{Queue: "q"}), on(2, &wire091.BasicGet{Queue: "q"}))
		p.quiet()
		p.do(on(2, &wire091.BasicAck{DeliveryTag: 1}))
		p.quiet()
		show("after the commit", confirming, inTx, broker.ChannelState{})
		if st := r.broker.Channels(); st[0].Unacked != 1 || st[1].AcksUncommitted != 1 {
			t.Errorf("%+v, %+v", st[0], st[1])
		}
		p.do(on(2, &wire091.TxRollback{}))
		p.quiet()
		if st := r.broker.Channels(); st[1].Uncommitted != 0 || st[1].AcksUncommitted != 0 {
			t.Errorf("after the rollback %+v", st[1])
		}
		if is := r.broker.Peers()[0]; is.OctetsIn == 0 || is.ReadsIn == 0 || is.OctetsOut == 0 || is.WritesOut == 0 || is.Blocked {
			t.Errorf("the connection is %+v", is.LinkState)
		}
	})
}
