package devices

import (
	"fmt"
	"runtime"
	"testing"

	"leveret/amqp/broker"
)

// deviceBytesMost is what a device that is away may take in memory.
const deviceBytesMost = 1 << 10

func TestMemoryOfADevice(t *testing.T) {
	const n = 5000
	g := newGateway(t, Rules{Max: n})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	g.pass(1)
	before := heap()
	for i := range n {
		s := g.connectAs(broker.Identity{User: "sensors", Client: fmt.Sprint("plant-3-meter-", i), Peer: fmt.Sprint("10.0.7.9:", 1024+i), Protocol: "MQTT 3.1.1"})
		s.publish(fmt.Sprint("plant.3.meter.", i, ".power"))
		s.Close()
		g.pass(1)
	}
	g.happened()
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	if each > deviceBytesMost {
		t.Errorf("a device takes %d bytes, want at most %d", each, deviceBytesMost)
	}
	runtime.KeepAlive(g)
}
