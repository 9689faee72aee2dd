package amqp091

import (
	"context"
	"errors"
	"sync"

	"leveret/amqp/wire091"
	"leveret/bridge"
)

// reader is a source's consumer. Its listener reads the socket; its pulse sends
// heartbeats and asks how much waits.
type reader struct {
	source   *Source
	conn     *conn
	prefetch int
	arrived  chan struct{} // holds a note when the inbox has something, or over was set
	room     chan struct{} // holds a note when admit may look again
	working  sync.WaitGroup

	// Of the listener alone.
	content delivery
	args    wire091.Reader
	lastTag uint64

	acking sync.Mutex // held while acknowledgements are collected and sent
	mu     sync.Mutex // protects the fields below
	inbox  []bridge.Message
	spare  []bridge.Message
	owed   []owed // what the far side waits for an answer to, by rising tag
	load   int    // of them, those that were not answered
	bytes  int    // of those
	left   int    // messages in the queue when it was counted, less what was answered since
	acked  []sight
	asked  int   // how many of acked the far side has surely seen once it answers; 0: it was not asked
	over   error // set once: why nothing that comes is taken any more
	said   bool  // the far side has answered our goodbye
}

func newReader(s *Source, c *conn, prefetch int, ready uint32) *reader {
	return &reader{
		source: s, conn: c, prefetch: prefetch, left: int(ready),
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

func (r *reader) start() {
	r.source.open.Store(r)
	r.working.Go(r.listen)
	r.working.Go(r.beat)
}

// backlog is how many messages waited or were under way when they were counted,
// without those that were settled since.
func (r *reader) backlog() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.left, r.load)
}

// listen reads until the connection ends.
func (r *reader) listen() {
	for {
		r.admit()
		f, err := r.conn.frames.Next()
		if err == nil {
			err = r.handle(f)
		}
		if err != nil {
			r.conn.fail(err)
			return
		}
	}
}

// admit keeps what is taken from the socket and not settled within bounds. The
// prefetch bounds the number of messages, and the far side must heed it; but a
// stream comes in pieces as it is stored, and is read no faster than that.
func (r *reader) admit() {
	for {
		r.mu.Lock()
		full := r.bytes >= inboxBytesMax || r.source.isStream() && r.load >= r.prefetch
		full = full && r.load > 0 && r.over == nil
		r.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-r.room:
		case <-r.conn.gone:
			return
		}
	}
}

var errCancelled = errors.New("the far side ended our consumer: the queue was deleted, or its node is gone")

// handle takes a frame.
func (r *reader) handle(f wire091.Frame) error {
	switch {
	case f.Type == wire091.FrameHeartbeat:
		return nil
	case f.Channel > channelID:
		return misplaced(f)
	case f.Type != wire091.FrameMethod:
		return r.contentFrame(f)
	case f.Channel == channelID && r.content.stage != noContent:
		return errWithin
	}
	if id, args, err := wire091.ParseMethodID(f.Payload); err == nil && id == wire091.MethodBasicDeliver && f.Channel == channelID {
		return r.beginDelivery(args)
	}
	m, err := methodIn(f)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire091.BasicCancel:
		r.end(errCancelled)
		return nil
	case *wire091.QueueDeclareOk:
		return r.counted(m)
	case *wire091.ChannelFlow:
		return r.conn.send(channelID, &wire091.ChannelFlowOk{Active: m.Active})
	case *wire091.ConnectionBlocked, *wire091.ConnectionUnblocked: // is for publishers
		return nil
	case *wire091.ConnectionCloseOk:
		if r.heardGoodbye() {
			return errClosedByUs
		}
	}
	return r.conn.ending(m, f.Channel)
}

// heardGoodbye notes that the far side has answered ours; if it was one.
func (r *reader) heardGoodbye() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = r.over != nil
	return r.said
}

// end has nothing that comes from now on taken. What was taken before can still
// be settled.
func (r *reader) end(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		r.over = why
	}
	note(r.arrived)
	note(r.room)
}

// beat keeps the connection alive, says how far a stream is settled, and asks how
// much waits.
func (r *reader) beat() {
	r.conn.pulse(func() bool {
		r.source.tellOffset()
		return !r.source.isStream() && r.ask()
	})
}

// ask asks for the queue's depth, unless the last answer is still to come.
func (r *reader) ask() bool {
	r.acking.Lock()
	defer r.acking.Unlock()
	r.mu.Lock()
	waiting := r.asked > 0 || r.over != nil
	if !waiting {
		r.asked = 1 + len(r.acked)
	}
	r.mu.Unlock()
	if waiting {
		return false
	}
	_ = r.conn.send(channelID, &wire091.QueueDeclare{Queue: r.source.queue, Passive: true}) // whose failure ends the connection
	return true
}

// counted takes the answer. It also says that all that was acknowledged before
// the question has been heard, and will not come again.
func (r *reader) counted(m *wire091.QueueDeclareOk) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == 0 {
		return unexpected(m, channelID)
	}
	r.left = int(m.MessageCount) + r.load
	r.acked = r.acked[min(r.asked-1, len(r.acked)):]
	r.asked = 0
	return nil
}

// Take waits for messages. What has come and was not taken when the connection
// is lost will come again.
func (r *reader) Take(ctx context.Context) ([]bridge.Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-r.conn.gone: // what is in the inbox could not be acknowledged
			return nil, r.conn.lost("link to")
		default:
		}
		r.mu.Lock()
		batch, over := r.inbox, r.over
		if len(batch) > 0 {
			clear(r.spare)
			r.inbox, r.spare = r.spare[:0], batch
		}
		r.mu.Unlock()
		switch {
		case len(batch) > 0:
			return batch, nil
		case over != nil:
			return nil, r.source.failed("link to", over)
		}
		select {
		case <-r.arrived:
		case <-ctx.Done():
		case <-r.conn.gone:
		}
	}
}

// Close says goodbye, for two seconds at most. What is not settled comes again.
func (r *reader) Close() {
	r.end(errClosedByUs)
	r.conn.leave()
	r.working.Wait()
	r.source.open.Store(nil)
	r.source.remembered.leave(r)
	r.source.tellOffset()
}

// note leaves a note in a channel of capacity one.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
