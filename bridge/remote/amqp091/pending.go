package amqp091

// pending are the messages that were sent and not confirmed, in order: what a
// return can be about.
type pending struct {
	queue []sent
	next  uint64 // number of the next message to be confirmed
}

// sent is what a return repeats of a message.
type sent struct {
	id, key  string
	answered bool // it was returned
}

func (p *pending) push(id, key string) { p.queue = append(p.queue, sent{id: id, key: key}) }

// pop takes the oldest, whose confirm has come.
func (p *pending) pop() (number uint64, answered, ok bool) {
	if len(p.queue) == 0 {
		return 0, false, false
	}
	answered = p.queue[0].answered
	p.queue[0] = sent{}
	p.queue = p.queue[1:]
	p.next++
	return p.next - 1, answered, true
}

// mark finds the message that is returned: the oldest with this id and key
// that was not returned before. Messages of equal id and key take one route
// but for their headers, so that it is the right one of them, or as good.
func (p *pending) mark(id, key string) (number uint64, ok bool) {
	for i := range p.queue {
		if s := &p.queue[i]; !s.answered && s.id == id && s.key == key {
			s.answered = true
			return p.next + uint64(i), true
		}
	}
	return 0, false
}
