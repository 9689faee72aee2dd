package server091

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// durable prepares a durable queue and a channel in confirm mode.
func durable(r *rig, p *peer) {
	p.do(&wire091.QueueDeclare{Queue: "q", Durable: true, NoWait: true}, &wire091.ConfirmSelect{NoWait: true})
	p.quiet()
	r.log.Commit()
	p.quiet()
	p.take()
}

func TestConfirmOnlyAfterTheCommit(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		durable(r, p)
		m := &wire091.BasicPublish{RoutingKey: "q"}
		p.says("", publishWith(1, m, persistent, "a"), publishWith(1, m, persistent, "b"), publishWith(1, m, persistent, "c"))
		p.says("", time.Hour) // time alone promises nothing
		r.log.Commit()
		p.quiet()
		p.heard("1 basic.ack 3 true")
		p.says("", publishWith(1, m, persistent, "d"))
		r.log.Commit()
		p.quiet()
		p.heard("1 basic.ack 4 false")
	})
}

// TestNothingOvertakesAConfirm: what needs no disk waits behind what does, on
// all channels: one line for the connection.
func TestNothingOvertakesAConfirm(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(2)
		durable(r, p)
		m := &wire091.BasicPublish{RoutingKey: "q"}
		p.says("1 basic.ack 1 false", publish(1, "", "q", "transient"))
		p.says("", publishWith(1, m, persistent, "a"), publish(1, "", "q", "b"), on(2, &wire091.BasicQos{}),
			publishWith(1, &wire091.BasicPublish{RoutingKey: "none", Mandatory: true}, amqp.PropertyList{}, "r"),
			&wire091.ChannelClose{})
		r.log.Commit()
		p.quiet()
		p.heard(`1 basic.ack 3 true
			2 basic.qos-ok
			1 basic.return 312 NO_ROUTE  none
			1 header 1
			1 body r
			1 basic.ack 4 false
			1 channel.close-ok`)
	})
}

func TestDeclareOkAfterTheCommit(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		p.says("", &wire091.QueueDeclare{Queue: "q", Durable: true}, &wire091.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "#"})
		r.log.Commit()
		p.quiet()
		p.heard("1 queue.declare-ok q 0 0\n1 queue.bind-ok")
		p.says("", &wire091.QueueDelete{Queue: "q"})
		r.log.Commit()
		p.quiet()
		p.heard("1 queue.delete-ok 0")
	})
}

// TestDeliveriesDoNotWaitForTheDisk: a consumer has the message before the
// publisher has its confirm.
func TestDeliveriesDoNotWaitForTheDisk(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(2)
		durable(r, p)
		p.says("2 basic.consume-ok c", on(2, consume("q", "c")))
		p.says("2 basic.deliver c 1 false  q\n2 header 1 mode=2\n2 body a",
			publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"))
		r.log.Commit()
		p.quiet()
		p.heard("1 basic.ack 1 false")
	})
}

// TestInterleavedChannels: the frames of three channels' messages stand between
// each other; each channel gets its confirms, up to its own last message.
func TestInterleavedChannels(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(3)
		durable(r, p)
		p.do(on(2, &wire091.ConfirmSelect{NoWait: true}), on(3, &wire091.ConfirmSelect{NoWait: true}))
		m := &wire091.BasicPublish{RoutingKey: "q"}
		var out []any
		sent := map[uint16]uint64{}
		for i := range 300 {
			a := uint16(i%2 + 1)
			b := uint16(i%2 + 2)
			sent[a]++
			sent[b]++
			text := strings.Repeat("x", 1+i%50)
			out = append(out, on(a, m), on(b, m), header(a, 60, uint64(len(text))), header(b, 60, 2),
				body(b, "y"), body(a, text), body(b, "z"))
		}
		p.do(out...)
		p.quiet()
		acked := map[uint16]uint64{}
		for _, line := range p.take() {
			var ch uint16
			var tag uint64
			var multiple bool
			if _, err := fmt.Sscanf(line, "%d basic.ack %d %t", &ch, &tag, &multiple); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if tag <= acked[ch] || !multiple && tag != acked[ch]+1 {
				t.Errorf("%q after %d", line, acked[ch])
			}
			acked[ch] = tag
		}
		for ch, n := range sent {
			if acked[ch] != n {
				t.Errorf("channel %d: confirmed up to %d, want %d", ch, acked[ch], n)
			}
		}
		if st, _ := r.broker.QueueStatus("/", "q"); st.Ready != 600 {
			t.Errorf("ready = %d, want 600", st.Ready)
		}
	})
}

func TestBlockedWhileTheSpoolIsFull(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		durable(r, p)
		m := &wire091.BasicPublish{RoutingKey: "q"}
		r.log.SetFull(true)
		go p.do(publishWith(1, m, persistent, "a"), publishWith(1, m, persistent, "b"), &wire091.BasicQos{})
		p.quiet()
		p.heard("0 connection.blocked low on disk")
		if !r.broker.Peers()[0].Blocked {
			t.Error("operators do not see that it is blocked")
		}
		time.Sleep(time.Hour)
		p.heard("")
		r.log.SetFull(false)
		time.Sleep(time.Second)
		p.heard("0 connection.unblocked\n1 basic.ack 2 true\n1 basic.qos-ok")
	})
}

func TestShutdownWhilePublishersAreHeldBack(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		durable(r, p)
		r.log.SetFull(true)
		p.do(publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"))
		p.quiet()
		p.take()
		r.stop()
		p.quiet()
		p.heard("0 connection.close 320 0,0 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
	})
}

// crowdedLog takes everything but asks for a pause.
type crowdedLog struct {
	*mem.Log
	room atomic.Pointer[chan struct{}]
}

func (l *crowdedLog) Room() <-chan struct{} {
	if c := l.room.Load(); c != nil {
		return *c
	}
	return nil
}

// TestPublishersPauseWhenTheLogAsks: at first without a word, then with one.
// What was taken is confirmed meanwhile.
func TestPublishersPauseWhenTheLogAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &crowdedLog{Log: mem.New().Auto()}
		r := newRigOver(t, log.Log, log, broker.Limits{}, nil)
		p := r.open(1)
		durable(r, p)
		pause := func(d time.Duration) {
			room := make(chan struct{})
			log.room.Store(&room)
			go p.do(publish(1, "", "q", "a"), []byte(nil), 10*time.Millisecond, &wire091.BasicQos{})
			time.Sleep(d)
			log.room.Store(nil)
			close(room)
			p.quiet()
		}
		pause(90 * time.Millisecond)
		p.heard("1 basic.ack 1 false\n1 basic.qos-ok")
		pause(110 * time.Millisecond)
		p.heard("1 basic.ack 2 false\n0 connection.blocked the disk is slow\n0 connection.unblocked\n1 basic.qos-ok")
	})
}

func TestConsumerHearsOfItsBeginningBeforeItsEnd(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		durable(r, p)
		other.says("1 queue.declare-ok gone 0 0", declare("gone"))
		p.says("", publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"), consume("gone", "c"))
		other.do(&wire091.QueueDelete{Queue: "gone"})
		p.quiet()
		p.heard("")
		r.log.Commit()
		p.quiet()
		p.heard("1 basic.ack 1 false\n1 basic.consume-ok c\n1 basic.cancel c true")
	})
}

func TestSpoolFailureEndsConnectionsWithoutAConfirm(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, idle := r.open(1), r.open(1)
		durable(r, p)
		p.says("", publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"), &wire091.BasicQos{})
		r.log.Fail(errors.New("I/O error"))
		p.quiet()
		p.heard("0 connection.close 541 0,0 INTERNAL_ERROR - the spool failed")
		idle.says("1 basic.qos-ok\n0 connection.close 541 0,0 INTERNAL_ERROR - the spool failed", &wire091.BasicQos{})
	})
}

func TestShutdownGivesWhatIsDurableFirst(t *testing.T) {
	const forced = "0 connection.close 320 0,0 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
	m := &wire091.BasicPublish{RoutingKey: "q"}
	t.Run("in time", func(t *testing.T) {
		inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.open(1)
			durable(r, p)
			p.says("", publishWith(1, m, persistent, "a"))
			r.stop()
			p.quiet()
			p.heard("")
			time.Sleep(time.Second)
			r.log.Commit()
			p.quiet()
			p.heard("1 basic.ack 1 false\n" + forced)
			p.says("", publishWith(1, m, persistent, "dropped"), &wire091.ConnectionCloseOk{})
			if !p.Gone() {
				t.Error("the socket is open after close-ok")
			}
		})
	})
	t.Run("answered at once", func(t *testing.T) {
		inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p, crossing := r.open(1), r.open(1)
			r.stop()
			p.quiet()
			p.says(forced, &wire091.ConnectionCloseOk{})
			crossing.says(forced+"\n0 connection.close-ok", &wire091.ConnectionClose{})
			if p.quiet(); !p.Gone() || !crossing.Gone() {
				t.Error("the sockets are open after close-ok")
			}
		})
	})
	t.Run("too late", func(t *testing.T) {
		inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.open(1)
			durable(r, p)
			p.says("", publishWith(1, m, persistent, "a"))
			r.stop()
			time.Sleep(2100 * time.Millisecond)
			p.heard(forced)
			time.Sleep(time.Second)
			if !p.Gone() {
				t.Error("the socket is open long after shutdown")
			}
		})
	})
	t.Run("in the handshake", func(t *testing.T) {
		inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.connect()
			p.do(header091)
			p.quiet()
			r.stop()
			p.quiet()
			if !p.Gone() {
				t.Error("the socket is open")
			}
		})
	})
}

// TestOwedPromisesAreBounded: a peer that asks and asks while nothing becomes
// durable is not read from any more.
func TestOwedPromisesAreBounded(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		durable(r, p)
		p.says("", publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, "a"))
		sent := make(chan int, 1)
		go func() {
			n := 0
			for ; n < 3*promisesMax; n++ {
				p.do(&wire091.BasicQos{})
			}
			sent <- n
		}()
		p.quiet()
		select {
		case <-sent:
			t.Fatal("everything was read")
		default:
		}
		p.heard("")
		r.log.Commit()
		p.quiet()
		if <-sent != 3*promisesMax {
			t.Error("not everything was read")
		}
		got := p.take()
		if len(got) != 3*promisesMax+1 || got[0] != "1 basic.ack 1 false" {
			t.Errorf("got %d lines, first %q", len(got), got[:min(1, len(got))])
		}
	})
}

func TestManyConfirmsAreFew(t *testing.T) {
	inBubble(t, mem.New(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(1)
		durable(r, p)
		var out []any
		for i := range 1000 {
			out = append(out, publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, persistent, fmt.Sprint(i))...)
		}
		p.says("", out...)
		r.log.Commit()
		p.quiet()
		p.heard("1 basic.ack 1000 true")
		if n := r.server.Counts().Confirmed; n != 1000 {
			t.Errorf("confirmed = %d, want 1000", n)
		}
	})
}
