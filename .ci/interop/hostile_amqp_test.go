package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	manySockets   = 1000
	stalledHellos = 40 // handshakes that stop half-way, at once
	sentenceMax   = handshake
	channels091   = 100  // channel-max of the hostile client
	tableDepth    = 5000 // of tables in tables: far more than any decoder should follow
)

// TestHostileAMQP sends what breaks the rules of 0-9-1, one rule at a time. The
// broker passes the sentence that the specification (1.5.3, 4.2) and RabbitMQ
// have for it, then serves a good client; in all of it, it keeps no memory.
func TestHostileAMQP(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "")
	good := watchGoodClient(t, g)
	good.check(t)
	before := g.proc.memory("VmRSS")
	for _, c := range hostileFrames() {
		t.Run(c.name, func(t *testing.T) {
			if got := sentence(t, g.doors["amqp"], append(bytes.Clone(c.after), c.send...)); got != c.want {
				t.Errorf("the answer was %q, want %q", got, c.want)
			}
			good.check(t)
		})
	}
	t.Run("handshakes that stop", func(t *testing.T) {
		stopHalfWay(t, g.doors["amqp"])
		good.check(t)
	})
	t.Run("idle sockets", func(t *testing.T) {
		sockets := idleOnes(t, g.doors["amqp"])
		good.check(t)
		for _, conn := range sockets {
			conn.Close()
		}
	})
	must(t, g.alive())
	if grown := g.proc.memory("VmRSS") - before; grown > growthMax {
		t.Errorf("memory grew by %d KiB, at most %d KiB may be", grown>>10, growthMax>>10)
	} else {
		t.Logf("memory grew by %d KiB", grown>>10)
	}
	good.stop(t)
	g.mustStop(t)
}

// sentence sends bytes and returns how the broker ended what they were part
// of: "connection 501", "channel 404", or "end" for a socket closed without a
// word. A peer that is told why answers close-ok and sees the end.
func sentence(t *testing.T, addr string, send []byte) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(sentenceMax))
	go func() { _, _ = conn.Write(send) }() // it may be more than the broker reads
	for {
		id, args, err := readMethod(conn)
		switch {
		case err != nil && isClosed(err):
			return "end"
		case err != nil:
			return "nothing within " + sentenceMax.String()
		case id == 10<<16|50 && len(args) >= 2:
			_, _ = conn.Write(frame091(1, 0, method091(10, 51)))
			return fmt.Sprintf("connection %d", binary.BigEndian.Uint16(args))
		case id == 20<<16|40 && len(args) >= 2:
			return fmt.Sprintf("channel %d", binary.BigEndian.Uint16(args))
		}
	}
}

var errNoFrame = errors.New("no frame")

// readMethod reads the next frame: the class and the method in one number, and
// the rest. Other frames are 0.
func readMethod(r io.Reader) (uint32, []byte, error) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	if string(head[:4]) == "AMQP" { // the version that the broker would speak
		return 0, nil, errNoFrame
	}
	payload := make([]byte, int64(binary.BigEndian.Uint32(head[3:]))+1)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	if head[0] != 1 || len(payload) < 5 {
		return 0, nil, nil
	}
	return binary.BigEndian.Uint32(payload), payload[4 : len(payload)-1], nil
}

// stopHalfWay begins many handshakes that never go on, each at another octet:
// all have ended when the handshake's time is over.
func stopHalfWay(t *testing.T, addr string) {
	var wg sync.WaitGroup
	for i := range stalledHellos {
		part := hello091[:i*len(hello091)/stalledHellos]
		wg.Go(func() { expectClose(t, addr, part) })
	}
	wg.Wait()
}

// idleOnes opens many sockets that say nothing, more than may wait at a time.
func idleOnes(t *testing.T, addr string) []net.Conn {
	t.Helper()
	var sockets []net.Conn
	for range manySockets {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		sockets = append(sockets, conn)
	}
	return sockets
}

// The bytes of 0-9-1, by hand: what the broker's own codec would never write.

// frame091 is a well-formed frame.
func frame091(kind byte, channel uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), 0xce)
}

// method091 is a method's payload from its parts: string is a short string,
// everything else as long as its type.
func method091(class, id uint16, args ...any) []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), id)
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			b = append(append(b, byte(len(v))), v...)
		case []byte: // a long string, or a table
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case byte:
			b = append(b, v)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, v)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		default:
			panic(fmt.Sprintf("BUG: an argument of type %T", arg))
		}
	}
	return b
}

func on(channel, class, id uint16, args ...any) []byte {
	return frame091(1, channel, method091(class, id, args...))
}

// header091 is a content header without properties.
func header091(channel, class uint16, size uint64) []byte {
	return frame091(2, channel, method091(class, 0, size, uint16(0)))
}

var (
	greet091  = []byte("AMQP\x00\x00\x09\x01")
	login091  = on(0, 10, 11, []byte{}, "PLAIN", []byte("\x00guest\x00guest"), "en_US")
	tune091   = on(0, 10, 31, uint16(channels091), uint32(131072), uint16(0))
	hello091  = bytes.Join([][]byte{greet091, login091, tune091, on(0, 10, 40, "/", "", byte(0))}, nil)
	opened091 = append(bytes.Clone(hello091), on(1, 20, 10, "")...)
	publish   = on(1, 60, 40, uint16(0), "", "hostile", byte(0))
)

type hostileFrame struct {
	name  string
	after []byte // what a good client says first
	send  []byte
	want  string // see sentence
}

func hostileFrames() []hostileFrame {
	var all []hostileFrame
	for _, group := range [][]hostileFrame{hostileGreetings(), hostileShapes(), hostileOrders(), hostileContents(), hostileArguments()} {
		all = append(all, group...)
	}
	return all
}

// hostileGreetings are wrong before the connection is open.
func hostileGreetings() []hostileFrame {
	login := func(mechanism, response string) []byte {
		return on(0, 10, 11, []byte{}, mechanism, []byte(response), "en_US")
	}
	greeted := func(more ...[]byte) []byte { return append(bytes.Clone(greet091), bytes.Join(more, nil)...) }
	return []hostileFrame{
		{"0-8", nil, []byte("AMQP\x01\x01\x08\x00"), "end"},
		{"0-10", nil, []byte("AMQP\x01\x01\x00\x0a"), "end"},
		{"version 255", nil, []byte("AMQP\xff\xff\xff\xff"), "end"},
		{"HTTP", nil, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "end"},
		{"TLS on the plain port", nil, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "end"},
		{"no login before tune-ok", nil, greeted(tune091), "connection 504"},
		{"open before login", nil, greeted(on(0, 10, 40, "/", "", byte(0))), "connection 504"},
		{"publish before login", nil, greeted(publish), "connection 505"},
		{"unknown mechanism", nil, greeted(login("MAGIC", "x")), "connection 503"},
		{"wrong password", nil, greeted(login("PLAIN", "\x00guest\x00wrong")), "end"},
		{"PLAIN without a separator", nil, greeted(login("PLAIN", "guest")), "connection 502"},
		{"a login of 100 KiB", nil, greeted(login("PLAIN", strings.Repeat("x", 100<<10))), "connection 501"},
		{"a login cut short", nil, greeted(frame091(1, 0, method091(10, 11, uint32(1<<31)))), "connection 501"},
		{"frame-max of 1", nil, greeted(login091, on(0, 10, 31, uint16(10), uint32(1), uint16(0))), "connection 530"},
		{"frame-max above ours", nil, greeted(login091, on(0, 10, 31, uint16(10), uint32(1<<31), uint16(0))), "connection 530"},
		{"channel-max above ours", nil, greeted(login091, on(0, 10, 31, uint16(65535), uint32(131072), uint16(0))), "connection 530"},
		{"a vhost that is not", nil, greeted(login091, tune091, on(0, 10, 40, "nowhere", "", byte(0))), "connection 530"},
		{"login twice", hello091, login091, "connection 504"},
		{"tune twice", hello091, tune091, "connection 504"},
		{"open twice", hello091, on(0, 10, 40, "/", "", byte(0)), "connection 504"},
	}
}

// hostileShapes are no frames, or no methods.
func hostileShapes() []hostileFrame {
	unended := bytes.Clone(publish)
	unended[len(unended)-1] = 0
	return []hostileFrame{
		{"a frame of type 0", opened091, frame091(0, 1, nil), "connection 501"},
		{"a frame of type 9", opened091, frame091(9, 1, nil), "connection 501"},
		{"no frame end", opened091, unended, "connection 501"},
		{"a size of 4 GiB", opened091, []byte{1, 0, 1, 0xff, 0xff, 0xff, 0xff}, "connection 501"},
		{"a size over frame-max", opened091, frame091(3, 1, make([]byte, 200<<10)), "connection 501"},
		{"an empty method frame", opened091, frame091(1, 1, nil), "connection 501"},
		{"half a method number", opened091, frame091(1, 1, []byte{0, 60}), "connection 501"},
		{"an unknown class", opened091, on(1, 999, 10), "connection 503"},
		{"an unknown method", opened091, on(1, 60, 999), "connection 503"},
		{"a method cut short", opened091, frame091(1, 1, method091(60, 40, uint16(0))), "connection 501"},
		{"a short string over the end", opened091, frame091(1, 1, append(method091(50, 10, uint16(0)), 255, 'x')), "connection 501"},
		{"octets after a method", opened091, on(1, 20, 20, byte(1), uint64(0), uint64(0)), "connection 501"},
		{"heartbeat on a channel", opened091, frame091(8, 1, nil), "connection 505"},
	}
}

// hostileOrders are proper frames at the wrong time or place.
func hostileOrders() []hostileFrame {
	return []hostileFrame{
		{"channels over channel-max", hello091, manyChannels091(), "connection 530"},
		{"channel.open on channel 0", hello091, on(0, 20, 10, ""), "connection 504"},
		{"publish on channel 0", hello091, on(0, 60, 40, uint16(0), "", "x", byte(0)), "connection 504"},
		{"a channel opened twice", opened091, on(1, 20, 10, ""), "connection 504"},
		{"a channel that is not open", opened091, on(2, 60, 70, uint16(0), "x", byte(0)), "connection 504"},
		{"a connection's method on a channel", opened091, on(1, 10, 40, "/", "", byte(0)), "connection 503"},
		{"a server's method", opened091, on(1, 50, 11, "x", uint32(0), uint32(0)), "connection 503"},
		{"a delivery from a client", opened091, on(1, 60, 60, "c", uint64(1), byte(0), "", "x"), "connection 503"},
		{"commit without tx", opened091, on(1, 90, 20), "channel 406"},
		{"tx and confirms", opened091, append(on(1, 90, 10), on(1, 85, 10, byte(0))...), "channel 406"},
		{"ack of what was never delivered", opened091, on(1, 60, 80, uint64(7), byte(0)), "channel 406"},
		{"nack of what was never delivered", opened091, on(1, 60, 120, uint64(1<<63), byte(3)), "channel 406"},
	}
}

// manyChannels091 opens one channel more than was agreed.
func manyChannels091() []byte {
	var b []byte
	for channel := range uint16(channels091 + 1) {
		b = append(b, on(channel+1, 20, 10, "")...)
	}
	return b
}

// hostileContents break off or overfill a message.
func hostileContents() []hostileFrame {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []hostileFrame{
		{"a header without a method", opened091, header091(1, 60, 1), "connection 505"},
		{"a body without a header", opened091, join(publish, frame091(3, 1, []byte("x"))), "connection 505"},
		{"a body out of nowhere", opened091, frame091(3, 1, []byte("x")), "connection 505"},
		{"a method instead of a header", opened091, join(publish, publish), "connection 505"},
		{"a method instead of a body", opened091, join(publish, header091(1, 60, 5), publish), "connection 505"},
		{"a second header", opened091, join(publish, header091(1, 60, 5), header091(1, 60, 5)), "connection 505"},
		{"a header of another class", opened091, join(publish, header091(1, 50, 5)), "connection 505"},
		{"a header cut short", opened091, join(publish, frame091(2, 1, []byte{0, 60, 0, 0, 0})), "connection 501"},
		{"a body longer than declared", opened091, join(publish, header091(1, 60, 3), frame091(3, 1, []byte("four"))), "connection 501"},
		{"a body of 2^63 octets", opened091, join(publish, header091(1, 60, 1<<63)), "channel 406"},
		{"a body of 1 GiB", opened091, join(publish, header091(1, 60, 1<<30)), "channel 406"},
		{"properties that are not there", opened091, join(publish, frame091(2, 1, method091(60, 0, uint64(0), uint16(0xfffc)))), "connection 501"},
		{"content on channel 0", opened091, header091(0, 60, 1), "connection 505"},
	}
}

// hostileArguments are tables and names that no client makes.
func hostileArguments() []hostileFrame {
	declare := func(table []byte) []byte { return on(1, 50, 10, uint16(0), "hostile", byte(0), table) }
	return []hostileFrame{
		{"tables in tables", opened091, declare(nested091('F')), "connection 502"},
		{"arrays in arrays", opened091, declare(nested091('A')), "connection 502"},
		{"an unknown type of value", opened091, declare([]byte("\x01a?")), "connection 502"},
		{"a table longer than its frame", opened091, frame091(1, 1, method091(50, 10, uint16(0), "hostile", byte(0), uint32(1<<31))), "connection 501"},
		{"a value over its table's end", opened091, declare([]byte("\x01aS\x00\x00\xff\xffx")), "connection 501"},
		{"a field's name over its table's end", opened091, declare([]byte("\xffa")), "connection 501"},
		{"a queue named amq.", opened091, on(1, 50, 10, uint16(0), "amq.hostile", byte(0), []byte{}), "channel 403"},
		{"an exchange of no known type", opened091, on(1, 40, 10, uint16(0), "hostile", "magic", byte(0), []byte{}), "channel 406"},
		{"a negative length limit", opened091, declare([]byte("\x0cx-max-lengthI\xff\xff\xff\xff")), "channel 406"},
		{"a time to live that is text", opened091, declare([]byte("\x0dx-message-ttlS\x00\x00\x00\x01x")), "channel 406"},
		{"publish to no exchange", opened091, bytes.Join([][]byte{on(1, 60, 40, uint16(0), "nowhere", "", byte(0)), header091(1, 60, 0)}, nil), "channel 404"},
	}
}

// nested091 is a table whose value holds a value of its kind, and so on.
func nested091(kind byte) []byte {
	var inner []byte
	for range tableDepth {
		value := append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(inner))), inner...)
		if kind == 'F' {
			value = append([]byte("\x01a"), value...)
		}
		inner = value
	}
	if kind == 'A' {
		inner = append([]byte("\x01a"), inner...)
	}
	return inner
}
