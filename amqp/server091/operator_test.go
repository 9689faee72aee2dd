package server091

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// TestOperatorsSeeWhoItIs shows what the core is told of a client, and that an
// operator may end its connection.
func TestOperatorsSeeWhoItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mem.New().Auto(), broker.Limits{}, nil)
		p := r.connect()
		hello := startOk("guest", "guest")
		hello.ClientProperties = hello.ClientProperties.
			With("connection_name", strings.Repeat("n", 300)).
			With("platform", int32(7)).With("secret", "no business of ours")
		p.do(header091, hello, &wire091.ConnectionTuneOk{ChannelMax: 9, FrameMax: 8192, Heartbeat: 30}, openVHost, on(5, &wire091.ChannelOpen{}))
		p.quiet()
		peers, channels := r.broker.Peers(), r.broker.Channels()
		if len(peers) != 1 || len(channels) != 1 {
			t.Fatalf("peers %+v, channels %+v", peers, channels)
		}
		is := peers[0].Identity
		if is.User != "guest" || is.Peer != "pipe" || is.Host != "pipe" || is.Name != strings.Repeat("n", clientTextMax) {
			t.Errorf("identity %+v", is)
		}
		if want := (broker.Terms{Mechanism: "PLAIN", Heartbeat: 30 * time.Second, FrameMax: 8192, ChannelMax: 9}); is.Terms != want {
			t.Errorf("terms %+v, want %+v", is.Terms, want)
		}
		about, _, err := amqp.ParseTable(is.About)
		if product, _ := about.Get("product"); err != nil || len(about) != 2 || product != "script" {
			t.Errorf("about %v, %v", about, err)
		}
		if channels[0].Number != 5 {
			t.Errorf("channel %+v", channels[0])
		}
		p.take()
		peers[0].Conn.End(amqp.Errorf(amqp.ConnectionForced, "Closed via management plugin"))
		p.quiet()
		p.heard("0 connection.close 320 0,0 CONNECTION_FORCED - Closed via management plugin")
		p.do(&wire091.ConnectionCloseOk{})
	})
}
