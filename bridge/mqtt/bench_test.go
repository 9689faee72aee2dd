package mqtt

import (
	"fmt"
	"runtime"
	"testing"

	"leveret/bridge/mqttwire"
)

// BenchmarkPublish sends 100-byte messages to a subscriber on another
// connection, over loopback, and waits for the last of each burst.
func BenchmarkPublish(b *testing.B) {
	for _, qos := range []byte{0, 1} {
		b.Run(fmt.Sprintf("QoS%d", qos), func(b *testing.B) {
			_, addr := listen(b)
			sub := dial(b, addr, "sub")
			sub.subscribe(b, "bench/+", qos)
			pub := dial(b, addr, "pub")
			const burst = 100
			var out, acks []byte
			for i := range uint16(burst) {
				var err error
				out, err = mqttwire.AppendPublish(out, mqttwire.V311, &mqttwire.PublishOut{
					Topic: "bench/1", QoS: qos, PacketID: uint16(qos) * (i + 1), Payload: make([]byte, 100),
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += burst {
				pub.write(b, out, nil)
				acks = acks[:0]
				for range burst {
					p := sub.want(b, mqttwire.TypePublish)
					if qos == 1 {
						var m mqttwire.Publish
						if err := m.DecodeFromServer(p.Flags, p.Body, mqttwire.V311); err != nil {
							b.Fatal(err)
						}
						acks, _ = mqttwire.AppendAck(acks, mqttwire.TypePuback, mqttwire.V311, &mqttwire.Ack{PacketID: m.PacketID})
					}
				}
				if qos == 1 {
					sub.write(b, acks, nil)
					for range burst {
						pub.want(b, mqttwire.TypePuback)
					}
				}
			}
		})
	}
}

// BenchmarkIdle measures what a connection with one subscription costs while
// nothing happens; the client's end is not in it, since it is a bare socket.
func BenchmarkIdle(b *testing.B) {
	_, addr := listen(b)
	peers := make([]*peer, 0, b.N)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range b.N {
		p := dial(b, addr, fmt.Sprintf("idle%d", i))
		p.subscribe(b, fmt.Sprintf("idle/%d", i), 1)
		p.in = nil
		peers = append(peers, p)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap, stacks := after.HeapInuse-before.HeapInuse, after.StackInuse-before.StackInuse
	b.ReportMetric(float64(heap)/float64(b.N)/1024, "heap-KiB/conn")
	b.ReportMetric(float64(stacks)/float64(b.N)/1024, "stack-KiB/conn")
	runtime.KeepAlive(peers)
}

// BenchmarkRoute is deciding which subscriptions a message matched.
func BenchmarkRoute(b *testing.B) {
	subs := new(subscriptions)
	for i := range 100 {
		subs = subs.with(subscription{filter: fmt.Sprintf("plant/%d/+/#", i), qos: 1})
	}
	var as addresses
	b.ReportAllocs()
	for b.Loop() {
		if a := as.find(subs, "plant.77.temp.c"); a.others.subscriptions != 1 {
			b.Fatal("no match")
		}
	}
}
