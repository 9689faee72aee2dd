package server091

import (
	"testing"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// TestWhoIsBelievedWhereAMessageHasBeen: brokers of our kind, and no other client.
func TestWhoIsBelievedWhereAMessageHasBeen(t *testing.T) {
	for _, tc := range []struct{ node, path string }{{"", ""}, {"box-7", "box-7 far"}} {
		inBubble(t, mem.New().Auto(), broker.Limits{}, nil, func(t *testing.T, r *rig) {
			p := r.connect()
			hello := startOk("guest", "guest")
			if tc.node != "" {
				hello.ClientProperties = hello.ClientProperties.With("leveret-node", tc.node)
			}
			p.do(header091, hello, tuneOk, openVHost, on(1, &wire091.ChannelOpen{}), declare("q"))
			p.quiet()
			p.take()
			sent := amqp.PropertyList{ContentType: "t", Headers: amqp.Table{{Key: "a", Value: "1"}, {Key: "x-leveret-path", Value: "box-7 far"}, {Key: "b", Value: "2"}}}
			p.do(publishWith(1, &wire091.BasicPublish{RoutingKey: "q"}, sent, "body"))
			p.quiet()
			core, err := r.broker.Connect("/", broker.Identity{}, func() {})
			must(t, err)
			defer core.Close()
			session := core.Open()
			d, _, ok, err := session.Get("q", true)
			if err != nil || !ok {
				t.Fatalf("got nothing: %v", err)
			}
			m := d.Msg
			list := m.Props.List()
			path, _ := list.Headers.Get("x-leveret-path")
			text, _ := path.(string)
			a, _ := list.Headers.Get("a")
			b, _ := list.Headers.Get("b")
			if text != tc.path || a != "1" || b != "2" || list.ContentType != "t" || string(m.Body) != "body" {
				t.Errorf("of node %q came %+v, %q", tc.node, list, m.Body)
			}
		})
	}
}
