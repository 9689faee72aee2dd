package mqtt

import (
	"context"
	"fmt"
	"sync"

	"github.com/eclipse/paho.golang/packets"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// reader is a source's connection.
type reader struct {
	source   *Source
	prefetch int
	arrived  chan struct{} // holds a note when the inbox has something
	room     chan struct{} // holds a note when admit may look again

	conn       *conn         // set before CONNECT
	subscribed chan struct{} // closed when SUBSCRIBE was answered

	acking  sync.Mutex // held while acknowledgements are collected and sent, which keeps their order
	mu      sync.Mutex // protects the fields below, and the source's released
	inbox   []bridge.Message
	spare   []bridge.Message
	owed    []owed // messages that are not settled, by rising tag, without gaps
	lastTag uint64
	load    int // messages of QoS 1 and 2 among them
	bytes   int
	// What the library has and receive has not, which is bounded likewise.
	passing, passingBytes int
}

// owed is a message that the far side waits for an acknowledgement of.
type owed struct {
	tag     uint64
	id      uint16 // 0: none is wanted
	qos     byte
	bytes   int
	settled bool
}

// begin is called when the session is open, before the first message.
func (r *reader) begin(present bool) {
	if !present { // packet identifiers begin anew
		r.mu.Lock()
		defer r.mu.Unlock()
		r.source.remembered.forget()
		clear(r.source.released)
	}
}

// release takes a PUBREL: the identifier may be used for another message.
func (r *reader) release(id uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.source.released, id)
}

// repeated reports a message of QoS 2 that is here already: only our PUBREC was
// lost (section 4.3.3).
func (r *reader) repeated(p *packets.Publish) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.QoS != 2 || !r.source.released[p.PacketID] {
		return false
	}
	if !p.Duplicate {
		delete(r.source.released, p.PacketID)
	}
	return p.Duplicate
}

// admit keeps what is taken from the socket and not settled within bounds.
// Messages of QoS 0 have no window of their own, so these are counted too. A far
// side that sends more than its Receive Maximum of the others is read slowly,
// not left: Mosquitto 2.0 does so when a session goes on with messages in flight.
func (r *reader) admit(w *wire) {
	for {
		r.mu.Lock()
		n, bytes := len(r.owed)+r.passing, r.bytes+r.passingBytes
		full := n > 0 && (bytes >= inboxBytesMax || n-r.load >= r.prefetch || n >= 2*r.prefetch)
		r.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-r.room:
		case <-w.closed:
			return
		}
	}
}

// passed notes a message that is on its way through the library.
func (r *reader) passed(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passing++
	r.passingBytes += size
}

// through notes that the library is done with a message. The bytes are counted
// until none is on its way: a moment at most.
func (r *reader) through() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passing--; r.passing == 0 {
		r.passingBytes = 0
	}
	note(r.room)
}

// receive takes a message from the library. It never waits.
func (r *reader) receive(p *packets.Publish) {
	s := r.source
	defer r.through()
	if r.repeated(p) {
		if err := r.conn.session.acknowledge(mqttwire.TypePubrec, p.PacketID); err != nil {
			r.conn.distrust(err)
		}
		return
	}
	m, err := received(p, s.o.Dots)
	if err != nil { // it was checked: a mistake of ours
		r.conn.distrust(fmt.Errorf("a message of topic %q cannot be taken: %w", p.Topic, err))
		return
	}
	s.name(p, &m)
	taken := bridge.ComesIn(&m, r.conn.node(), r.source.o.Node) && s.wanted(p.Topic)
	r.enter(p, m, taken)
	if !taken {
		s.ignored.Add(1)
		if err := r.acknowledge(); err != nil {
			r.conn.distrust(err)
		}
	}
}

// enter puts a message among the unsettled ones, and, when it is taken, into
// the inbox.
func (r *reader) enter(p *packets.Publish, m bridge.Message, taken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := owed{qos: p.QoS, bytes: len(p.Payload) + messageOverhead, settled: !taken}
	if p.QoS > 0 {
		o.id = p.PacketID
		r.load++
	}
	r.lastTag++
	o.tag, m.Tag = r.lastTag, r.lastTag
	r.owed = append(r.owed, o)
	r.bytes += o.bytes
	if taken {
		r.inbox = append(r.inbox, m)
		note(r.arrived)
	}
}

// messageOverhead is about what a message takes beside its payload.
const messageOverhead = 256

// Take waits for messages. What has come and was not taken when the connection
// is lost will come again.
func (r *reader) Take(ctx context.Context) ([]bridge.Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.mu.Lock()
		batch := r.inbox
		if len(batch) > 0 {
			clear(r.spare)
			r.inbox, r.spare = r.spare[:0], batch
		}
		r.mu.Unlock()
		if len(batch) > 0 {
			return batch, nil
		}
		select {
		case <-r.arrived:
		case <-ctx.Done():
		case <-r.conn.gone():
			return nil, r.conn.lost()
		}
	}
}

// Settle acknowledges: a PUBACK, or a PUBREC for QoS 2, in the order in which
// the messages came.
func (r *reader) Settle(acks []bridge.Ack) error {
	r.mu.Lock()
	for _, a := range acks {
		if len(r.owed) == 0 || a.Tag < r.owed[0].tag {
			continue
		}
		i := int(min(a.Tag-r.owed[0].tag, uint64(len(r.owed)-1)))
		r.owed[i].settled = r.owed[i].settled || r.owed[i].tag == a.Tag
		for ; a.Multiple && i >= 0; i-- {
			r.owed[i].settled = true
		}
	}
	r.mu.Unlock()
	return r.acknowledge()
}

// acknowledge sends what is due.
func (r *reader) acknowledge() error {
	r.acking.Lock()
	defer r.acking.Unlock()
	due, err := r.due()
	if err != nil || len(due) == 0 {
		return err
	}
	if err := r.conn.wire.send(due); err != nil {
		return r.conn.lost()
	}
	return nil
}

// due takes the oldest messages out, as far as all are settled, and gives the
// packets that say so.
func (r *reader) due() (out []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for ; n < len(r.owed) && r.owed[n].settled; n++ {
		o := &r.owed[n]
		r.bytes -= o.bytes
		if o.id == 0 {
			continue
		}
		r.load--
		kind := mqttwire.TypePuback
		if o.qos == 2 {
			kind = mqttwire.TypePubrec
			r.source.released[o.id] = true
		}
		if out, err = mqttwire.AppendAck(out, kind, mqttwire.V5, &mqttwire.Ack{PacketID: o.id}); err != nil {
			return nil, err
		}
	}
	if n > 0 {
		r.owed = r.owed[:copy(r.owed, r.owed[n:])]
		note(r.room)
	}
	return out, nil
}

// Bury has nowhere to put a message.
func (r *reader) Bury(uint64, string) (bool, error) { return false, nil }

// Close ends the connection; the session stays. What is not settled comes again.
func (r *reader) Close() {
	r.conn.close()
	<-r.subscribed
}

// note leaves a note in a channel of capacity one.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
