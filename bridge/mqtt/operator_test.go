package mqtt

import (
	"testing"
	"time"

	"leveret/amqp"
	"leveret/bridge/mqttwire"
)

// TestOperatorsSeeWhoItIs shows what the core is told of a client, and that an
// operator may end its connection.
func TestOperatorsSeeWhoItIs(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "", keepAlive(60))
		d := s.joined(mqttwire.V311, "meter-1", login("reader", ""))
		d.got()
		peers := s.b.Peers()
		if len(peers) != 2 {
			t.Fatalf("peers %+v", peers)
		}
		nameless, named := peers[0], peers[1]
		if named.Assigned {
			nameless, named = named, nameless
		}
		if is := nameless.Identity; !is.Assigned || is.Terms.Heartbeat != time.Minute || is.Protocol != "MQTT 5" || is.Peer != "pipe" || is.Host != "pipe" {
			t.Errorf("without a client id: %+v", is)
		}
		if is := named.Identity; is.Assigned || is.Client != "meter-1" || is.User != "reader" || is.Protocol != "MQTT 3.1.1" {
			t.Errorf("with a client id: %+v", is)
		}
		for _, p := range peers {
			p.Conn.End(amqp.Errorf(amqp.ConnectionForced, "Closed via management plugin"))
		}
		c.expect("DISCONNECT administrative action", "closed")
		d.expect("closed")
	})
}
