package server091

import (
	"bytes"
	"encoding/binary"
	"net"
	"runtime"
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

// BenchmarkIdleConnection reports what a connection with one channel holds.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 200
	r := newRig(b, mem.New().Auto(), broker.Limits{}, nil)
	for b.Loop() {
		before := held()
		for range n {
			nc := r.dialTCP(b)
			login(b, nc, 131072)
		}
		// The clients' ends are here too: a socket each, their frame readers
		// are garbage.
		b.ReportMetric(float64(held()-before)/n/1024, "KiB/conn")
	}
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
