package amqp091

import "fmt"

// pending are the messages that were sent, in order, from the oldest on that is
// not confirmed: what a confirm or a return can be about.
type pending struct {
	queue   []sent
	oldest  uint64 // number of the first in queue
	longest int    // body that was sent
}

// sent is what is kept of a message.
type sent struct {
	id, key   string
	bytes     int
	answered  bool // it was returned
	confirmed bool // before older ones
}

func (p *pending) push(s sent) {
	p.queue = append(p.queue, s)
	p.longest = max(p.longest, s.bytes)
}

// take confirms the message of a number, or with multiple all up to it, and
// gives the numbers of those that are to be answered.
func (p *pending) take(number uint64, multiple bool) (answer []uint64, err error) {
	last := p.oldest + uint64(len(p.queue)) - 1 // that was sent
	switch {
	case number == 0 || number > last:
		return nil, fmt.Errorf("the far side confirmed message %d of %d sent", number, last)
	case multiple:
	case number < p.oldest || p.queue[number-p.oldest].confirmed:
		return nil, fmt.Errorf("the far side confirmed message %d again", number)
	}
	first := number
	if multiple {
		first = p.oldest
	}
	for n := first; n <= number; n++ {
		s := &p.queue[n-p.oldest]
		if !s.confirmed && !s.answered {
			answer = append(answer, n)
		}
		s.confirmed = true
	}
	p.drop()
	return answer, nil
}

// drop takes out the oldest, as far as they are confirmed.
func (p *pending) drop() {
	for len(p.queue) > 0 && p.queue[0].confirmed {
		p.queue[0] = sent{}
		p.queue = p.queue[1:]
		p.oldest++
	}
}

// mark finds the message that is returned: the oldest with this id and key
// that was not returned before. Messages of equal id and key take one route
// but for their headers, so that it is the right one of them, or as good.
func (p *pending) mark(id, key string) (number uint64, ok bool) {
	for i := range p.queue {
		if s := &p.queue[i]; !s.answered && !s.confirmed && s.id == id && s.key == key {
			s.answered = true
			return p.oldest + uint64(i), true
		}
	}
	return 0, false
}
