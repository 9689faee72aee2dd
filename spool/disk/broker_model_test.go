package disk

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"leveret/amqp"
)

// brokerModel is what a broker holds, so simple that it is plainly right.
type brokerModel struct {
	queues map[string]*modelQueue
	clocks map[amqp.Boot]bool // starts whose wall clock is known
}

type modelQueue struct {
	durable bool
	keys    map[string]bool // it is bound by them
	msgs    []modelMsg      // by age
}

type modelMsg struct {
	id         int
	persistent bool
	held       bool      // delivered and not settled
	given      bool      // delivered at some time: it must be marked when it comes again
	boot       amqp.Boot // when it came in
	born       time.Time // by a clock that is always right
}

// The queues that there can be. What is rejected in the mortal one, or has
// waited there for longer than ttl, goes to the grave.
const (
	mortal = "mortal"
	grave  = "grave"
	ttl    = 60 * time.Millisecond
)

var (
	modelNames = []string{mortal, grave, "a", "b"} // in the order in which messages move
	modelKeys  = []string{"k", "l"}
)

func (m *brokerModel) clone() *brokerModel {
	c := &brokerModel{queues: make(map[string]*modelQueue), clocks: maps.Clone(m.clocks)}
	for name, q := range m.queues {
		c.queues[name] = &modelQueue{q.durable, maps.Clone(q.keys), slices.Clone(q.msgs)}
	}
	return c
}

// restarted is what a start finds of it.
func (m *brokerModel) restarted() *brokerModel {
	c := m.clone()
	maps.DeleteFunc(c.queues, func(_ string, q *modelQueue) bool { return !q.durable })
	for _, q := range c.queues {
		q.msgs = slices.DeleteFunc(q.msgs, func(m modelMsg) bool { return !m.persistent })
		for i := range q.msgs {
			q.msgs[i].held = false
		}
	}
	return c
}

// enter puts a message into a queue and says whether it needs the disk.
func (m *brokerModel) enter(name string, msg modelMsg) (stores bool) {
	q := m.queues[name]
	if q == nil {
		return false
	}
	msg.held, msg.given = false, false
	q.msgs = append(q.msgs, msg)
	return q.durable && msg.persistent
}

// die takes a message out of a queue; the mortal one's are buried.
func (m *brokerModel) die(name string, i int) {
	q := m.queues[name]
	msg := q.msgs[i]
	q.msgs = slices.Delete(q.msgs, i, i+1)
	if name == mortal {
		m.enter(grave, msg)
	}
}

// routes are the queues that a message for a key comes into.
func (m *brokerModel) routes(exchange, key string) (to []string) {
	for _, name := range modelNames {
		q := m.queues[name]
		if q != nil && (exchange == "" && name == key || exchange != "" && q.keys[key]) {
			to = append(to, name)
		}
	}
	return to
}

// seenQueue is what a broker told of a queue after a start, until it was empty.
type seenQueue struct {
	keys   []string
	ids    []int
	marked []bool
}

// differs compares the model of a start with what was seen.
func (m *brokerModel) differs(seen map[string]*seenQueue) error {
	if have, want := slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(m.queues)); !slices.Equal(have, want) {
		return fmt.Errorf("queues %q, want %q", have, want)
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		s, q := seen[name], m.queues[name]
		if want := slices.Sorted(maps.Keys(q.keys)); !slices.Equal(s.keys, want) {
			return fmt.Errorf("%s is bound by %q, want %q", name, s.keys, want)
		}
		want := make([]int, len(q.msgs))
		for i := range want {
			want[i] = q.msgs[i].id
		}
		if !slices.Equal(s.ids, want) {
			return fmt.Errorf("%s holds %d, want %d", name, s.ids, want)
		}
		for i, msg := range q.msgs {
			if msg.given && !s.marked[i] {
				return fmt.Errorf("%s gave %d again without the mark", name, msg.id)
			}
		}
	}
	return nil
}
