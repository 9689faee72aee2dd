package interop

import (
	"encoding/binary"
	"fmt"
)

// First bytes of packets, 3.1.1 section 2.2.
const (
	mqttPublish = 0x30
	mqttPubrec  = 0x50
	mqttPubrel  = 0x62
	mqttPubcomp = 0x70
	mqttSuback  = 0x90

	mqttDup = 0x08
)

// subscribe asks for one filter and returns the quality that was granted. It
// is for clients to whom nothing else is sent yet.
func (p *mqttPublisher) subscribe(filter string, qos byte) (granted byte, err error) {
	body := append(mqttString([]byte{0, 1}, filter), qos)
	if err := p.send(0x82, body); err != nil {
		return 0, err
	}
	kind, body, err := p.receive()
	if err != nil {
		return 0, err
	}
	if kind != mqttSuback || len(body) != 3 {
		return 0, fmt.Errorf("SUBSCRIBE answered by %#x % x", kind, body)
	}
	return body[2], nil
}

func (p *mqttPublisher) answer(kind byte, id uint16) error {
	return p.send(kind, binary.BigEndian.AppendUint16(nil, id))
}

// mqttReceiver is the receiving half of a session: what it must remember of
// QoS 2 when its connection is lost, 3.1.1 section 4.3.3.
type mqttReceiver struct {
	halfway map[uint16]bool // received, and not released yet
	got     func(text string)
}

// step reads one packet, tells about a new message, and answers.
func (r *mqttReceiver) step(p *mqttPublisher) error {
	kind, body, err := p.receive()
	if err != nil {
		return err
	}
	if kind == mqttPubrel && len(body) == 2 {
		id := binary.BigEndian.Uint16(body)
		delete(r.halfway, id)
		return p.answer(mqttPubcomp, id)
	}
	if kind&0xf0 != mqttPublish || len(body) < 2 {
		return fmt.Errorf("got %#x % x, want a PUBLISH or a PUBREL", kind, body)
	}
	rest := body[2+min(int(binary.BigEndian.Uint16(body)), len(body)-2):]
	qos := kind >> 1 & 3
	if qos == 0 {
		r.got(string(rest))
		return nil
	}
	if len(rest) < 2 {
		return fmt.Errorf("PUBLISH of QoS %d has no packet identifier", qos)
	}
	id := binary.BigEndian.Uint16(rest)
	if qos == 1 {
		r.got(string(rest[2:]))
		return p.answer(0x40, id)
	}
	if !r.halfway[id] {
		r.halfway[id] = true
		r.got(string(rest[2:]))
	}
	return p.answer(mqttPubrec, id)
}

// mqttExact is the sending half of a session in QoS 2, with a window. It goes
// on over lost connections, 3.1.1 section 4.4.
type mqttExact struct {
	topic   string
	window  int
	next    uint16
	waiting []exactFlight
	settled func(text string) // PUBCOMP came

	received func(text string) // PUBREC came; may be nil
}

type exactFlight struct {
	id       uint16
	text     string
	received bool // PUBREC came
}

// resume sends again what was under way when the last connection was lost.
func (e *mqttExact) resume(p *mqttPublisher) error {
	for _, f := range e.waiting {
		if err := e.send(p, f, mqttDup); err != nil {
			return err
		}
	}
	return nil
}

func (e *mqttExact) send(p *mqttPublisher, f exactFlight, dup byte) error {
	if f.received {
		return p.answer(mqttPubrel, f.id)
	}
	body := binary.BigEndian.AppendUint16(mqttString(nil, e.topic), f.id)
	return p.send(mqttPublish|0x04|dup, append(body, f.text...))
}

// publish sends text as soon as the window allows.
func (e *mqttExact) publish(p *mqttPublisher, text string) error {
	for len(e.waiting) >= e.window {
		if err := e.step(p); err != nil {
			return err
		}
	}
	e.next = max(e.next+1, 1)
	f := exactFlight{id: e.next, text: text}
	e.waiting = append(e.waiting, f)
	return e.send(p, f, 0)
}

// finish waits for the answers that are missing.
func (e *mqttExact) finish(p *mqttPublisher) error {
	for len(e.waiting) > 0 {
		if err := e.step(p); err != nil {
			return err
		}
	}
	return nil
}

func (e *mqttExact) step(p *mqttPublisher) error {
	kind, body, err := p.receive()
	if err != nil {
		return err
	}
	if len(body) != 2 {
		return fmt.Errorf("got %#x % x, want an answer to a PUBLISH", kind, body)
	}
	id := binary.BigEndian.Uint16(body)
	for i := range e.waiting {
		f := &e.waiting[i]
		switch {
		case f.id != id:
			continue
		case kind == mqttPubrec:
			f.received = true
			if e.received != nil {
				e.received(f.text)
			}
			return p.answer(mqttPubrel, id)
		case kind == mqttPubcomp && f.received:
			e.settled(f.text)
			e.waiting = append(e.waiting[:i], e.waiting[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("got %#x for packet %d, which does not wait for it", kind, id)
}
