package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
)

// step does one thing of a life. It answers false when the life is over.
func (s *brokerSim) step() (bool, error) {
	n := s.rng.IntN(2)
	name := modelNames[s.rng.IntN(len(modelNames))]
	q := s.model.queues[name]
	k := s.rng.IntN(100)
	if q == nil && k >= 77 {
		return true, s.declare(name)
	}
	switch {
	case k < 25:
		return true, s.publish(n)
	case k < 45:
		return true, s.settle()
	case k < 62:
		s.clock = s.clock.Add(time.Duration(s.rng.IntN(50)) * time.Millisecond)
		return s.turn(false)
	case k < 70:
		return true, s.wait()
	case k < 72:
		s.jump()
	case k < 75:
		s.weather()
	case k < 77:
		s.closeSession(n)
	case k < 82:
		return true, s.consume(n, name)
	case k < 84 && len(s.tags[n]) > 0:
		s.ses[n].Cancel(s.tags[n][0])
		s.tags[n] = s.tags[n][1:]
	case k < 90:
		return true, s.get(n, name)
	case k < 94 && name != grave: // where each message is to come once
		return true, s.bind(name)
	case k >= 94 && k < 97:
		return true, s.purge(name)
	case k == 97:
		return true, s.drop(name)
	}
	return true, nil
}

// jump lets the store's clock jump, or the broker learn what time it is.
func (s *brokerSim) jump() {
	s.clock = s.clock.Add(time.Duration(s.rng.Int64N(int64(200*time.Hour))) - 100*time.Hour)
	if s.rng.IntN(2) == 0 {
		s.tell("the clock is right")
		s.b.CorrectClock(s.base, true)
		s.model.clocks[s.b.Boot()] = true
	}
}

// weather: the budget is spent, a write will fail, or the power will.
func (s *brokerSim) weather() {
	switch at := s.d.steps + 1 + s.rng.IntN(12); s.rng.IntN(4) {
	case 0:
		s.d.used = s.opts.BudgetBytes * int64(s.rng.IntN(2))
		s.s.gate()
	case 1:
		s.d.free = 1 << (20 + 20*s.rng.IntN(2))
	case 2:
		s.d.cutAt = at
	case 3:
		if s.rng.IntN(2) == 0 {
			s.d.failAt = at
		}
	}
}

func (s *brokerSim) wait() error {
	s.now += amqp.Instant(time.Duration(s.rng.IntN(40)) * time.Millisecond)
	for range 100 {
		if at := s.b.Tick(); at == 0 || at > s.now {
			return s.follow(true)
		}
		if err := s.follow(false); err != nil {
			return err
		}
	}
	return errors.New("the ticker does not come to rest")
}

func (s *brokerSim) declare(name string) error {
	spec := broker.QueueSpec{Name: name, Durable: s.rng.IntN(4) > 0}
	if name == mortal {
		spec.Args = amqp.Table{
			{Key: "x-message-ttl", Value: ttl.Milliseconds()},
			{Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: grave},
		}
	}
	s.tell("declare %s durable %v", name, spec.Durable)
	s.model.queues[name] = &modelQueue{durable: spec.Durable, keys: make(map[string]bool)}
	_, _, err := s.conn.DeclareQueue(spec)
	return err
}

func (s *brokerSim) bind(name string) error {
	key := modelKeys[s.rng.IntN(len(modelKeys))]
	q := s.model.queues[name]
	if s.rng.IntN(3) == 0 {
		s.tell("unbind %s from %s", name, key)
		delete(q.keys, key)
		_, err := s.conn.UnbindQueue(name, "amq.direct", key, nil)
		return err
	}
	s.tell("bind %s to %s", name, key)
	q.keys[key] = true
	_, err := s.conn.BindQueue(name, "amq.direct", key, nil)
	return err
}

func (s *brokerSim) publish(n int) error {
	exchange, key := "", modelNames[s.rng.IntN(len(modelNames))]
	if s.rng.IntN(3) == 0 {
		exchange, key = "amq.direct", modelKeys[s.rng.IntN(len(modelKeys))]
	}
	persistent := s.rng.IntN(4) > 0
	props := amqp.PropertyList{DeliveryMode: 1}
	if persistent {
		props.DeliveryMode = 2
	}
	ps := make([]broker.Publish, 1+s.rng.IntN(6))
	for i := range ps {
		body := fmt.Append(nil, s.id+i, " ", strings.Repeat(".", s.rng.IntN(60)*s.rng.IntN(2)))
		ps[i].Msg = &amqp.Message{Exchange: exchange, Key: key, Props: props.Encode(), Body: body}
	}
	taken, err := s.ses[n].Publish(s.now, ps)
	s.tell("publish %d.. (%d) to %q %q, persistent %v: %v", s.id, len(ps), exchange, key, persistent, err)
	if errors.Is(err, spool.ErrFull) && taken == 0 && s.s.level.floor > 0 {
		return nil
	}
	if err != nil || taken != len(ps) {
		return fmt.Errorf("publish: %d, %w", taken, err)
	}
	for i := range ps {
		msg := modelMsg{id: s.id, persistent: persistent, boot: s.b.Boot(), born: s.base.Add(time.Duration(s.now))}
		stores := false
		for _, name := range s.model.routes(exchange, key) {
			stores = s.model.enter(name, msg) || stores
		}
		// In the batch's wake messages may have gone: a later LSN, and more than asked.
		if lsn := ps[i].LSN; (lsn > 0) != stores || lsn > s.s.last {
			return fmt.Errorf("%d was promised at %d of %d, stored %v", s.id, lsn, s.s.last, stores)
		}
		s.id++
	}
	return nil
}

func (s *brokerSim) consume(n int, name string) error {
	c, err := s.ses[n].Consume(name, broker.ConsumerSpec{Prefetch: s.rng.IntN(6)})
	if err != nil {
		return err
	}
	s.tell("consume %s", name)
	s.tags[n] = append(s.tags[n], c.Tag)
	c.Start()
	return nil
}

func (s *brokerSim) get(n int, name string) error {
	d, _, ok, err := s.ses[n].Get(name, false)
	if err != nil || !ok {
		return err
	}
	return s.arrived(d, name)
}

func (s *brokerSim) settle() error {
	if len(s.held) == 0 {
		return nil
	}
	h := s.held[s.rng.IntN(len(s.held))]
	op := broker.Settlement{Tag: h.tag, Multiple: s.rng.IntN(3) == 0, Outcome: broker.Outcome(s.rng.IntN(3))}
	s.tell("settle %d of session %d: %+v", h.id, h.session, op)
	if err := s.ses[h.session].Settle([]broker.Settlement{op}); err != nil {
		return err
	}
	s.release(func(x brokerHeld) bool {
		return x == h || op.Multiple && x.session == h.session && x.tag <= h.tag
	}, op.Outcome)
	return nil
}

// release settles in the model.
func (s *brokerSim) release(which func(brokerHeld) bool, outcome broker.Outcome) {
	s.held = slices.DeleteFunc(s.held, func(h brokerHeld) bool {
		if !which(h) {
			return false
		}
		q := s.model.queues[h.queue]
		i := slices.IndexFunc(q.msgs, func(m modelMsg) bool { return m.id == h.id })
		switch outcome {
		case broker.Accepted:
			q.msgs = slices.Delete(q.msgs, i, i+1)
		case broker.Returned:
			q.msgs[i].held = false
		case broker.Rejected:
			s.model.die(h.queue, i)
		}
		return true
	})
}

func (s *brokerSim) closeSession(n int) {
	s.tell("close session %d", n)
	s.ses[n].Close()
	s.release(func(h brokerHeld) bool { return h.session == n }, broker.Returned)
	s.ses[n], s.tags[n] = s.conn.Open(), nil
}

func (s *brokerSim) purge(name string) error {
	n, _, err := s.conn.Purge(name)
	s.tell("purge %s: %d", name, n)
	q := s.model.queues[name]
	before := len(q.msgs)
	q.msgs = slices.DeleteFunc(q.msgs, func(m modelMsg) bool { return !m.held })
	if n != before-len(q.msgs) {
		return fmt.Errorf("purge of %s: %d, want %d", name, n, before-len(q.msgs))
	}
	return err
}

func (s *brokerSim) drop(name string) error {
	s.tell("delete %s", name)
	delete(s.model.queues, name)
	s.held = slices.DeleteFunc(s.held, func(h brokerHeld) bool { return h.queue == name })
	_, _, err := s.conn.DeleteQueue(name, false, false)
	return err
}
