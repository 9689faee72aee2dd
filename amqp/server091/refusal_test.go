package server091

import (
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp/amqptest"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// crumbs writes octet by octet.
type crumbs struct{ net.Conn }

func (c *crumbs) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// TestConversations holds the door to all of package amqptest's conversations.
func TestConversations(t *testing.T) {
	for _, c := range amqptest.All() {
		t.Run(c.Name, func(t *testing.T) { converse(t, &c, func(nc net.Conn) net.Conn { return nc }) })
	}
}

// TestConversationsInPieces sends each conversation octet by octet: where the
// reads end must not matter.
func TestConversationsInPieces(t *testing.T) {
	for _, c := range amqptest.All() {
		t.Run(c.Name, func(t *testing.T) { converse(t, &c, func(nc net.Conn) net.Conn { return &crumbs{nc} }) })
	}
}

func converse(t *testing.T, c *amqptest.Conversation, over func(net.Conn) net.Conn) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigInTime(t, mem.New().Auto())
		heard, peers := c.Play(func(user string) *amqptest.Peer {
			p := r.as(user)
			p.NC = over(p.NC)
			return p.Peer
		}, func(*amqptest.Peer, int) { synctest.Wait() })
		for i, turn := range c.Turns {
			if want := amqptest.Unindent(turn.Want); heard[i] != want {
				t.Errorf("turn %d: got:\n%s\nwant:\n%s", i+1, heard[i], want)
			}
		}
		if c.Ends() {
			peers[0].Do(&wire091.ConnectionCloseOk{}, 5*time.Second)
			if !peers[0].Gone() {
				t.Error("the socket is still open")
			}
		}
	})
}

// TestConversationsAreMany keeps what was promised of the table.
func TestConversationsAreMany(t *testing.T) {
	refusals, behaviours := 0, 0
	names := make(map[string]bool)
	for _, c := range amqptest.All() {
		if names[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		names[c.Name] = true
		if c.Refuses() {
			refusals++
		} else {
			behaviours++
		}
	}
	if refusals < 100 || behaviours < 40 {
		t.Errorf("%d refusals and %d behaviours, want 100 and 40", refusals, behaviours)
	}
	t.Logf("%d refusals, %d behaviours", refusals, behaviours)
}

// TestDeleteTellsTheConsumers, which is news that may come before the answer or
// after it.
func TestDeleteTellsTheConsumers(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		p.says(declared+"1 basic.consume-ok c", declare("q"), consume("q", "c"))
		other.says("1 basic.consume-ok d", consume("q", "d"))
		p.do(&wire091.QueueDelete{Queue: "q"})
		p.quiet()
		got := p.take()
		slices.Sort(got)
		if want := []string{"1 basic.cancel c true", "1 queue.delete-ok 0"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q in any order", got, want)
		}
		other.heard("1 basic.cancel d true")
	})
}

func TestExclusiveQueueOfAnother(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p, other := r.open(1), r.open(1)
		p.says(declared, &wire091.QueueDeclare{Queue: "q", Exclusive: true})
		other.says("1 channel.close 405 50,10 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "+
			"declared on another connection or the exclusive property value does not match that of the original declaration.",
			&wire091.QueueDeclare{Queue: "q", Exclusive: true})
		p.says("0 connection.close-ok", &wire091.ConnectionClose{})
		other.says(`1 channel.open-ok
			1 channel.close 404 50,10 NOT_FOUND - no queue 'q' in vhost '/'`,
			&wire091.ChannelCloseOk{}, &wire091.ChannelOpen{}, &wire091.QueueDeclare{Queue: "q", Passive: true})
	})
}

func TestChannelMaxCountsChannels(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.connect()
		p.do(header091, startOk("guest", "guest"), &wire091.ConnectionTuneOk{ChannelMax: 2, FrameMax: 4096}, openVHost)
		p.quiet()
		p.take()
		p.says(`500 channel.open-ok
			3 channel.open-ok
			3 channel.close-ok
			4 channel.open-ok`, on(500, &wire091.ChannelOpen{}), on(3, &wire091.ChannelOpen{}), on(3, &wire091.ChannelClose{}), on(4, &wire091.ChannelOpen{}))
		if n := r.server.Counts().ChannelsNow; n != 2 {
			t.Errorf("channels = %d, want 2", n)
		}
		p.says("0 connection.close 530 20,10 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)", on(1, &wire091.ChannelOpen{}))
	})
}

// TestClosedChannelDropsWhatComes: until close-ok everything for the channel is
// dropped, contents included, and the number can be used again after it.
func TestClosedChannelDropsWhatComes(t *testing.T) {
	inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
		p := r.open(2)
		p.says("1 channel.close 404 60,40 NOT_FOUND - no exchange 'x' in vhost '/'", publish(1, "x", "", "m"))
		p.says("2 queue.declare-ok q 0 0", publish(1, "x", "", "m"), declare("p"), &wire091.ChannelOpen{}, body(1, "stray"), on(2, declare("q")))
		p.says("1 channel.close-ok", &wire091.ChannelClose{}) // crossing
		p.says("1 channel.open-ok", &wire091.ChannelCloseOk{}, &wire091.ChannelOpen{})
		p.says("1 channel.close 406 60,40 PRECONDITION_FAILED - message size 99999999 is larger than configured max size 16777216",
			&wire091.BasicPublish{}, header(1, 60, 99999999), body(1, "what was announced"))
	})
}

// TestHalfReceivedBodiesOfAllAreBounded: what two connections have begun leaves
// a third room for small messages only, until one of them is gone.
func TestHalfReceivedBodiesOfAllAreBounded(t *testing.T) {
	limits := broker.Limits{MessageBytesMax: 1 << 20}
	inBubble(t, mem.New().Auto(), limits, nil, func(t *testing.T, r *rig) {
		half := strings.Repeat("x", 700<<10)
		begin := func(p *peer, ch uint16) {
			p.do(on(ch, &wire091.BasicPublish{}), header(ch, 60, 1<<20), wire091.AppendBody(nil, ch, []byte(half), 131072))
			p.quiet()
		}
		var peers []*peer
		for range 2 {
			p := r.open(2)
			begin(p, 1)
			begin(p, 2)
			p.heard("")
			peers = append(peers, p)
		}
		last := r.open(1)
		small := strings.Repeat("x", 100<<10)
		last.says("1 basic.qos-ok", &wire091.BasicPublish{}, header(1, 60, uint64(len(small))), wire091.AppendBody(nil, 1, []byte(small), 4096), &wire091.BasicQos{})
		if n := r.server.holders.Load(); n != 2 {
			t.Errorf("%d connections hold something, want 2", n)
		}
		begin(last, 1)
		last.heard("1 channel.close 311 60,40 CONTENT_TOO_LARGE - messages under way on all connections would take more than 4194304 bytes")
		last.says("1 channel.open-ok", &wire091.ChannelCloseOk{}, &wire091.ChannelOpen{})
		_ = peers[0].NC.Close()
		last.quiet()
		begin(last, 1)
		last.says("1 basic.qos-ok", wire091.AppendBody(nil, 1, []byte(half[:1<<20-len(half)]), 131072), &wire091.BasicQos{})
	})
}

func TestHalfReceivedBodiesAreBounded(t *testing.T) {
	limits := broker.Limits{MessageBytesMax: 1 << 20}
	inBubble(t, mem.New().Auto(), limits, nil, func(t *testing.T, r *rig) {
		p := r.open(3)
		half := strings.Repeat("x", 700<<10)
		for ch := uint16(1); ch <= 3; ch++ {
			p.do(on(ch, &wire091.BasicPublish{}), header(ch, 60, 1<<20), wire091.AppendBody(nil, ch, []byte(half), 131072))
		}
		p.quiet()
		p.heard("3 channel.close 311 60,40 CONTENT_TOO_LARGE - messages under way on this connection would take more than 2097152 bytes")
		p.says("3 channel.open-ok\n1 basic.qos-ok",
			on(3, &wire091.ChannelCloseOk{}), on(3, &wire091.ChannelOpen{}),
			wire091.AppendBody(nil, 1, []byte(half[:1<<20-len(half)]), 131072), &wire091.BasicQos{})
	})
}
