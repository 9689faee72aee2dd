package edge

import (
	"encoding/binary"
	"sync"

	"leveret/amqp/broker"
	"leveret/bridge/remote/amqp091"
	"leveret/edge/config"
)

// offsets is how far shovels have read streams of other brokers, which keep no
// place for their readers. It is noted in the spool every heartbeat; what was
// read since comes a second time after a power cut.
type offsets struct {
	broker *broker.Broker

	mu sync.Mutex        // protects at
	at map[string]offset // by shovel
}

// offset is a place in a stream.
type offset struct {
	stream string // which one; another one begins anew
	next   int64
}

// offsetKind is that of the notes.
const offsetKind = "shovel-offset"

// readOffsets takes what was noted. What is of no shovel any more is forgotten.
func readOffsets(b *broker.Broker, list []config.Shovel) *offsets {
	o := &offsets{broker: b, at: make(map[string]offset)}
	there := make(map[string]bool)
	for _, c := range list {
		there[c.Name] = true
	}
	var gone []broker.Note
	for _, n := range b.TakeNotes(offsetKind) {
		if !there[n.Name] || len(n.Value) < 8 {
			gone = append(gone, broker.Note{Kind: offsetKind, Name: n.Name})
			continue
		}
		o.at[n.Name] = offset{string(n.Value[8:]), int64(binary.BigEndian.Uint64(n.Value))}
	}
	if len(gone) > 0 {
		_, _ = b.KeepNotes(gone) // a log that has failed tells everybody by itself
	}
	return o
}

// follow has a source go on where it was, and notes how far it comes.
func (o *offsets) follow(c *config.Shovel, to *amqp091.SourceOptions) {
	name, stream := c.Name, to.Queue+" "+c.Source.URI.String()+" "+c.Source.StreamOffset
	to.Resume = func() int64 {
		o.mu.Lock()
		defer o.mu.Unlock()
		if was := o.at[name]; was.stream == stream {
			return was.next
		}
		return 0
	}
	to.Settled = func(next int64) { o.note(name, offset{stream, next}) }
}

func (o *offsets) note(name string, at offset) {
	o.mu.Lock()
	o.at[name] = at
	o.mu.Unlock()
	value := append(binary.BigEndian.AppendUint64(nil, uint64(at.next)), at.stream...)
	// A log without room is weather: the next note says more than this one.
	_, _ = o.broker.KeepNotes([]broker.Note{{Kind: offsetKind, Name: name, Value: value}})
}
