package mqtt

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"leveret/bridge/mqttwire"
)

// A subscriber that reads nothing any more, and a publisher that does not read
// its answers, hold nobody up, and what is kept for them is bounded.
func TestDeafClients(t *testing.T) {
	const others, messages, size, queued = 10, 1500, 10 << 10, 100
	d, addr := listenWith(t, func(o *Options) { o.QueuedMax = queued })
	deaf := dial(t, addr, "deaf")
	deaf.subscribe(t, "all/+", 1)
	mute := dial(t, addr, "mute")
	go flood(mute) // until its socket is full of answers, or closed
	var hearing sync.WaitGroup
	for i := range others {
		p := dial(t, addr, fmt.Sprintf("hearing%d", i))
		p.subscribe(t, "all/+", 0)
		hearing.Go(func() {
			last := 0
			for last < messages { // QoS 0 may skip some: a full queue drops its oldest
				var m mqttwire.Publish
				got := p.want(t, mqttwire.TypePublish)
				if m.DecodeFromServer(got.Flags, got.Body, mqttwire.V311) != nil || t.Failed() {
					return
				}
				fmt.Sscan(string(m.Payload[:20]), &last)
			}
		})
	}
	before := heapNow()
	pub := dial(t, addr, "pub")
	for i := range messages {
		packet, err := mqttwire.AppendPublish(nil, mqttwire.V311, &mqttwire.PublishOut{
			Topic: "all/x", QoS: 1, PacketID: uint16(i + 1), Payload: append(fmt.Appendf(nil, "%20d", i+1), make([]byte, size)...),
		})
		pub.write(t, packet, err)
		pub.want(t, mqttwire.TypePuback)
	}
	hearing.Wait()
	// What waits for the deaf one: its queue, its outbox and one round of writing.
	limit := int64(queued+heldMax+d.ReceiveMax)*(size+512) + chunkBytesMax + 4<<20
	if grown := heapNow() - before; grown > limit {
		t.Errorf("%d bytes are held after %d bytes were published, at most %d may be", grown, messages*size, limit)
	}
}

// flood publishes with QoS 1 and reads nothing.
func flood(p *peer) {
	var packets []byte
	for i := range uint16(1000) {
		packets, _ = mqttwire.AppendPublish(packets, mqttwire.V311, &mqttwire.PublishOut{Topic: "mute", QoS: 1, PacketID: i + 1})
	}
	for {
		if _, err := p.Conn.Write(packets); err != nil {
			return
		}
	}
}

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	return int64(memory().objects)
}
