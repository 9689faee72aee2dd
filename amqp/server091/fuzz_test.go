package server091

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp/amqptest"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// FuzzConversation lets a logged-in peer say anything: the server must survive
// it, and the next peer must be served.
func FuzzConversation(f *testing.F) {
	for _, c := range amqptest.All() {
		for _, turn := range c.Turns {
			if said := new(recording); !c.Fresh {
				(&amqptest.Peer{NC: said, FrameMax: 8192}).Do(turn.Steps...)
				f.Add(said.b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, mem.New().Auto(), broker.Limits{MessageBytesMax: 1 << 20}, nil)
			p := r.open(1)
			p.do(b)
			p.quiet()
			_ = p.NC.Close()
			time.Sleep(time.Minute)
			next := r.open(1)
			next.says("1 basic.qos-ok", &wire091.BasicQos{})
			if n := r.server.Counts(); n.Panics != 0 || n.ConnectionsNow != 1 {
				t.Errorf("counts: %+v\n%s", n, r.lines)
			}
		})
	})
}

// recording keeps what is written.
type recording struct {
	net.Conn
	b []byte
}

func (r *recording) Write(b []byte) (int, error) {
	r.b = append(r.b, b...)
	return len(b), nil
}
