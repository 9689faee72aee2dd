package server091

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/amqp/socket/sockettest"
	"leveret/amqp/wire091"
	"leveret/spool/mem"
)

// dialMined is dialTCP to a connection that is mined.
func (r *rig) dialMined(tb testing.TB, direct bool) (net.Conn, *sockettest.Mined) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	accepted, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	theirs := &sockettest.Mined{TCPConn: accepted.(*net.TCPConn), Direct: direct}
	r.served.Go(func() {
		var header [8]byte
		if _, err := io.ReadFull(theirs, header[:]); err == nil {
			r.server.Serve(r.ctx, theirs, header)
		}
	})
	return nc, theirs
}

// A mistake of ours in either goroutine of a connection ends that connection
// and no other.
func TestMistakesEndOneConnection(t *testing.T) {
	for name, arm := range map[string]func(*sockettest.Mined){
		"reader": func(m *sockettest.Mined) { m.OnRead.Store(true) },
		"writer": func(m *sockettest.Mined) { m.OnWrite.Store(true) },
	} {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/direct=%v", name, direct), func(t *testing.T) {
				r := newRig(t, mem.New().Auto(), broker.Limits{}, nil)
				victim, mine := r.dialMined(t, direct)
				login(t, victim, 131072)
				good := r.dialTCP(t)
				frames := login(t, good, 131072)
				arm(mine)
				qos := wire091.AppendMethod(nil, 1, &wire091.BasicQos{PrefetchCount: 1})
				_, _ = victim.Write(qos)
				_ = victim.SetReadDeadline(time.Now().Add(time.Minute))
				if b, err := io.ReadAll(victim); isTimeout(err) {
					t.Errorf("the victim got %q, %v, want the end", b, err)
				}
				_, _ = good.Write(qos)
				_ = good.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := frames.Next(); err != nil {
					t.Errorf("the other one: %v", err)
				}
				_ = good.Close()
				r.served.Wait() // it is counted when all else is done
				if r.server.Counts().Panics == 0 {
					t.Error("no panic was counted")
				}
			})
		}
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// A consumer that reads nothing any more, and a publisher that does not read its
// confirms, hold nobody up, and what is kept for them is bounded.
func TestDeafPeers(t *testing.T) {
	const others, messages, size, queued = 10, 1500, 10 << 10, 100
	r := newRig(t, mem.New().Auto(), broker.Limits{OutboxMessages: 64}, nil)
	consume := func(queue string) (net.Conn, *wire091.FrameReader) {
		nc := r.dialTCP(t)
		frames := login(t, nc, 131072)
		var b []byte
		for _, m := range []wire091.Method{
			&wire091.QueueDeclare{Queue: queue, NoWait: true, Arguments: amqp.Table{{Key: "x-max-length", Value: int32(queued)}}},
			&wire091.QueueBind{Queue: queue, Exchange: "amq.fanout", NoWait: true},
			&wire091.BasicConsume{Queue: queue, ConsumerTag: "c", NoAck: true},
		} {
			b = wire091.AppendMethod(b, 1, m)
		}
		_, _ = nc.Write(b)
		if _, err := frames.Next(); err != nil {
			t.Fatal(err)
		}
		return nc, frames
	}
	consume("deaf")
	mute := newLoad(t, r, 10, 1000) // its messages find no queue
	mute.methods(&wire091.ConfirmSelect{NoWait: true})
	go func() {
		for {
			if _, err := mute.nc.Write(mute.block); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { mute.nc.Close() })
	var hearing sync.WaitGroup
	for i := range others {
		_, frames := consume(fmt.Sprint("hearing", i))
		hearing.Go(func() {
			last := 0
			for last < messages { // a full queue drops its oldest
				f, err := frames.Next()
				if err != nil {
					t.Error(err)
					return
				}
				if f.Type == wire091.FrameBody {
					fmt.Sscan(string(f.Payload[:20]), &last)
				}
			}
		})
	}
	runtime.GC()
	before := held()
	pub := r.dialTCP(t)
	confirms := login(t, pub, 131072)
	_, _ = pub.Write(wire091.AppendMethod(nil, 1, &wire091.ConfirmSelect{NoWait: true}))
	for i := range messages {
		b := wire091.AppendMethod(nil, 1, &wire091.BasicPublish{Exchange: "amq.fanout"})
		b = wire091.AppendContentHeader(b, 1, size, nil)
		b = wire091.AppendBody(b, 1, append(fmt.Appendf(nil, "%20d", i+1), make([]byte, size-20)...), 131072)
		_, _ = pub.Write(b)
		if _, err := confirms.Next(); err != nil {
			t.Fatal(err)
		}
	}
	hearing.Wait()
	// What waits for the deaf one: its queue, its outbox twice, a round of writing.
	limit := uint64((queued+2*64)*(size+512) + 2*packMax + 6<<20)
	if now := held(); now > before+limit {
		t.Errorf("%d bytes are held after %d were published, at most %d may be", now-before, messages*size, limit)
	}
}
