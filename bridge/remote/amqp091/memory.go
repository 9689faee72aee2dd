package amqp091

import (
	"hash/maphash"
	"slices"
	"strconv"

	"leveret/bridge"
)

// memory knows the ids that were made up for messages without one, which may
// come again when a link was lost: those that were not acknowledged, and those
// whose acknowledgement may not have been heard.
//
// A message that comes again is known by what it says. Where two say the same
// nobody can tell which one it is, and it gets another id: seen twice is better
// than taken for one that was there before.
type memory struct {
	before []sight // of earlier links, in the order in which they came
}

// sight is a message that was seen.
type sight struct {
	mark uint64 // of what it says
	id   string // that was made up; "" when it had one
}

// rememberedMax bounds the memory.
const rememberedMax = 4096

// leave takes over what may come again of a link that has ended.
func (m *memory) leave(r *reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var again []sight
	if !r.said { // else all acknowledgements were heard
		again = append(again, r.acked...)
	}
	for i := range r.owed {
		if o := &r.owed[i]; o.state != answered && o.id != "" {
			again = append(again, o.sight)
		}
	}
	again = append(again, m.before...)
	m.before = again[:min(len(again), rememberedMax)]
}

// recall takes out the one message that says this.
func (m *memory) recall(mark uint64) (id string, ok bool) {
	says := func(s sight) bool { return s.mark == mark }
	i := slices.IndexFunc(m.before, says)
	if i < 0 || slices.ContainsFunc(m.before[i+1:], says) {
		return "", false
	}
	id = m.before[i].id
	m.before = slices.Delete(m.before, i, i+1)
	return id, true
}

// name gives a message that has no id one that it keeps when it comes again, as
// far as this process can tell. Messages of a stream are numbered.
func (s *Source) name(d *delivery, m *bridge.Message) (known sight) {
	if m.Props.MessageID != "" || d.unfit != nil {
		return sight{}
	}
	if n := streamOffset(m); n >= 0 && s.isStream() {
		m.Props.MessageID = shortString(s.queue + "-" + strconv.FormatInt(n, 10))
		return sight{}
	}
	known.mark = s.mark(d, m)
	id, again := "", false
	if d.redelivered {
		id, again = s.remembered.recall(known.mark)
	}
	if !again {
		s.made++
		id = s.consumer + "-" + s.epoch + "-" + strconv.FormatUint(s.made, 10)
	}
	known.id, m.Props.MessageID = id, id
	return known
}

// mark is a hash of what a message says. Headers are left out: brokers count
// deliveries in them.
func (s *Source) mark(d *delivery, m *bridge.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, text := range [...]string{
		d.exchange, d.key, m.Props.CorrelationID, m.Props.ReplyTo, m.Props.Type, strconv.FormatUint(uint64(m.Props.Timestamp), 10),
	} {
		_, _ = h.WriteString(text)
		_ = h.WriteByte(0)
	}
	_, _ = h.Write(d.body)
	return h.Sum64()
}
