package mqtt

import (
	"fmt"
	"net/netip"
	"runtime"
	"runtime/metrics"
	"syscall"
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

// BenchmarkIdle tells what a connection with one subscription holds while
// nothing happens, in objects and in stacks, and how much was allocated and
// what stacks had grown to get there: a process with room does not collect that,
// and its RSS shows it. The clients are bare descriptors and cost nothing here.
func BenchmarkIdle(b *testing.B) {
	_, addr := listen(b)
	const n = 1000
	for b.Loop() { // measured once, below, is enough
	}
	before := memory()
	for i := range n {
		idleClient(b, addr, i)
	}
	grown := memory()
	runtime.GC()
	runtime.GC()
	after := memory()
	b.ReportMetric(float64(after.objects-before.objects)/n, "heap-B/conn")
	b.ReportMetric(float64(after.stacks-before.stacks)/n, "stack-B/conn")
	b.ReportMetric(float64(grown.allocated-before.allocated)/n, "allocated-B/conn")
	b.ReportMetric(float64(grown.stacks-before.stacks)/n, "grown-stack-B/conn")
}

// idleClient connects and subscribes.
func idleClient(b *testing.B, addr string, i int) {
	at := netip.MustParseAddrPort(addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		b.Cleanup(func() { _ = syscall.Close(fd) })
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err != nil {
		b.Fatal(err)
	}
	hello, _ := mqttwire.AppendConnect(nil, &mqttwire.Connect{Version: mqttwire.V311, ClientID: fmt.Sprintf("idle%d", i), CleanStart: true})
	ask, _ := mqttwire.AppendSubscribe(nil, mqttwire.V311, &mqttwire.Subscribe{
		PacketID: 1, Filters: []mqttwire.Subscription{{Filter: fmt.Sprintf("idle/%d", i), QoS: 1}},
	})
	var answer [64]byte
	for _, packet := range [][]byte{hello, ask} {
		if _, err := syscall.Write(fd, packet); err != nil {
			b.Fatal(err)
		}
		if n, err := syscall.Read(fd, answer[:]); err != nil || n == 0 {
			b.Fatal("no answer", err)
		}
	}
}

type memoryUse struct{ objects, stacks, allocated uint64 }

func memory() memoryUse {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	return memoryUse{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()}
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
		if a := as.find(subs, "plant.77.temp.c", 0, nil); a.others.subscriptions != 1 {
			b.Fatal("no match")
		}
	}
}
