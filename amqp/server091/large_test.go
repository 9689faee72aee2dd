package server091

import (
	"strings"
	"testing"

	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// TestMessagesTooLargeForTheSpool: a message that the spool can never take closes
// its channel, and a transaction that it cannot take at once too; both are told how
// much is possible. The connection and its other channels go on.
func TestMessagesTooLargeForTheSpool(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		durable(r, p)
		r.log.SetMost(500)
		m := &wire091.BasicPublish{RoutingKey: "q"}
		told := func(what string) {
			t.Helper()
			p.quiet()
			got := strings.Join(p.take(), "\n")
			for _, want := range []string{"channel.close 406", "PRECONDITION_FAILED - " + what + " is too large", "500 are possible"} {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not say %q", got, want)
				}
			}
		}
		p.do(publishWith(1, m, persistent, "small"), publishWith(1, m, persistent, strings.Repeat("x", 1000)))
		told("message")
		if st, _ := r.broker.QueueStatus("/", "q"); st.Ready != 1 {
			t.Errorf("%d messages are in the queue, want the small one", st.Ready)
		}

		p = r.open(1)
		p.do(&wire091.TxSelect{})
		p.quiet()
		p.heard("1 tx.select-ok")
		half := strings.Repeat("x", 300)
		p.do(publishWith(1, m, persistent, half), publishWith(1, m, persistent, half), &wire091.TxCommit{})
		told("transaction")
		if st, _ := r.broker.QueueStatus("/", "q"); st.Ready != 1 {
			t.Errorf("%d messages are in the queue after the transaction, want 1", st.Ready)
		}
	})
}
