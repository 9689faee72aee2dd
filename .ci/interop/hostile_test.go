package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	exitConfig  = 78               // the service manager does not start again
	exitInUse   = 75               // it does
	handshake   = 30 * time.Second // deadline of 10 s, and what a loaded machine adds
	growthMax   = 16 << 20         // memory that strangers may cost
	answerMax   = 5 * time.Second  // for a good client: half of what one takes who waits for a stranger's deadline
	idleSockets = 300
)

// TestRefusalsAreClear: who asks for what is not there is told so, in the
// words that RabbitMQ uses.
func TestRefusalsAreClear(t *testing.T) {
	tests := []struct {
		name, login, vhost string
		want               *regexp.Regexp
	}{
		{"missing exchange", "guest:guest", "%2f", regexp.MustCompile(`404.*NOT_FOUND - no exchange 'interop.missing' in vhost '/'`)},
		{"wrong password", "guest:wrong", "%2f", regexp.MustCompile(`403.*ACCESS_REFUSED`)},
		{"wrong vhost", "guest:guest", "nowhere", regexp.MustCompile(`530.*NOT_ALLOWED.*nowhere`)},
	}
	brokers := []struct {
		name string
		addr func(t *testing.T) string
	}{
		{"rabbitmq", func(t *testing.T) string { return lab.reference(t).addr }},
		{"leveret", func(t *testing.T) string { return openGateway(t, "").doors["amqp"] }},
	}
	for _, b := range brokers {
		t.Run(b.name, func(t *testing.T) {
			addr := b.addr(t)
			for _, tt := range tests {
				url := "amqp://" + tt.login + "@" + addr + "/" + tt.vhost
				out, _ := run(t, patience, "", "amqp-publish", "--url="+url, "-e", "interop.missing", "-r", "k", "-b", "x")
				if !tt.want.MatchString(out) {
					t.Errorf("%s: amqp-publish said %q, want %v", tt.name, out, tt.want)
				}
			}
		})
	}
}

// TestHostileInput throws at each door what no good client sends. Each case
// may cost its own connection and a little memory; a good client beside it
// notices nothing.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "")
	good := watchGoodClient(t, g)
	before := g.proc.memory("VmRSS")
	for _, door := range doorNames {
		for _, c := range hostileCases() {
			if c.door != "" && c.door != door {
				continue
			}
			t.Run(door+"/"+c.name, func(t *testing.T) {
				c.act(t, g.doors[door])
				good.check(t)
			})
		}
	}
	must(t, g.alive())
	if grown := g.proc.memory("VmHWM") - before; grown > growthMax {
		t.Errorf("memory grew by %d KiB, at most %d KiB may be", grown>>10, growthMax>>10)
	} else {
		t.Logf("memory grew by %d KiB", grown>>10)
	}
	good.stop(t)
	g.mustStop(t)
}

type hostileCase struct {
	name string
	door string // empty: all doors
	act  func(t *testing.T, addr string)
}

func hostileCases() []hostileCase {
	amqpHello := []byte("AMQP\x00\x00\x09\x01")
	mqttHello := appendPacket(nil, 0x10, append(mqttString(nil, "MQTT"), 4, 2, 0, 2, 0, 1, 'x')) // keep alive: 2 s
	huge := bytes.Repeat([]byte("leveret "), 10<<20/8)
	frame := append([]byte{1, 0, 0, 0, 0xa0, 0, 0}, huge...) // a method frame of 10 MiB on channel 0
	return []hostileCase{
		{"random bytes", "", junk(nil)},
		{"zeros", "", func(t *testing.T, addr string) { expectClose(t, addr, make([]byte, 64<<10)) }},
		{"10 MB without an end", "", func(t *testing.T, addr string) { expectClose(t, addr, huge) }},
		{"a byte at a time", "amqp", slowly(string(amqpHello) + "\x01\x00\x00\x00\x00\x03\xe8")},
		{"a byte at a time", "mqtt", slowly("\x10\xe8\x07\x00\x04MQTT\x04\x02\x00\x3c\x03\x00")},
		{"a byte at a time", "admin", slowly("GET /healthz HTTP/1.1\r\nX-Slow: ")},
		{"idle sockets", "", idle},
		{"random bytes after the greeting", "amqp", junk(amqpHello)},
		{"random bytes after the greeting", "mqtt", junk(mqttHello)},
		{"a frame of 10 MB", "amqp", func(t *testing.T, addr string) { expectClose(t, addr, append(amqpHello, frame...)) }},
		{"a packet that says 256 MB", "mqtt", func(t *testing.T, addr string) {
			expectClose(t, addr, append([]byte{0x10, 0xff, 0xff, 0xff, 0x7f}, huge...))
		}},
		{"publish before connect", "mqtt", func(t *testing.T, addr string) {
			expectClose(t, addr, appendPacket(nil, 0x30, mqttString(nil, "a")))
		}},
		{"connect twice", "mqtt", func(t *testing.T, addr string) { expectClose(t, addr, append(mqttHello, mqttHello...)) }},
		{"a server's packet", "mqtt", func(t *testing.T, addr string) {
			expectClose(t, addr, append(mqttHello, 0x20, 2, 0, 0))
		}},
	}
}

// junk sends random bytes after a greeting, on some connections at once: a
// door may wait for the rest of what looks like a beginning.
func junk(greeting []byte) func(t *testing.T, addr string) {
	return func(t *testing.T, addr string) {
		random := rand.NewChaCha8([32]byte{1})
		var wg sync.WaitGroup
		for range 50 {
			send := append(bytes.Clone(greeting), make([]byte, 4096)...)
			_, _ = random.Read(send[len(greeting):])
			wg.Go(func() { expectClose(t, addr, send) })
		}
		wg.Wait()
	}
}

// expectClose sends bytes; the broker must end the connection within the
// handshake's deadline, whatever it answers first.
func expectClose(t *testing.T, addr string, send []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(handshake))
	if _, err := conn.Write(send); err != nil && !isClosed(err) {
		t.Errorf("the broker stopped reading and kept the connection: %v", err)
		return
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !isClosed(err) {
		t.Errorf("the connection is still open after %v: %v", handshake, err)
	}
}

func isClosed(err error) bool {
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// slowly begins a proper handshake and goes on one byte at a time: the
// handshake as a whole has a deadline, not each of its reads.
func slowly(begin string) func(t *testing.T, addr string) {
	return func(t *testing.T, addr string) {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		defer conn.Close()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_, _ = io.Copy(io.Discard, conn)
		}()
		_, err = io.WriteString(conn, begin)
		must(t, err)
		for late := time.After(handshake); ; {
			select {
			case <-closed:
				return
			case <-late:
				t.Fatalf("the connection is still open after %v", handshake)
			case <-time.After(200 * time.Millisecond):
				_, _ = io.WriteString(conn, "a") // when it fails, closed comes next
			}
		}
	}
}

// idle opens sockets that say nothing; a new good client gets in beside them.
func idle(t *testing.T, addr string) {
	for range idleSockets {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		defer conn.Close()
	}
	time.Sleep(500 * time.Millisecond)
}

// goodClient publishes with confirms all the time, on one connection.
type goodClient struct {
	g    *gateway
	quit chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex // protects the fields below
	err   error
	slow  time.Duration
	count int
}

func watchGoodClient(t *testing.T, g *gateway) *goodClient {
	c := &goodClient{g: g, quit: make(chan struct{})}
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	must(t, ch.Confirm(false))
	q, err := ch.QueueDeclare("good", true, false, false, false, amqp091.Table{"x-max-length": int32(100)})
	must(t, err)
	c.wg.Go(func() {
		for c.round(ch, q.Name) {
			select {
			case <-c.quit:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return c
}

// round publishes once and reports whether that went well.
func (c *goodClient) round(ch *amqp091.Channel, queue string) bool {
	began := time.Now()
	confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false,
		amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte("good")})
	if err == nil {
		select {
		case <-confirm.Done():
			if !confirm.Acked() {
				err = errors.New("a publish was refused")
			}
		case <-time.After(patience):
			err = fmt.Errorf("a publish was not confirmed within %v", patience)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.slow = max(c.slow, time.Since(began))
	c.count++
	return err == nil
}

// check looks at the client so far, and lets a new one in.
func (c *goodClient) check(t *testing.T) {
	t.Helper()
	began := time.Now()
	conn, err := amqp091.Dial(c.g.amqp())
	if err != nil {
		t.Fatalf("a new good client: %v", err)
	}
	conn.Close()
	sensor, err := dialMQTT(c.g.mqtt(), "good")
	if err != nil {
		t.Fatalf("a new good sensor: %v", err)
	}
	sensor.close()
	if code, _ := fetch(t, c.g.admin()+"/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
	if took := time.Since(began); took > answerMax {
		t.Errorf("new good clients waited %v, want less than %v", took, answerMax)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		t.Errorf("the good client: %v", c.err)
	}
	if c.slow > answerMax {
		t.Errorf("the good client waited %v for a confirm, want less than %v", c.slow, answerMax)
	}
}

func (c *goodClient) stop(t *testing.T) {
	close(c.quit)
	c.wg.Wait()
	t.Logf("the good client published %d times and waited %v at most", c.count, c.slow)
}

// TestWrongConfigurationIsLocated: check and run both name the place and end
// with the code that keeps the service manager from trying again.
func TestWrongConfigurationIsLocated(t *testing.T) {
	tests := []struct{ name, text, place string }{
		{"half-written", "data_dir = \"x\"\n[amqp]\nlisten = \"127.0.0.1:0", `:3:\d+`},
		{"unknown key", "[mqtt]\nlisten = \"127.0.0.1:0\"\nlisen = \"x\"\n", `:3:\d+`},
		{"wrong type", "[amqp]\nlisten = true\n", `:2:\d+`},
	}
	for _, tt := range tests {
		file := filepath.Join(t.TempDir(), "leveret.toml")
		must(t, os.WriteFile(file, []byte(tt.text), 0o600))
		want := regexp.MustCompile(regexp.QuoteMeta(file) + tt.place)
		for _, command := range []string{"check", "run"} {
			out, code := runCommand(t, startMax, "", leveretCommand(command, "--config", file))
			if code != exitConfig || !want.MatchString(out) {
				t.Errorf("%s: leveret %s ended with code %d, want %d, and said %q, want %v",
					tt.name, command, code, exitConfig, out, want)
			}
		}
	}
}

// TestSecondInstanceIsRefused: one folder, one broker; the first goes on.
func TestSecondInstanceIsRefused(t *testing.T) {
	g := openGateway(t, "")
	second, err := newGateway(g.dir, "")
	must(t, err)
	out, code := runCommand(t, startMax, "", leveretCommand(second.args()...))
	if code != exitInUse || !strings.Contains(out, "in use") {
		t.Errorf("the second instance ended with code %d, want %d, and said %q, want that the spool is in use", code, exitInUse, out)
	}
	goRound(t, g.amqp())
	g.mustStop(t)
}
