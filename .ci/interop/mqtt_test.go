package interop

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// mqttPublisher is a sensor's firmware at its smallest: MQTT 3.1.1, QoS 1, one
// goroutine. It shares no code with the product, so a mistake in the product's
// codec cannot hide in it. mqtt_session_test.go adds what a subscriber needs.
type mqttPublisher struct {
	conn    net.Conn
	in      *bufio.Reader
	next    uint16 // packet identifier, from 1 upwards, around without 0
	present bool   // the broker had a session of this client
}

// mqttConnect is what a client says of itself when it connects.
type mqttConnect struct {
	client    string
	keep      bool   // the session outlives the connection
	willTopic string // "" is no will; others are of QoS 1
	willText  string
}

// Flags of CONNECT, 3.1.1 section 3.1.2.3.
const (
	connectClean    = 0x02
	connectWill     = 0x04
	connectWillQoS1 = 0x08
)

func (c mqttConnect) body() []byte {
	flags := byte(connectClean)
	if c.keep {
		flags = 0
	}
	if c.willTopic != "" {
		flags |= connectWill | connectWillQoS1
	}
	body := mqttString(nil, "MQTT")
	body = append(body, 4, flags, 0, 60) // level 3.1.1, keep alive 60 s
	body = mqttString(body, c.client)
	if c.willTopic != "" {
		body = mqttString(mqttString(body, c.willTopic), c.willText)
	}
	return body
}

func dialMQTT(addr, client string) (*mqttPublisher, error) {
	return connectMQTT(addr, mqttConnect{client: client})
}

func connectMQTT(addr string, c mqttConnect) (*mqttPublisher, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	p := &mqttPublisher{conn: conn, in: bufio.NewReader(conn)}
	if err := p.send(0x10, c.body()); err != nil {
		return nil, p.fail(err)
	}
	kind, body, err := p.receive()
	if err != nil {
		return nil, p.fail(err)
	}
	if kind != 0x20 || len(body) != 2 || body[1] != 0 {
		return nil, p.fail(fmt.Errorf("CONNECT answered by %#x % x", kind, body))
	}
	p.present = body[0] == 1
	return p, nil
}

// dialMQTTv5 connects with version 5 and no properties.
func dialMQTTv5(addr, client string) (*mqttPublisher, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	p := &mqttPublisher{conn: conn, in: bufio.NewReader(conn)}
	body := append(mqttString(nil, "MQTT"), 5, connectClean, 0, 60, 0)
	if err := p.send(0x10, mqttString(body, client)); err != nil {
		return nil, p.fail(err)
	}
	kind, body, err := p.receive()
	if err != nil {
		return nil, p.fail(err)
	}
	if kind != 0x20 || len(body) < 2 || body[1] != 0 {
		return nil, p.fail(fmt.Errorf("CONNECT answered by %#x % x", kind, body))
	}
	return p, nil
}

func (p *mqttPublisher) fail(err error) error {
	p.conn.Close()
	return err
}

func (p *mqttPublisher) close() { p.conn.Close() }

// publish sends texts to the topic, all at once, and calls acked for each in
// turn as its PUBACK comes in.
func (p *mqttPublisher) publish(topic string, texts []string, acked func(i int)) error {
	var first uint16
	var out []byte
	for i, text := range texts {
		p.next++
		if p.next == 0 {
			p.next = 1
		}
		if i == 0 {
			first = p.next
		}
		body := mqttString(nil, topic)
		body = binary.BigEndian.AppendUint16(body, p.next)
		out = appendPacket(out, 0x32, append(body, text...))
	}
	if _, err := p.conn.Write(out); err != nil {
		return err
	}
	for i := range texts {
		kind, body, err := p.receive()
		if err != nil {
			return err
		}
		want := first + uint16(i)
		if want < first { // the identifiers went around, past 0
			want++
		}
		if kind != 0x40 || len(body) != 2 || binary.BigEndian.Uint16(body) != want {
			return fmt.Errorf("PUBLISH %d answered by %#x % x", want, kind, body)
		}
		acked(i)
	}
	return nil
}

func (p *mqttPublisher) send(kind byte, body []byte) error {
	_, err := p.conn.Write(appendPacket(nil, kind, body))
	return err
}

// receive reads one packet; a server that is silent for so long is an error.
func (p *mqttPublisher) receive() (kind byte, body []byte, err error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	if kind, err = p.in.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(p.in) // MQTT's variable byte integer is the same up to 4 bytes
	if err != nil || size > 1<<20 {
		return 0, nil, fmt.Errorf("packet of %d bytes: %w", size, err)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(p.in, body)
	return kind, body, err
}

func appendPacket(dst []byte, kind byte, body []byte) []byte {
	dst = binary.AppendUvarint(append(dst, kind), uint64(len(body)))
	return append(dst, body...)
}

func mqttString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}
