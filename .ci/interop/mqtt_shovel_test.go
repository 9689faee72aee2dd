package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	plantSensors = 5
	plantLast    = 1000 // numbers of each: 5,000 messages
	plantBatch   = 100
	plantWindow  = 64 // of the shovel, as in the configuration below
)

const plantTopology = `
[[queue]]
name = "in"

[[binding]]
source = "amq.topic"
destination = "in"
key = "#"

[[shovel]]
name = "plant"
prefetch = 64
reconnect_max = "2s"
source = { uri = "mqtt://%s", topics = ["plant/#"] }
target = { exchange = "amq.topic" }
`

// TestMosquittoAsSource: a Mosquitto that is there already is emptied into an
// exchange, over a connection that is cut again and again, by a broker that is
// killed twice. Everything that Mosquitto took arrives, in the order of each
// topic; what comes twice says so.
func TestMosquittoAsSource(t *testing.T) {
	t.Parallel()
	plant, link := startSite(t), freeAddr()
	steady := startUplink(t, link, plant, "-script", "ok 1h")
	g := openGateway(t, fmt.Sprintf(plantTopology, link))
	carried(t, mosquittoTools{plant, "mqttv5"}, g, "plant/probe")
	steady.proc.kill()

	flaps := startUplink(t, link, plant, "-random", "12s", "-seed", "5")
	book := newLedger()
	for batch := range plantLast / plantBatch {
		var wg sync.WaitGroup
		for i := range plantSensors {
			wg.Go(func() { publishPlant(t, book, plant, fmt.Sprintf("p%d", i), batch*plantBatch+1) })
		}
		wg.Wait()
		if batch == 3 || batch == 7 {
			g.kill()
			g.mustStart(t)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if book.count() != plantSensors*plantLast {
		t.Fatalf("Mosquitto took %d messages", book.count())
	}
	all := emptyOut(t, g, book, plantSensors*plantLast)
	links := flaps.accepted(t)
	v := book.judge(&all.arrivals)
	// Mosquitto sends up to twice the window when a session goes on.
	v.check(t, "exchange", (links+2)*2*plantWindow)
	if all.unmarked > 0 {
		t.Errorf("%d of %d duplicates are not marked", all.unmarked, v.duplicate)
	}
	if v.duplicate == 0 && links < 3 {
		t.Errorf("nothing happened on %d connections", links)
	}
	t.Logf("%d connections, 2 kills, %d duplicates, all marked or with their first id", links, v.duplicate)
}

// publishPlant sends a batch of a sensor's readings to a broker. Exit code 0
// stands for the acknowledgement of all lines.
func publishPlant(t *testing.T, book *ledger, addr, name string, first int) {
	book.offer(name, first+plantBatch-1)
	var input strings.Builder
	for n := first; n < first+plantBatch; n++ {
		fmt.Fprintln(&input, reading{name, n})
	}
	cmd := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port(addr), "-V", "mqttv5", "-i", name, "-q", "1", "-t", "plant/"+name, "-l")
	cmd.Stdin = strings.NewReader(input.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
		return
	}
	for n := first; n < first+plantBatch; n++ {
		book.promise(reading{name, n})
	}
}

// emptied is what was in a queue.
type emptied struct {
	arrivals
	unmarked int // came again with another id and without a mark
}

// emptyOut reads the queue "in" until everything promised has come and nothing
// more does for a second.
func emptyOut(t *testing.T, g *gateway, book *ledger, n int) *emptied {
	t.Helper()
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	deliveries, err := ch.Consume("in", "", true, false, false, false, nil)
	must(t, err)
	all, ids := &emptied{}, map[string]string{}
	late := time.After(3 * patience)
	for {
		select {
		case d := <-deliveries:
			body := string(d.Body)
			if body == probe {
				continue
			}
			marked := d.Headers["x-leveret-redelivered"] == true
			if first, again := ids[body]; again && first != d.MessageId && !marked {
				all.unmarked++
			} else if !again {
				ids[body] = d.MessageId
			}
			if d.MessageId == "" {
				t.Fatalf("message %q has no id", body)
			}
			all.add(body)
		case <-time.After(time.Second):
			if len(ids) >= n {
				return all
			}
		case <-late:
			t.Fatalf("%d of %d messages came: %v\n%s", len(ids), n, book.judge(&all.arrivals), g.proc.output())
		}
	}
}

// startSite is a Mosquitto as sites have it, with room for what waits.
func startSite(t *testing.T, more ...string) string {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr()
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\nmax_queued_messages 100000\n%s", port(addr), strings.Join(more, "\n"))
	must(t, os.WriteFile(conf, []byte(text), 0o600))
	startPeer(t, exec.Command("/usr/sbin/mosquitto", "-c", conf), nil)
	until(t, patience, "Mosquitto answers", func() bool { return answers(addr) })
	return addr
}

// shovelState is what the status tells of a shovel.
type shovelState struct {
	Name, State, Source, Target string
	Sent, Ignored               uint64
	LastError                   string `json:"last_error"`
}

func shovelOf(t *testing.T, g *gateway, name string) (s shovelState) {
	t.Helper()
	reply, err := http.Get(g.admin() + "/api/status")
	must(t, err)
	defer reply.Body.Close()
	var status struct{ Shovels []shovelState }
	must(t, json.NewDecoder(reply.Body).Decode(&status))
	for _, s := range status.Shovels {
		if s.Name == name {
			return s
		}
	}
	return s
}

func (g *gateway) reconfigure(t *testing.T, topology string) {
	t.Helper()
	must(t, os.WriteFile(g.config(), []byte(topology), 0o600))
}

// TestTwoGatewaysDoNotLoop: each takes everything from the other. A message is
// seen once at each, whoever published it.
func TestTwoGatewaysDoNotLoop(t *testing.T) {
	t.Parallel()
	a, b := openGateway(t, ""), openGateway(t, "")
	from := func(other *gateway) string {
		return fmt.Sprintf("[[shovel]]\nname = \"other\"\nsource = { uri = \"mqtt://%s\", topics = [\"#\"] }\ntarget = { exchange = \"amq.topic\" }\n", other.mqtt())
	}
	a.reconfigure(t, from(b))
	b.reconfigure(t, from(a))
	tools := []mosquittoTools{{a.mqtt(), "mqttv5"}, {b.mqtt(), "mqttv311"}}
	carried(t, tools[1], a, "probe")
	carried(t, tools[0], b, "probe")
	for _, m := range tools {
		m.leaveBridge(t, "x/#")
	}
	const n = 20
	var want []string
	for i := range n {
		text, more := strconv.Itoa(i), []string{"-q", "1"}
		if i%4 == 0 { // a name that is there twice makes the properties a list, which must not hide the path
			more = append(more, "-D", "publish", "user-property", "k", "1", "-D", "publish", "user-property", "k", "2")
		}
		tools[i%2].pub(t, "x/y", text, more...)
		want = append(want, text)
	}
	time.Sleep(2 * time.Second) // for what might still go round
	for i, m := range tools {
		m.pub(t, "x/end", "end", "-q", "1")
		s := m.sub(t, m.bridgeArgs("x/#")...)
		seen := s.countAll(t, append(want, "end"))
		for _, text := range want {
			if seen[text] != 1 {
				t.Errorf("broker %d: message %s came %d times", i, text, seen[text])
			}
		}
		if seen["end"] == 0 || seen["end"] > 2 {
			t.Errorf("broker %d: the end came %d times: %v", i, seen["end"], seen)
		}
	}
	if shovelOf(t, a, "other").Ignored == 0 || shovelOf(t, b, "other").Ignored == 0 {
		t.Errorf("nothing came back: %+v, %+v", shovelOf(t, a, "other"), shovelOf(t, b, "other"))
	}
}

// TestShovelToMosquitto: a queue is emptied into a Mosquitto, over a connection
// that is cut; topics, retained values and properties are as they were.
func TestShovelToMosquitto(t *testing.T) {
	t.Parallel()
	cloud, link := startSite(t), freeAddr()
	reader := mosquittoTools{cloud, "mqttv5"}
	reader.leaveBridge(t, "site7/plant/#")
	flaps := startUplink(t, link, cloud, "-random", "8s", "-seed", "3")
	g := openGateway(t, fmt.Sprintf(`
[[queue]]
name = "up"
[[binding]]
source = "amq.topic"
destination = "up"
key = "plant.#"
[[shovel]]
name = "up"
prefetch = 64
reconnect_max = "2s"
source = { queue = "up" }
target = { uri = "mqtt://%s", prefix = "site7/" }
`, link))
	book, got := newLedger(), &arrivals{}
	for batch := range 10 {
		publishPlant(t, book, g.mqtt(), "u", batch*plantBatch+1)
		if batch == 5 {
			g.kill()
			g.mustStart(t)
		}
		time.Sleep(200 * time.Millisecond)
	}
	mosquittoTools{g.mqtt(), "mqttv5"}.pub(t, "plant/kept", "a value", "-r", "-q", "1", "-D", "publish", "user-property", "unit", "C")
	until(t, 2*patience, "the queue is empty", func() bool {
		n, err := queueDepth(g.amqp(), "up")
		return err == nil && n == 0 && shovelOf(t, g, "up").State == "live"
	})
	sub := startPeer(t, exec.Command("mosquitto_sub", reader.args(append(reader.bridgeArgs("site7/plant/#"), "-F", "%p")...)...), func(line string) {
		if line != "a value" {
			got.add(line)
		}
	})
	until(t, 2*patience, "everything is in the cloud", func() bool { return got.covers(book) })
	sub.kill()
	book.judge(got).check(t, "cloud", (flaps.accepted(t)+2)*plantWindow)
	reader.expect(t, []string{"site7/plant/kept a value"}, "-t", "site7/plant/kept")
}

// TestBothWaysWithMosquitto joins a Mosquitto and leveret in both directions, by
// two shovels or by Mosquitto's own bridge. Whoever publishes, readers of either
// side see each message once.
func TestBothWaysWithMosquitto(t *testing.T) {
	t.Parallel()
	t.Run("shovels", func(t *testing.T) {
		m := startSite(t)
		g := openGateway(t, fmt.Sprintf(`
[[queue]]
name = "out"
[[binding]]
source = "amq.topic"
destination = "out"
key = "both.#"
[[shovel]]
name = "from"
source = { uri = "mqtt://%s", topics = ["both/#"] }
target = { exchange = "amq.topic" }
[[shovel]]
name = "to"
source = { queue = "out" }
target = { uri = "mqtt://%s", client_id = "to" }
`, m, m))
		until(t, patience, "the shovel is live", func() bool { return shovelOf(t, g, "to").State == "live" })
		carried(t, mosquittoTools{m, "mqttv5"}, g, "both/probe")
		seenOnce(t, mosquittoTools{m, "mqttv5"}, mosquittoTools{g.mqtt(), "mqttv5"})
	})
	for _, version := range mqttVersions {
		t.Run("bridge "+version, func(t *testing.T) {
			g := openGateway(t, "")
			site := mosquittoTools{g.mqtt(), version}
			site.pub(t, "both/ready", "yes", "-r", "-q", "1")
			own := startSite(t, "connection leveret", "address "+g.mqtt(), "bridge_protocol_version "+map[string]string{"mqttv311": "mqttv311", "mqttv5": "mqttv50"}[version], "remote_clientid bridge",
				"cleansession false", "notifications false", "restart_timeout 1", "topic both/# both 2")
			cellar := mosquittoTools{own, version}
			cellar.expect(t, []string{"both/ready yes"}, "-t", "both/ready")
			seenOnce(t, cellar, site)
		})
	}
}

// seenOnce publishes on both sides and reads on both.
func seenOnce(t *testing.T, sides ...mosquittoTools) {
	t.Helper()
	var readers []*subscription
	for _, m := range sides {
		readers = append(readers, m.sub(t, "-q", "2", "-t", "both/x"))
	}
	var want []string
	for k := range 10 {
		want = append(want, strconv.Itoa(k))
		sides[k%2].pub(t, "both/x", want[k], "-q", "1")
	}
	for i, s := range readers {
		seen := s.countAll(t, want)
		for _, text := range want {
			if seen[text] != 1 {
				t.Errorf("side %d saw message %s %d times", i, text, seen[text])
			}
		}
	}
}

// countAll waits until each of the texts has come, and a while for what might
// come again, and counts.
func (s *subscription) countAll(t *testing.T, want []string) map[string]int {
	t.Helper()
	count := func() map[string]int {
		s.mu.Lock()
		defer s.mu.Unlock()
		seen := map[string]int{}
		for _, text := range s.got {
			seen[text]++
		}
		return seen
	}
	until(t, patience, fmt.Sprintf("all of %q come", want), func() bool {
		seen := count()
		return !slices.ContainsFunc(want, func(text string) bool { return seen[text] == 0 })
	})
	time.Sleep(2 * time.Second)
	s.proc.kill()
	return count()
}

// probe is what carried sends.
const probe = "does it come?"

// carried waits until what is published at the far broker arrives at the
// gateway: before its SUBSCRIBE is answered a shovel is live, and nothing is
// kept for it.
func carried(t *testing.T, far mosquittoTools, g *gateway, topic string) {
	t.Helper()
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	must(t, ch.QueueBind(q.Name, strings.ReplaceAll(topic, "/", "."), "amq.topic", false, nil))
	until(t, patience, "the shovel carries a message", func() bool {
		far.pub(t, topic, probe, "-q", "1")
		time.Sleep(50 * time.Millisecond)
		_, ok, err := ch.Get(q.Name, true)
		must(t, err)
		return ok
	})
}

// TestPoisonDoesNotStopAShovel: what Mosquitto does not take, here because it is
// too large for it, is put into the dead letter queue with the reason, and what
// is behind it arrives.
func TestPoisonDoesNotStopAShovel(t *testing.T) {
	cloud := startSite(t, "max_packet_size 2000")
	reader := mosquittoTools{cloud, "mqttv5"}
	reader.leaveBridge(t, "p/#")
	g := openGateway(t, fmt.Sprintf(`
[[queue]]
name = "up"
arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "dead" }
[[queue]]
name = "dead"
[[binding]]
source = "amq.topic"
destination = "up"
key = "p.#"
[[shovel]]
name = "up"
refusal_tries = 2
reconnect_min = "100ms"
reconnect_max = "1s"
source = { queue = "up" }
target = { uri = "mqtt://%s" }
`, cloud))
	site := mosquittoTools{g.mqtt(), "mqttv5"}
	site.pub(t, "p/a", "before", "-q", "1")
	site.pub(t, "p/a", strings.Repeat("x", 5000), "-q", "1")
	site.pub(t, "p/a", "after", "-q", "1")
	reader.joinBridge(t, "p/#", "before", "after")
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	var d amqp091.Delivery
	ok := false
	until(t, patience, "the dead letter is there", func() bool {
		d, ok, err = ch.Get("dead", true)
		must(t, err)
		return ok
	})
	why, _ := d.Headers["x-leveret-refused"].(string)
	if !ok || len(d.Body) != 5000 || !strings.Contains(why, "the far side takes 2000") || d.Headers["x-first-death-reason"] != "rejected" {
		t.Errorf("the dead letter queue has %d bytes (%v), because of %q, %v", len(d.Body), ok, why, d.Headers["x-first-death-reason"])
	}
}
