package server091

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"runtime/metrics"
	"syscall"
	"testing"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// load is a raw publisher: it sends the same block of messages again and again
// and reads what comes back without allocating.
type load struct {
	tb     testing.TB
	nc     net.Conn
	frames *wire091.FrameReader
	block  []byte
	each   int // messages in a block
}

func newLoad(tb testing.TB, r *rig, bodySize, each int) *load {
	l := &load{tb: tb, nc: r.dialTCP(tb), each: each}
	l.frames = login(tb, l.nc, 131072)
	props := amqp.PropertyList{DeliveryMode: 1, ContentType: "text/plain"}.Encode()
	for range each {
		l.block = wire091.AppendMethod(l.block, 1, &wire091.BasicPublish{RoutingKey: "q"})
		l.block = wire091.AppendContentHeader(l.block, 1, uint64(bodySize), props)
		l.block = wire091.AppendBody(l.block, 1, make([]byte, bodySize), 131072)
	}
	return l
}

func (l *load) send(b []byte) {
	if _, err := l.nc.Write(b); err != nil {
		l.tb.Error(err)
	}
}

func (l *load) methods(ms ...wire091.Method) {
	var b []byte
	for _, m := range ms {
		b = wire091.AppendMethod(b, 1, m)
	}
	l.send(b)
}

// until reads frames until one of the method says its tag is n.
func (l *load) until(method wire091.MethodID, tagAt int, n uint64) {
	for {
		f, err := l.frames.Next()
		if err != nil {
			l.tb.Fatal(err)
		}
		id, args, _ := wire091.ParseMethodID(f.Payload)
		if f.Type != wire091.FrameMethod || id != method {
			continue
		}
		if tag := binary.BigEndian.Uint64(args[tagAt:]); tag >= n {
			return
		}
	}
}

// BenchmarkPublishConfirm: 100-byte messages that find no queue, 1,000 in
// flight: the door alone, there and back.
func BenchmarkPublishConfirm(b *testing.B) {
	r := newRig(b, mem.New().Auto(), broker.Limits{}, nil)
	l := newLoad(b, r, 100, 1000)
	l.methods(&wire091.ConfirmSelect{NoWait: true})
	b.ReportAllocs()
	b.SetBytes(100)
	b.ResetTimer()
	for sent := uint64(0); sent < uint64(b.N); {
		l.send(l.block)
		sent += uint64(l.each)
		l.until(wire091.MethodBasicAck, 0, sent)
	}
}

// BenchmarkPublishConsume: 100-byte transient messages through a queue to a
// consumer without acknowledgements on the same connection.
func BenchmarkPublishConsume(b *testing.B) {
	r := newRig(b, mem.New().Auto(), broker.Limits{}, nil)
	l := newLoad(b, r, 100, 1000)
	l.methods(&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.BasicConsume{Queue: "q", ConsumerTag: "c", NoAck: true, NoWait: true})
	b.ReportAllocs()
	b.SetBytes(100)
	b.ResetTimer()
	for sent := uint64(0); sent < uint64(b.N); {
		go l.send(l.block)
		sent += uint64(l.each)
		l.until(wire091.MethodBasicDeliver, 2, sent)
	}
}

// BenchmarkConfirmLatency: one persistent message in flight.
func BenchmarkConfirmLatency(b *testing.B) {
	r := newRig(b, mem.New().Auto(), broker.Limits{}, nil)
	l := newLoad(b, r, 100, 1)
	l.methods(&wire091.ConfirmSelect{NoWait: true})
	b.ReportAllocs()
	b.ResetTimer()
	for sent := range uint64(b.N) {
		l.send(l.block)
		l.until(wire091.MethodBasicAck, 0, sent+1)
	}
}

// BenchmarkLargeBodies: 64 KiB bodies, borrowed on their way out.
func BenchmarkLargeBodies(b *testing.B) {
	r := newRig(b, mem.New().Auto(), broker.Limits{}, nil)
	l := newLoad(b, r, 64<<10, 10)
	l.methods(&wire091.QueueDeclare{Queue: "q", NoWait: true}, &wire091.BasicConsume{Queue: "q", ConsumerTag: "c", NoAck: true, NoWait: true})
	b.ReportAllocs()
	b.SetBytes(64 << 10)
	b.ResetTimer()
	for sent := uint64(0); sent < uint64(b.N); {
		go l.send(l.block)
		sent += uint64(l.each)
		l.until(wire091.MethodBasicDeliver, 2, sent)
	}
}

// BenchmarkIdle tells what a connection with one channel holds while nothing
// happens, in objects and in stacks, and how much was allocated and what stacks
// had grown to get there: a process with room does not collect that, and its RSS
// shows it. The clients are bare descriptors and cost nothing here.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	r := newRig(b, mem.New().Auto(), broker.Limits{}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			r.served.Go(func() {
				var header [8]byte
				if _, err := io.ReadFull(nc, header[:]); err == nil {
					r.server.Serve(r.ctx, nc, header)
				}
			})
		}
	}()
	for b.Loop() { // measured once, below, is enough
	}
	before := memory()
	for range n {
		idleClient(b, l.Addr().(*net.TCPAddr).Port)
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

// idleClient logs in and opens a channel.
func idleClient(b *testing.B, port int) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		b.Cleanup(func() { _ = syscall.Close(fd) })
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		b.Fatal(err)
	}
	tune := wire091.AppendMethod(nil, 0, tuneOk)
	var answer [4096]byte
	for _, say := range [][]byte{
		header091,
		wire091.AppendMethod(nil, 0, startOk("guest", "guest")),
		wire091.AppendMethod(tune, 0, openVHost),
		wire091.AppendMethod(nil, 1, &wire091.ChannelOpen{}),
	} {
		if _, err := syscall.Write(fd, say); err != nil {
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

func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestNamesAreKept(t *testing.T) {
	var n names
	a := n.get([]byte("plant.1.temp"))
	if allocs := testing.AllocsPerRun(100, func() { n.get([]byte("plant.1.temp")) }); allocs != 0 || a != "plant.1.temp" {
		t.Errorf("%q took %v allocations the second time", a, allocs)
	}
	for i := range 10_000 {
		b := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i%5)
		if got := n.get(b); got != string(b) {
			t.Fatalf("get(%q) = %q", b, got)
		}
	}
}
