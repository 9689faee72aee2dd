package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	fleetSensors = 2_000
	fleetRogues  = fleetSensors / 100
	fleetTime    = 2 * time.Minute // FLEET in the environment is another time
	fleetPause   = 2 * time.Second // between two readings of a sensor, at most
	fleetConnect = 5 * time.Second // over which the sensors connect

	// What may be left when the fleet is gone: goroutines of connections that
	// just ended, and memory the runtime has not returned.
	fleetGoroutinesLeft = 20
	fleetBytesLeft      = 96 << 20
)

// TestFleet: two thousand sensors publish with QoS 1, go away without a word,
// come back, and take their own connection over, among some that talk
// nonsense. Nothing acknowledged is lost, each will is told once, and the
// broker is afterwards as small as it was.
func TestFleet(t *testing.T) {
	t.Parallel()
	g := openGateway(t, "profile = \"small\"\n")
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	must(t, declareLoadQueue(conn))
	willQueue(t, conn)
	goroutines, resident := metric(t, g, "go_goroutines"), metric(t, g, "process_resident_memory_bytes")

	f := &fleet{addr: g.mqtt(), book: newLedger(), end: time.Now().Add(fleetDuration(t))}
	for _, err := range f.run() {
		t.Error(err)
	}
	t.Logf("%d acknowledged, %d wills, %d rogue connections", f.book.count(), f.wills.Load(), f.rogues.Load())
	if f.wills.Load() == 0 || f.rogues.Load() == 0 {
		t.Error("nobody misbehaved")
	}
	until(t, patience, fmt.Sprintf("%d wills are told", f.wills.Load()), func() bool {
		return willCount(t, conn) >= int(f.wills.Load())
	})
	if got := willCount(t, conn); got != int(f.wills.Load()) {
		t.Errorf("%d wills were told, want %d", got, f.wills.Load())
	}
	var got arrivals
	must(t, drain(g.amqp(), &got))
	f.book.judge(&got).check(t, "the queue", 0)
	until(t, patience, "the fleet's goroutines end", func() bool {
		return metric(t, g, "go_goroutines") <= goroutines+fleetGoroutinesLeft
	})
	left := metric(t, g, "process_resident_memory_bytes")
	t.Logf("%.0f MiB resident before, %.0f MiB after", resident/(1<<20), left/(1<<20))
	if left > resident+fleetBytesLeft {
		t.Errorf("%.0f bytes are resident after the fleet, %.0f before", left, resident)
	}
}

func fleetDuration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("FLEET")
	if text == "" {
		return fleetTime
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// willQueue collects the wills.
func willQueue(t *testing.T, conn *amqp091.Connection) {
	t.Helper()
	ch, err := conn.Channel()
	must(t, err)
	defer ch.Close()
	_, err = ch.QueueDeclare("wills", true, false, false, false, nil)
	must(t, err)
	must(t, ch.QueueBind("wills", "wills.#", "amq.topic", false, nil))
}

func willCount(t *testing.T, conn *amqp091.Connection) int {
	t.Helper()
	ch, err := conn.Channel()
	must(t, err)
	defer ch.Close()
	q, err := ch.QueueDeclarePassive("wills", true, false, false, false, nil)
	must(t, err)
	return q.Messages
}

// fleet is the sensors and what they were promised.
type fleet struct {
	addr   string
	book   *ledger
	end    time.Time
	wills  atomic.Int64 // connections that ended without a DISCONNECT
	rogues atomic.Int64 // connections that talked nonsense
}

// run returns what the sensors that behaved died of: nothing, or the broker
// has wronged one.
func (f *fleet) run() []error {
	failures := make(chan error, fleetSensors)
	var wg sync.WaitGroup
	for i := range fleetSensors {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(i)))
			time.Sleep(time.Duration(random.Int64N(int64(fleetConnect))))
			if i < fleetRogues {
				f.rogue(random)
				return
			}
			if err := f.sensor("d"+strconv.Itoa(i), random); err != nil {
				failures <- fmt.Errorf("sensor %d: %w", i, err)
			}
		})
	}
	wg.Wait()
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	return all
}

// sensor is one device's life: of ten readings one is followed by a loss of
// its connection, and one by a second connection in place of the first.
func (f *fleet) sensor(name string, random *rand.Rand) error {
	who := mqttConnect{client: name, willTopic: "wills/" + name, willText: "gone"}
	c, err := connectMQTT(f.addr, who)
	if err != nil {
		return err
	}
	defer func() { c.close() }()
	for n := 1; time.Now().Before(f.end); n++ {
		r := reading{name, n}
		f.book.offer(name, n)
		if err := c.publish("plant/"+name+"/temp", []string{r.String()}, func(int) { f.book.promise(r) }); err != nil {
			return fmt.Errorf("publish %d: %w", n, err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(fleetPause))))
		event := random.IntN(10)
		if event > 1 {
			continue
		}
		f.wills.Add(1)
		if event == 0 {
			c.close()
		}
		next, err := connectMQTT(f.addr, who) // takes over what is still there
		if err != nil {
			return fmt.Errorf("connect again: %w", err)
		}
		c.close()
		c = next
	}
	return c.send(0xe0, nil) // DISCONNECT: no will
}

// nonsense is what rogues say, some of it after a good CONNECT.
var nonsense = [][]byte{
	[]byte("GET / HTTP/1.1\r\n\r\n"),
	{0x10, 0xff, 0xff, 0xff, 0x7f},       // a CONNECT of 256 MiB
	{0x10, 0xff, 0xff, 0xff, 0xff, 0xff}, // a length that does not end
	{0x30, 0x02, 0x00, 0x09},             // a topic longer than its packet
	{0x36, 0x05, 0x00, 0x01, 'a', 0, 1},  // QoS 3
	{0x82, 0x02, 0x00, 0x01},             // a SUBSCRIBE to nothing
	{0xf0, 0x00},                         // AUTH, which 3.1.1 has not
	{0x62, 0x02},                         // half a PUBREL
}

func (f *fleet) rogue(random *rand.Rand) {
	for time.Now().Before(f.end) {
		f.rogues.Add(1)
		text := nonsense[random.IntN(len(nonsense))]
		if random.IntN(2) == 0 {
			f.interrupt(text)
		} else if conn, err := net.Dial("tcp", f.addr); err == nil {
			_, _ = conn.Write(text)
			time.Sleep(100 * time.Millisecond)
			conn.Close()
		}
		time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
	}
}

// interrupt says text where a packet is expected, and goes without a word.
func (f *fleet) interrupt(text []byte) {
	c, err := dialMQTT(f.addr, "rogue")
	if err != nil { // another of them may have taken the name over already
		return
	}
	_, _ = c.conn.Write(text)
	time.Sleep(100 * time.Millisecond)
	c.close()
}
