package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	// groupMemory is less than the sum of the smallest profile's bounds: only the
	// alarm keeps a broker in it alive.
	groupMemory     = 72 << 20
	floodPublishers = 24
	floodHoarders   = 40              // each may hold 4 MiB of the smallest profile
	floodDeaf       = 10              // read nothing
	floodSensors    = 24              // over MQTT, with large packets
	floodMax        = 3 * time.Minute // until the alarm rings, and until it is over
)

// floodBodies are what publishers send, one size each in turn.
var floodBodies = []int{1 << 10, 16 << 10, 1 << 20, 4 << 20}

// TestMemoryAlarm floods a broker that has little memory, by its control group:
// publishers send transient messages as fast as they can, consumers take them and
// neither acknowledge nor give them back, others do not read at all. Nobody is
// killed, publishers are held and told why, and all goes on when the consumers do.
func TestMemoryAlarm(t *testing.T) {
	group := makeMemoryGroup(t, groupMemory)
	g, err := newGateway(t.TempDir(), `profile = "tiny"`)
	must(t, err)
	g.launch = group.launch()
	g.mustStart(t)
	t.Cleanup(g.kill)
	setUpFlood(t, g)

	var hoarders []*hoarder
	for range floodHoarders {
		hoarders = append(hoarders, startHoarder(t, g))
	}
	for range floodDeaf {
		startDeaf(t, g)
	}
	ctx, stop := context.WithCancel(t.Context())
	var publishers sync.WaitGroup
	defer func() { stop(); publishers.Wait() }()
	var blocked [floodPublishers]atomic.Bool
	var sent atomic.Int64
	for i := range floodPublishers {
		socket, err := net.Dial("tcp", g.doors["amqp"])
		must(t, err)
		conn, err := amqp091.Open(socket, amqp091.Config{
			Vhost: "/", SASL: []amqp091.Authentication{&amqp091.PlainAuth{Username: "guest", Password: "guest"}},
		})
		must(t, err)
		publishers.Go(func() {
			for b := range conn.NotifyBlocked(make(chan amqp091.Blocking, 16)) {
				blocked[i].Store(b.Active)
			}
		})
		publishers.Go(func() {
			defer socket.Close() // the library's Close waits for a publish that is held
			defer context.AfterFunc(ctx, func() { socket.Close() })()
			flood(conn, make([]byte, floodBodies[i%len(floodBodies)]), &sent)
		})
	}

	for i := range floodSensors {
		publishers.Go(func() { floodMQTT(ctx, g.mqtt(), fmt.Sprint("flood-", i), &sent) })
	}
	rings := func() bool {
		must(t, g.alive())
		return strings.Contains(troublesOf(t, g), `"memory"`)
	}
	until(t, floodMax, "memory is low, and all publishers are told to wait", func() bool {
		for i := range blocked {
			if !blocked[i].Load() { // be it for the disk, at first
				return false
			}
		}
		return rings()
	})
	until(t, floodMax, "publishers are held", func() bool {
		must(t, g.alive())
		before := sent.Load()
		time.Sleep(time.Second)
		return sent.Load() == before
	})
	t.Logf("held after %d messages; of %d MiB the group used at most %d, the process had %d resident",
		sent.Load(), groupMemory>>20, group.peak(t)>>20, g.proc.memory("VmHWM")>>20)
	for _, h := range hoarders {
		h.let.Store(true)
		must(t, h.ch.Ack(0, true))
	}
	before := sent.Load()
	until(t, floodMax, "publishers go on", func() bool { return !rings() && sent.Load() > before+floodPublishers })
	stop()
	publishers.Wait()
	must(t, g.alive())
	if kills := group.kills(t); kills != 0 {
		t.Errorf("the kernel killed %d processes for want of memory", kills)
	}
	g.mustStop(t)
}

// troublesOf is what the broker says is wrong, as JSON.
func troublesOf(t *testing.T, g *gateway) string {
	t.Helper()
	reply, err := http.Get(g.admin() + "/api/status")
	must(t, err)
	defer reply.Body.Close()
	var status struct{ Troubles json.RawMessage }
	must(t, json.NewDecoder(reply.Body).Decode(&status))
	return string(status.Troubles)
}

func setUpFlood(t *testing.T, g *gateway) {
	t.Helper()
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	_, err = ch.QueueDeclare("flood", false, false, false, false, nil)
	must(t, err)
	must(t, ch.QueueBind("flood", "flood", "amq.topic", false, nil))
}

// flood publishes until the connection ends; a channel that is closed because too
// many large messages are under way at once is opened anew.
func flood(conn *amqp091.Connection, body []byte, sent *atomic.Int64) {
	for !conn.IsClosed() {
		ch, err := conn.Channel()
		for err == nil {
			err = ch.PublishWithContext(context.Background(), "", "flood", false, false, amqp091.Publishing{Body: body})
			sent.Add(1)
		}
	}
}

// floodMQTT publishes large packets of QoS 0. Who is held in the middle of one for
// too long is sent away, and comes again.
func floodMQTT(ctx context.Context, addr, client string, sent *atomic.Int64) {
	packet := appendPacket(nil, 0x30, append(mqttString(nil, "flood"), make([]byte, 900<<10)...))
	for ctx.Err() == nil {
		p, err := dialMQTT(addr, client)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, p.close)
		for err == nil {
			if _, err = p.conn.Write(packet); err == nil {
				sent.Add(1)
			}
		}
		stop()
		p.close()
	}
}

// startDeaf consumes and reads nothing: the broker's socket is full, then what
// waits for it.
func startDeaf(t *testing.T, g *gateway) {
	t.Helper()
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	t.Cleanup(func() { conn.CloseDeadline(time.Now()) })
	ch, err := conn.Channel()
	must(t, err)
	_, err = ch.Consume("flood", "", true, false, false, false, nil)
	must(t, err)
}

// hoarder consumes and acknowledges nothing until it is let.
type hoarder struct {
	ch  *amqp091.Channel
	let atomic.Bool
}

func startHoarder(t *testing.T, g *gateway) *hoarder {
	t.Helper()
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	h := &hoarder{}
	h.ch, err = conn.Channel()
	must(t, err)
	deliveries, err := h.ch.Consume("flood", "", false, false, false, false, nil)
	must(t, err)
	go func() {
		for d := range deliveries {
			if h.let.Load() {
				_ = d.Ack(true)
			}
		}
	}()
	return h
}

// memoryGroup is a control group of the test's own, of version 2 or 1.
type memoryGroup struct {
	dir string
	v2  bool
}

// makeMemoryGroup makes a group below the test's own, and removes it after all
// that runs in it has ended.
func makeMemoryGroup(t *testing.T, limit int64) *memoryGroup {
	t.Helper()
	g, err := newMemoryGroup(limit)
	if err != nil {
		t.Fatalf("a control group for memory: %v (it wants root, and the memory controller delegated to this test's group)", err)
	}
	t.Cleanup(func() {
		until(t, stopMax, "the control group is empty", func() bool {
			err := os.Remove(g.dir)
			return err == nil || errors.Is(err, os.ErrNotExist)
		})
	})
	return g
}

func newMemoryGroup(limit int64) (*memoryGroup, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	name := "leveret-test-" + strconv.Itoa(os.Getpid())
	var tried error
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var g *memoryGroup
		var file string
		switch parts[1] {
		case "memory":
			g, file = &memoryGroup{dir: filepath.Join("/sys/fs/cgroup/memory", parts[2], name)}, "memory.limit_in_bytes"
		case "":
			g, file = &memoryGroup{dir: filepath.Join("/sys/fs/cgroup", name), v2: true}, "memory.max"
		default:
			continue
		}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			tried = errors.Join(tried, err)
			continue
		}
		if err := os.WriteFile(filepath.Join(g.dir, file), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
			tried = errors.Join(tried, err, os.Remove(g.dir))
			continue
		}
		return g, nil
	}
	return nil, tried
}

// launch is what a command line begins with to run in the group.
func (m *memoryGroup) launch() []string {
	return []string{"/bin/sh", "-c", fmt.Sprintf(`echo $$ >'%s/cgroup.procs' && exec "$@"`, m.dir), "sh"}
}

func (m *memoryGroup) peak(t *testing.T) int64 {
	if m.v2 {
		return m.figure(t, "memory.peak", "")
	}
	return m.figure(t, "memory.max_usage_in_bytes", "")
}

// kills is how many processes the kernel has killed in the group.
func (m *memoryGroup) kills(t *testing.T) int64 {
	if m.v2 {
		return m.figure(t, "memory.events", "oom_kill ")
	}
	return m.figure(t, "memory.oom_control", "oom_kill ")
}

func (m *memoryGroup) figure(t *testing.T, file, prefix string) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, file))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			must(t, err)
			return n
		}
	}
	t.Fatalf("%s says nothing of %q:\n%s", file, prefix, text)
	return 0
}
