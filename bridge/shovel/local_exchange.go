package shovel

import (
	"context"
	"errors"
	"sync"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
	"leveret/spool"
)

// LocalExchange is a target: an exchange of the broker in this process. A
// message is confirmed when it is durable here, so that a source is settled
// only then. A spool without room is weather: the shovel is held, and nothing
// is refused.
type LocalExchange struct {
	Broker   *broker.Broker
	VHost    string
	Exchange string // "" is the nameless one, which takes the key for a queue's name
	// Key replaces the messages' own routing keys when it is not "".
	Key string
	// Mandatory messages that no queue takes are returned; others are confirmed
	// all the same, as a broker does with what nobody asks for.
	Mandatory bool
	// Now is the boot's monotonic clock.
	Now func() amqp.Instant
	// Name is the shovel's, shown to operators as the connection's client.
	Name string
}

const (
	// localFullRetry is for a log that has room, but not for this message.
	localFullRetry = 250 * time.Millisecond
	localHeld      = "the spool here is full"
)

// String is the exchange's name, with its vhost where that is not the default.
func (l *LocalExchange) String() string {
	name := l.Exchange
	if name == "" {
		name = "(nameless)"
	}
	return "exchange " + within(name, l.VHost)
}

// Dial opens a connection to the core.
func (l *LocalExchange) Dial(_ context.Context, window int) (bridge.Link, error) {
	who := broker.Identity{Client: l.Name, Protocol: "shovel"}
	conn, err := l.Broker.Connect(l.VHost, who, func() {})
	if err != nil {
		return nil, err
	}
	x := &exchangeLink{
		target: l, conn: conn, session: conn.Open(), answers: make(chan bridge.Answer, window),
		sent: make(chan struct{}, 1), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	x.hangUp = sync.OnceFunc(func() { close(x.closed) })
	go x.run()
	return x, nil
}

// exchangeLink is a publisher to a local exchange. Its one goroutine publishes
// what was sent, a batch at a time, and answers what the log is durable up to.
type exchangeLink struct {
	target  *LocalExchange
	conn    *broker.Conn
	session *broker.Session
	answers chan bridge.Answer // room for all that may be unanswered: never blocks
	sent    chan struct{}      // holds a note when batch has something
	closed  chan struct{}      // by Close
	ended   chan struct{}      // when run has ended
	hangUp  func()             // closes closed, once

	mu    sync.Mutex // protects the fields below
	batch []broker.Publish
	held  string
	err   error

	// Of run alone.
	work    []broker.Publish // taken from batch and not yet published
	spare   []broker.Publish // memory for the next batch
	number  uint64           // of the message answered or promised last
	waiting spool.Waiting[bridge.Answer]
}

var errLinkClosed = errors.New("link is closed")

// Send hands a message to run.
func (x *exchangeLink) Send(m *bridge.Message) error {
	l := x.target
	key := l.Key
	if key == "" {
		key = m.Key
	}
	msg := &amqp.Message{Exchange: l.Exchange, Key: key, Props: m.Props.Encode(), Body: m.Body}
	retain, _ := m.Props.Headers.Get(bridge.HeaderRetain)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return x.err
	}
	x.batch = append(x.batch, broker.Publish{Msg: msg, Retain: retain == true})
	note(x.sent)
	return nil
}

func (x *exchangeLink) Answers() <-chan bridge.Answer { return x.answers }

func (x *exchangeLink) Held() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.held
}

func (x *exchangeLink) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Close ends the link. What was published and not answered may become durable
// all the same.
func (x *exchangeLink) Close() {
	x.hangUp()
	<-x.ended
}

// run lives until the link is closed or the core or the log will have no more.
func (x *exchangeLink) run() {
	defer close(x.ended)
	defer close(x.answers)
	defer x.conn.Close()
	for {
		wait, err := x.publish()
		if err != nil {
			x.fail(err)
			return
		}
		moved, err := x.answer()
		if err != nil {
			x.fail(err)
			return
		}
		select {
		case <-x.sent:
		case <-moved:
		case <-wait.room:
		case <-wait.retry:
		case <-x.closed:
			x.fail(errLinkClosed)
			return
		}
	}
}

func (x *exchangeLink) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = err
}

// obstacle is what ends a wait for room; the zero value is none.
type obstacle struct {
	room  <-chan struct{}
	retry <-chan time.Time
}

// publish hands what was sent to the core, as far as the log has room.
func (x *exchangeLink) publish() (obstacle, error) {
	for {
		if len(x.work) == 0 && !x.take() {
			x.hold("")
			return obstacle{}, nil
		}
		if room := x.target.Broker.Log().Room(); room != nil {
			x.hold(localHeld)
			return obstacle{room: room}, nil
		}
		n, err := x.session.Publish(x.target.Now(), x.work)
		x.promise(x.work[:n])
		x.work = x.work[n:]
		refusal, refused := errors.AsType[*amqp.Error](err)
		switch {
		case err == nil:
		case errors.Is(err, spool.ErrFull):
			x.hold(localHeld)
			return obstacle{room: x.target.Broker.Log().Room(), retry: time.After(localFullRetry)}, nil
		case refused && refusal.Code == amqp.NotFound: // the exchange is not there, which no message can help
			return obstacle{}, err
		case refused:
			x.owe(0, bridge.Refused, refusal.Text)
			x.work = x.work[1:]
		default:
			return obstacle{}, err
		}
	}
}

// take swaps the batch for an empty one.
func (x *exchangeLink) take() bool {
	clear(x.spare)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.work, x.batch = x.batch, x.spare[:0]
	x.spare = x.work
	return len(x.work) > 0
}

func (x *exchangeLink) hold(why string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.held = why
}

// promise owes the answers to messages that the core has taken.
func (x *exchangeLink) promise(ps []broker.Publish) {
	for i := range ps {
		switch p := &ps[i]; {
		case p.Refused:
			x.owe(p.LSN, bridge.Busy, "a queue is full and refuses new messages")
		case !p.Routed && !p.Retain && x.target.Mandatory:
			x.owe(0, bridge.Returned, "no queue is bound for key "+p.Msg.Key)
		default:
			x.owe(p.LSN, bridge.Confirmed, "")
		}
	}
}

// owe makes the next message's answer wait until the log is durable up to lsn.
func (x *exchangeLink) owe(lsn spool.LSN, outcome bridge.Outcome, reason string) {
	x.number++
	x.waiting.Push(lsn, bridge.Answer{Number: x.number, Outcome: outcome, Reason: reason})
}

// answer gives the answers that are true. moved is closed when more may be; it
// is nil when none is owed.
func (x *exchangeLink) answer() (moved <-chan struct{}, err error) {
	if x.waiting.Len() == 0 {
		return nil, nil
	}
	upTo, moved, err := x.target.Broker.Log().Durable()
	if err != nil {
		return nil, err
	}
	for {
		a, ok := x.waiting.Pop(upTo)
		if !ok {
			break
		}
		x.answers <- a // has room: the window bounds what is unanswered
	}
	if x.waiting.Len() == 0 {
		return nil, nil
	}
	return moved, nil
}
