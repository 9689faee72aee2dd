package amqp091

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"

	"leveret/amqp"
	"leveret/bridge"
)

// SourceOptions says what to take from a remote broker. Zero fields take the
// defaults named.
type SourceOptions struct {
	Options
	// Queue is what is consumed from. It must be there, unless Declare.
	Queue string
	// Declare makes it when it is not there: durable, with Arguments. Where it
	// is there and unlike, the far side refuses it.
	Declare   bool
	Arguments amqp.Table
	// Exchange, when it is not "", is bound to the queue with Key each time.
	Exchange, Key string
	// Shared lets others consume beside us. Otherwise the far side gives the
	// messages to one consumer alone: while it takes a lost link of ours for a
	// living one it refuses the next, so that messages of the two cannot mix.
	Shared bool
	// StreamOffset is where to begin in a queue that is a stream, nil when it is
	// none: "first", "last", "next", an interval like "7D", an int64, or an
	// amqp.Timestamp. A new link goes on behind what was settled.
	StreamOffset any
	// Resume says where to go on in the stream at the first link; 0 is at
	// StreamOffset, as nil is. Settled is told, now and then and at the end of a
	// link, from where on that would be now; nil is not to be told.
	Resume  func() int64
	Settled func(next int64)
	// MessageBytesMax bounds the bodies that are taken: 16 MiB.
	MessageBytesMax int
	// Reject lets the far side have back what can never be taken, for its dead
	// letter exchange. A queue without one drops such messages; without Reject
	// they stay where they are.
	Reject bool
	// Log is told what is given back; nil is silent.
	Log *slog.Logger
}

const (
	messageBytesDefault = 16 << 20
	// inboxBytesMax bounds what is taken from the socket and not settled; one
	// message is always read.
	inboxBytesMax = 8 << 20
	prefetchMax   = 65535

	headerStreamOffset = "x-stream-offset"
)

// Source is a remote queue whose messages are taken. It belongs to one shovel.
type Source struct {
	farSide
	queue, exchange, key string
	declares, shared     bool
	arguments            amqp.Table
	begin                any // of a stream
	resumed              func() int64
	settled              func(next int64)
	bodyMax              int
	reject               bool
	log                  *slog.Logger

	consumer string // our consumer's tag
	epoch    string // begins the ids that are made up
	seed     maphash.Seed

	ignored, rejected atomic.Uint64
	open              atomic.Pointer[reader] // nil while there is none
	resume            atomic.Int64           // offset of the stream to go on from; 0 is begin

	// Of the one open reader.
	made       uint64 // ids made up
	remembered memory
	toldOffset int64 // that settled was told
	unseen     int64 // offset behind all that was delivered: streams mark nothing as delivered again
	told       quiet
}

var _ bridge.Source = (*Source)(nil)

// NewSource checks the options. It does not connect.
func NewSource(o SourceOptions) (*Source, error) {
	f, err := newFarSide(o.Options)
	switch {
	case err != nil:
		return nil, err
	case o.Queue == "":
		return nil, errors.New("a source at a remote broker needs the name of a queue")
	case len(o.Queue) > shortMax || len(o.Exchange) > shortMax || len(o.Key) > shortMax:
		return nil, fmt.Errorf("queue, exchange and key of a remote broker have at most %d bytes", shortMax)
	}
	if o.MessageBytesMax <= 0 {
		o.MessageBytesMax = messageBytesDefault
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{
		farSide: f, queue: o.Queue, exchange: o.Exchange, key: o.Key,
		declares: o.Declare || o.Exchange != "", shared: o.Shared || o.StreamOffset != nil, arguments: o.Arguments,
		begin: o.StreamOffset, bodyMax: o.MessageBytesMax, reject: o.Reject,
		log:      o.Log.With("shovel", o.Name, "source", f.String()),
		consumer: consumerTag(o.Name), epoch: rand.Text()[:8], seed: maphash.MakeSeed(),
	}
	if s.resumed = o.Resume; s.resumed == nil {
		s.resumed = func() int64 { return 0 }
	}
	if s.settled = o.Settled; s.settled == nil {
		s.settled = func(int64) {}
	}
	return s, nil
}

// consumerTag is how the far side's operators see our consumer.
func consumerTag(name string) string {
	const nameMax = 200
	if len(name) > nameMax {
		name = name[:nameMax]
	}
	return strings.TrimSuffix("leveret-"+strings.ToValidUTF8(name, ""), "-")
}

// String is the queue and the URL without its password.
func (s *Source) String() string { return "queue " + s.queue + " at " + s.farSide.String() }

// Backlog is known while a link is up, from what the far side says now and then;
// what is kept in a stream is not what waits for us.
func (s *Source) Backlog() (messages int, known bool) {
	r := s.open.Load()
	if r == nil || s.isStream() {
		return 0, false
	}
	return r.backlog(), true
}

// Ignored is how many messages were acknowledged and not taken: they had been
// here before.
func (s *Source) Ignored() uint64 { return s.ignored.Load() }

// Rejected is how many messages were given back because they can never be taken.
func (s *Source) Rejected() uint64 { return s.rejected.Load() }

// Open connects and consumes.
func (s *Source) Open(ctx context.Context, prefetch int) (bridge.Reader, error) {
	prefetch = min(max(prefetch, 1), prefetchMax)
	var r *reader
	err := s.reach(ctx, func(stream, socket net.Conn) error {
		c, ready, err := s.openConn(stream, socket, prefetch)
		if err == nil {
			r = newReader(s, c, prefetch, ready)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.start()
	return r, nil
}

func (s *Source) isStream() bool { return s.begin != nil }

// tellOffset says how far a stream is settled, when that has changed. It is of
// one goroutine at a time: a reader's pulse, and then who closes the reader.
func (s *Source) tellOffset() {
	if next := s.resume.Load(); next != s.toldOffset {
		s.toldOffset = next
		s.settled(next)
	}
}

// offset is where to consume a stream from; nil when the queue is none.
func (s *Source) offset() any {
	if !s.isStream() {
		return nil
	}
	if next := cmp.Or(s.resume.Load(), s.resumed()); next > 0 {
		return next
	}
	return s.begin
}
