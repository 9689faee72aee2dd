package mqtt

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leveret/bridge/mqttwire"
)

// TestALargePacketWaitsForMemory: while memory is low no more of it is read, and
// when that takes long its part goes, with the client. Who sends small packets is
// read from until it publishes.
func TestALargePacketWaitsForMemory(t *testing.T) {
	for _, tc := range []struct {
		name string
		low  time.Duration
		want []string
	}{
		{"for a while", patienceInPacket / 2, []string{"PUBACK 1 no matching subscribers"}},
		{"for long", 2 * patienceInPacket, []string{"DISCONNECT quota exceeded", "closed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				s.short = new(shortOfMemory)
				s.cutPower(nil)
				c, other := s.joined(mqttwire.V5, "c"), s.joined(mqttwire.V5, "other")
				packet, err := mqttwire.AppendPublish(nil, mqttwire.V5, &mqttwire.PublishOut{
					QoS: 1, PacketID: 1, Topic: "a", Payload: []byte(strings.Repeat("x", 200<<10)),
				})
				if err != nil {
					t.Fatal(err)
				}
				c.send(packet[:100<<10])
				synctest.Wait()
				over := make(chan struct{})
				s.short.over.Store(&over)
				sent := make(chan int, 1)
				go func() {
					n, _ := c.conn.Write(packet[100<<10:])
					sent <- n
				}()
				time.Sleep(tc.low)
				other.send([]byte{0xC0, 0})
				other.expect("PINGRESP")
				s.short.over.Store(nil)
				close(over)
				c.expect(tc.want...)
				if n := <-sent; (n == len(packet)-100<<10) != (len(tc.want) == 1) {
					t.Errorf("%d bytes of the rest were read", n)
				}
			})
		})
	}
}
