package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The story's size: 18 x 1075 + 2 x 325 = 20,000 readings.
const (
	sensorsCount  = 18
	offlineLast   = 900  // numbers 1..900 are sent while the uplink refuses
	flappingLast  = 1075 // the rest while it flaps
	linesSensors  = 2    // those that speak through mosquitto_pub
	linesBatch    = 65
	linesBatches  = 5
	readingsTotal = sensorsCount*flappingLast + linesSensors*linesBatch*linesBatches

	flapping   = 20 * time.Second
	drainMax   = 2 * time.Minute // from the uplink's quiet to an empty queue
	memoryMax  = 150 << 20
	sendWindow = 20  // unacknowledged readings of a sensor, as in sensors.py
	readWindow = 50  // of the local reader, as in reader.py
	linkWindow = 256 // of the shovel, as in the configuration below
)

const storyTopology = `
[[queue]]
name = "uplink"
durable = true

[[binding]]
source = "amq.topic"
destination = "uplink"
key = "#"

[[shovel]]
name = "cloud"
source = { queue = "uplink" }
target = { uri = "%s", exchange = "site" }
prefetch = 256
reconnect_max = "5s"
`

// TestStory is what the product is for. A site is offline; twenty sensors go
// on, and a local program reads along; the gateway loses its process three
// times; then the uplink comes back, badly, and it happens once more. In the end the cloud and the local
// program have every acknowledged reading in each sensor's order, and nobody
// had to repair anything.
//
// With SOAK set to a time, the story is told again and again for so long, each
// time with other flaps.
func TestStory(t *testing.T) {
	t.Parallel()
	soak := time.Duration(0)
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if soak, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK: %v", err)
		}
	}
	end := time.Now().Add(soak)
	for seed := 1; seed == 1 || time.Now().Before(end) && !t.Failed(); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { tellStory(t, seed) })
	}
}

func tellStory(t *testing.T, seed int) {
	s := newStory(t)

	refusing := startUplink(t, s.link, s.cloudAddr, "-script", "refuse 1h")
	s.sensors(t, 1, offlineLast, 0)
	s.killAt(t, readingsTotal/10)
	s.lines(t)
	s.killAt(t, readingsTotal*3/10)
	s.lines(t)
	s.killAt(t, readingsTotal*6/10)
	s.lines(t)
	s.wait(t)
	refusing.proc.kill()

	back := startUplink(t, s.link, s.cloudAddr, "-random", flapping.String(), "-seed", strconv.Itoa(seed))
	quiet := time.Now().Add(flapping + 3*time.Second) // the last step may run over
	s.sensors(t, offlineLast+1, flappingLast, flapping.Seconds()/(flappingLast-offlineLast))
	s.lines(t)
	s.killAt(t, readingsTotal*95/100)
	s.lines(t)
	s.wait(t)
	if got := s.book.count(); got != readingsTotal {
		t.Fatalf("%d readings were acknowledged, want %d", got, readingsTotal)
	}
	until(t, time.Until(quiet)+drainMax, "everything is in the cloud", func() bool { return s.cloud.covers(s.book) })
	until(t, patience, "everything was read locally", func() bool { return s.local.covers(s.book) })
	s.judge(t, back.accepted(t))
}

// story is the stage: the gateway, the cloud, who writes and who reads.
type story struct {
	gate      *gateway
	link      string // where the gateway believes the cloud to be
	cloudAddr string
	book      *ledger
	cloud     arrivals
	local     arrivals
	reader    *process
	writers   []*process
	batch     int // of mosquitto_pub's lines
	kills     int
}

func newStory(t *testing.T) *story {
	cloud := lab.reference(t)
	s := &story{link: freeAddr(), cloudAddr: cloud.addr, book: newLedger()}
	for i := range sensorsCount {
		s.book.offer(sensorName(i), flappingLast)
	}
	for i := range linesSensors {
		s.book.offer(linesName(i), linesBatch*linesBatches)
	}
	s.receive(t, cloud)
	s.gate = openGateway(t, fmt.Sprintf(storyTopology, "amqp://guest:guest@"+s.link+"/"))
	s.reader = startPeer(t, python("reader.py", s.gate.amqp(), "local"), func(line string) {
		if text, ok := strings.CutPrefix(line, "got "); ok {
			s.local.add(text)
		}
	})
	until(t, patience, "the reader has bound its queue and reads", func() bool {
		q, err := queueState(s.gate.amqp(), "local")
		return err == nil && q.Consumers == 1
	})
	return s
}

func sensorName(i int) string { return fmt.Sprintf("s%02d", i) }
func linesName(i int) string  { return fmt.Sprintf("m%02d", i) }

// receive declares the cloud's side and collects what arrives there.
func (s *story) receive(t *testing.T, cloud *rabbit) {
	conn, err := amqp091.Dial(cloud.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	must(t, ch.ExchangeDeclare("site", "topic", true, false, false, false, nil))
	q, err := ch.QueueDeclare("telemetry", true, false, false, false, nil)
	must(t, err)
	_, err = ch.QueuePurge(q.Name, false)
	must(t, err)
	must(t, ch.QueueBind(q.Name, "plant.*.temp", "site", false, nil))
	deliveries, err := ch.Consume(q.Name, "", true, false, false, false, nil)
	must(t, err)
	go func() { // ends when the connection is closed
		for d := range deliveries {
			s.cloud.add(string(d.Body))
		}
	}()
}

// sensors starts the paho clients, which send their numbers first..last.
func (s *story) sensors(t *testing.T, first, last int, pause float64) {
	names := make([]string, sensorsCount)
	for i := range names {
		names[i] = sensorName(i)
	}
	host, port, err := net.SplitHostPort(s.gate.mqtt())
	must(t, err)
	cmd := python("sensors.py", host, port, strings.Join(names, ","),
		strconv.Itoa(first), strconv.Itoa(last), strconv.FormatFloat(pause, 'f', 3, 64))
	s.writers = append(s.writers, startPeer(t, cmd, func(line string) {
		s.book.note(line)
	}))
}

// wait waits until all sensors have their acknowledgements.
func (s *story) wait(t *testing.T) {
	t.Helper()
	for _, w := range s.writers {
		select {
		case <-w.done:
		case <-time.After(2 * drainMax):
			t.Fatalf("the sensors are stuck with %d readings acknowledged:\n%s\nleveret:\n%s",
				s.book.count(), w.output(), s.gate.proc.output())
		}
		if code := w.exitCode(); code != 0 {
			t.Fatalf("the sensors ended with code %d:\n%s", code, w.output())
		}
	}
	s.writers = nil
}

// killAt kills the broker as soon as so many readings are acknowledged, and
// starts it again on the same ports and data.
func (s *story) killAt(t *testing.T, acknowledged int) {
	t.Helper()
	until(t, 2*time.Minute, fmt.Sprintf("%d readings are acknowledged", acknowledged), func() bool {
		must(t, s.gate.alive())
		return s.book.count() >= acknowledged
	})
	s.gate.kill()
	s.kills++
	took := s.gate.mustStart(t)
	t.Logf("killed at %d acknowledged readings, serving again after %v", s.book.count(), took.Round(time.Millisecond))
}

// lines publishes the next batch of each mosquitto_pub sensor. Its exit code 0
// stands for the acknowledgement of all lines.
func (s *story) lines(t *testing.T) {
	t.Helper()
	first := s.batch*linesBatch + 1
	s.batch++
	var wg sync.WaitGroup
	for i := range linesSensors {
		wg.Go(func() { s.publishLines(t, linesName(i), first) })
	}
	wg.Wait()
}

func (s *story) publishLines(t *testing.T, name string, first int) {
	var input strings.Builder
	for n := first; n < first+linesBatch; n++ {
		fmt.Fprintln(&input, reading{name, n})
	}
	host, port, _ := net.SplitHostPort(s.gate.mqtt())
	cmd := exec.Command("mosquitto_pub", "-h", host, "-p", port, "-i", name, "-V", "mqttv311", "-q", "1", "-t", "plant/"+name+"/temp", "-l")
	cmd.Stdin = strings.NewReader(input.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
		return
	}
	for n := first; n < first+linesBatch; n++ {
		s.book.promise(reading{name, n})
	}
}

// judge looks at what the cloud and the reader have in the end.
func (s *story) judge(t *testing.T, links int) {
	t.Helper()
	// A sensor sends its window again after each kill; the reader is given its
	// unacknowledged ones again; the shovel sends its window again after each
	// kill and on each new link.
	resent := s.kills * sensorsCount * sendWindow
	s.book.judge(&s.local).check(t, "local reader", resent+s.kills*readWindow)
	s.book.judge(&s.cloud).check(t, "cloud", resent+(s.kills+links)*linkWindow)
	until(t, patience, "the uplink's queue is empty", func() bool {
		n, err := queueDepth(s.gate.amqp(), "uplink")
		return err == nil && n == 0
	})
	s.gate.mustStop(t)
	t.Logf("%d connections over the uplink, at most %d MiB resident, %s on disk",
		links, s.gate.peak>>20, diskUsage(t, s.gate.data()))
	if s.gate.peak > memoryMax {
		t.Errorf("leveret held %d MiB, the limit is %d MiB", s.gate.peak>>20, memoryMax>>20)
	}
}

func diskUsage(t testing.TB, dir string) string {
	out, _ := run(t, patience, "", "du", "-sh", filepath.Clean(dir))
	size, _, _ := strings.Cut(out, "\t")
	return size
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// queueDepth is how many messages are ready in the queue.
func queueDepth(url, queue string) (int, error) {
	q, err := queueState(url, queue)
	return q.Messages, err
}

// queueState asks with a passive declaration.
func queueState(url, queue string) (amqp091.Queue, error) {
	conn, err := amqp091.Dial(url)
	if err != nil {
		return amqp091.Queue{}, err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return amqp091.Queue{}, err
	}
	return ch.QueueDeclarePassive(queue, true, false, false, false, nil)
}
