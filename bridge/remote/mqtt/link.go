package mqtt

import (
	"context"
	"fmt"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// link is a target's connection. Its one goroutine waits for the end.
type link struct {
	target  *Target
	conn    *conn
	window  int
	answers chan bridge.Answer // room for all that may be unanswered: never blocks
	quota   chan struct{}      // a place for each message that the far side takes at a time
	ended   chan struct{}      // closed behind answers

	mu      sync.Mutex // protects the fields below
	sent    uint64     // messages handed to Send
	pending map[uint16]uint64
	over    bool // answers is closed
}

func newLink(t *Target, window int) *link {
	return &link{
		target: t, window: window, answers: make(chan bridge.Answer, window), ended: make(chan struct{}),
		pending: make(map[uint16]uint64),
	}
}

// start is called when the far side has let us in.
func (l *link) start() {
	l.quota = make(chan struct{}, min(l.window, l.conn.terms.receiveMax))
	go func() {
		<-l.conn.gone()
		l.mu.Lock()
		l.over = true
		close(l.answers)
		l.mu.Unlock()
		close(l.ended)
	}()
}

// Send publishes. It waits while as many messages are unanswered as the far
// side takes (section 4.9).
func (l *link) Send(m *bridge.Message) error {
	l.mu.Lock()
	l.sent++
	n := l.sent
	l.mu.Unlock()
	if l.target.o.Node != "" && bridge.PathOf(m).Has(l.conn.node()) { // it came from there
		l.target.ignored.Add(1)
		l.answer(bridge.Answer{Number: n})
		return nil
	}
	p, err := l.target.publishing(m, &l.conn.terms)
	if err != nil { // the message's own fault, as the far side would say
		l.answer(bridge.Answer{Number: n, Outcome: bridge.Refused, Reason: err.Error()})
		return nil
	}
	select {
	case <-l.conn.gone():
		return l.conn.lost()
	default:
	}
	select {
	case l.quota <- struct{}{}:
	case <-l.conn.gone():
		return l.conn.lost()
	}
	l.mu.Lock()
	l.pending[identifier(n)] = n
	l.mu.Unlock()
	if _, err := l.conn.client.PublishWithOptions(context.Background(), p, paho.PublishOptions{Method: paho.PublishMethod_AsyncSend}); err != nil {
		l.conn.distrust(err)
		return l.conn.lost()
	}
	return nil
}

// identifier is the packet identifier of a message. The window is smaller than
// the identifiers are many, so that it is free.
func identifier(number uint64) uint16 { return uint16((number-1)%65535) + 1 }

// number is the identifier of the message that Send is at.
func (l *link) number() uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return identifier(l.sent)
}

// answered takes a PUBACK.
func (l *link) answered(ack *packets.Puback) {
	l.mu.Lock()
	n, known := l.pending[ack.PacketID]
	delete(l.pending, ack.PacketID)
	l.mu.Unlock()
	if !known {
		l.conn.distrust(fmt.Errorf("the far side acknowledged packet %d, which was not under way", ack.PacketID))
		return
	}
	<-l.quota
	reason, text := mqttwire.ReasonCode(ack.ReasonCode), ""
	if ack.Properties != nil {
		text = ack.Properties.ReasonString
	}
	words := l.target.clean(worded(reason, text))
	a := bridge.Answer{Number: n}
	switch {
	case reason == mqttwire.Success:
	case !reason.Failed():
		a.Reason = words // nobody over there has subscribed: taken all the same
	case reason == mqttwire.QuotaExceeded:
		a.Outcome, a.Reason = bridge.Busy, words
	default:
		a.Outcome, a.Reason = bridge.Refused, words
	}
	l.answer(a)
}

// answer hands an answer on. There is room: each message is answered once, and
// no more than the window are unanswered.
func (l *link) answer(a bridge.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	select {
	case l.answers <- a:
	default:
		l.conn.distrust(fmt.Errorf("message %d is answered beyond the window", a.Number))
	}
}

func (l *link) Answers() <-chan bridge.Answer { return l.answers }

// Held is "": MQTT has no word for it but the window.
func (l *link) Held() string { return "" }

func (l *link) Err() error { return l.conn.lost() }

// Close says goodbye, for two seconds at most.
func (l *link) Close() {
	l.conn.close()
	<-l.ended
}
