package edge

import (
	"fmt"
	"os"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/amqp/broker"
	remote "leveret/bridge/remote/amqp091"
	"leveret/edge/admin"
	"leveret/edge/config"
	"leveret/spool/mem"
)

// amqpDoor is where AMQP clients come in.
func (b *box) amqpDoor() string {
	b.t.Helper()
	for _, l := range b.status().Listeners {
		if l.Door == "amqp" {
			return l.Address
		}
	}
	b.t.Fatal("no amqp door")
	return ""
}

// shovel is the one shovel as the status tells it.
func (b *box) shovel() (s admin.Shovel) {
	b.t.Helper()
	if list := b.status().Shovels; len(list) == 1 {
		return list[0]
	}
	return s
}

// command sends a message that must be taken.
func command(t *testing.T, ch *amqp091.Channel, exchange, key, body string) {
	t.Helper()
	c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Wait() {
		t.Fatalf("%q is refused", body)
	}
}

// TestCommandsComeDown: a shovel takes from a queue of another broker, which is
// one of ours here; what this one can never take goes to the dead letters over
// there; the queue and the shovel change while both run.
func TestCommandsComeDown(t *testing.T) {
	cloud := newBox(t, `
[[exchange]]
name = "sites"
type = "topic"
[[queue]]
name = "commands"
arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "dead" }
[[queue]]
name = "dead"
`)
	text, err := os.ReadFile(cloud.file)
	if err != nil {
		t.Fatal(err)
	}
	larger := strings.Replace(string(text), `"tiny"`, `"small"`, 1) // takes larger messages
	if err := os.WriteFile(cloud.file, []byte(larger), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud.start()
	defer cloud.stop()
	up, err := cloud.dial("guest:guest")
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Confirm(false); err != nil {
		t.Fatal(err)
	}
	shovelFrom := func(source string) string {
		return fmt.Sprintf("[[queue]]\nname = \"in\"\n[[shovel]]\nname = \"down\"\nreconnect_min = \"10ms\"\ntarget = { exchange = \"\", key = \"in\" }\n"+
			"source = { uri = \"amqp://guest:guest@%s/\", %s }\n", cloud.amqpDoor(), source)
	}
	site := newBox(t, shovelFrom(`queue = "commands", dead_letters = true`))
	site.start()
	defer site.stop()
	down, err := site.dial("guest:guest")
	if err != nil {
		t.Fatal(err)
	}
	comes := func(want string) {
		t.Helper()
		site.until(want+" comes", func() bool {
			m, ok, err := down.Get("in", true)
			if err != nil || ok && string(m.Body) != want {
				t.Fatalf("came %q, %v, want %q", m.Body, err, want)
			}
			return ok
		})
	}
	command(t, up, "", "commands", "open")
	command(t, up, "", "commands", strings.Repeat("x", 5<<20))
	command(t, up, "", "commands", "close")
	comes("open")
	comes("close")
	site.until("the large one is told", func() bool { return site.shovel().DeadLettered == 1 })
	if s := site.shovel(); s.State != "live" || s.LagUnknown || !strings.HasPrefix(s.Source, "queue commands at amqp://guest@127.0.0.1:") {
		t.Errorf("the status tells %+v", s)
	}
	cloud.until("it is with the dead letters", func() bool {
		m, ok, err := up.Get("dead", true)
		return err == nil && ok && len(m.Body) == 5<<20
	})

	site.write(shovelFrom(`exchange = "sites", key = "site1.#", arguments = { x-expires = 60000 }`))
	var own string
	cloud.until("the shovel has a queue of its own", func() bool {
		for _, q := range cloud.status().Queues {
			if strings.HasPrefix(q.Name, "leveret-down-") && q.Consumers == 1 {
				own = q.Name
			}
		}
		return own != ""
	})
	command(t, up, "sites", "site1.valve", "half")
	comes("half")

	site.write(shovelFrom(`queue = "gone"`))
	site.until("what is missing is told", func() bool { return strings.Contains(site.shovel().LastError, "no queue 'gone'") })
	if s := site.shovel(); !s.LagUnknown || s.Sent != 0 {
		t.Errorf("the status tells %+v", s)
	}
}

// TestWhatReturnsIsNotTakenAgain: a shovel that goes up and one that comes down
// make a circle. A message goes round once.
func TestWhatReturnsIsNotTakenAgain(t *testing.T) {
	cloud := newBox(t, "[[queue]]\nname = \"round\"\n")
	cloud.start()
	defer cloud.stop()
	site := newBox(t, fmt.Sprintf(`
[[queue]]
name = "up"
[[binding]]
source = "amq.topic"
destination = "up"
key = "#"
[[shovel]]
name = "up"
source = { queue = "up" }
target = { uri = "amqp://guest:guest@%[1]s/", key = "round" }
[[shovel]]
name = "down"
source = { uri = "amqp://guest:guest@%[1]s/", queue = "round" }
target = { exchange = "amq.topic" }
`, cloud.amqpDoor()))
	site.start()
	defer site.stop()
	ch, err := site.dial("guest:guest")
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	command(t, ch, "amq.topic", "a", "round and round")
	site.until("it came back and was not taken", func() bool {
		list := site.status().Shovels
		return list[0].Name == "down" && list[0].Ignored == 1 && list[1].Sent == 1
	})
	if list := site.status().Shovels; list[0].Sent != 0 {
		t.Errorf("it was taken again: %+v", list[0])
	}
}

// TestOffsetsOutliveAStart: a stream goes on where it was, another one begins
// anew, and a shovel that is gone is forgotten.
func TestOffsetsOutliveAStart(t *testing.T) {
	uri, err := config.NewURI("amqp://u:secret@h/")
	if err != nil {
		t.Fatal(err)
	}
	shovel := func(name, begin string) config.Shovel {
		return config.Shovel{Name: name, Source: config.ShovelSource{
			Remote: config.Remote{URI: uri}, RemoteQueue: config.RemoteQueue{StreamOffset: begin},
		}}
	}
	log := mem.New().Auto()
	start := func(list ...config.Shovel) (*offsets, map[string]*remote.SourceOptions) {
		b, err := broker.Open(broker.Options{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		o, all := readOffsets(b, list), map[string]*remote.SourceOptions{}
		for _, c := range list {
			all[c.Name] = &remote.SourceOptions{Queue: "q"}
			o.follow(&c, all[c.Name])
		}
		return o, all
	}
	a, b := shovel("a", "first"), shovel("b", "first")
	_, all := start(a, b)
	for _, name := range []string{"a", "b"} {
		if at := all[name].Resume(); at != 0 {
			t.Errorf("%s begins at %d", name, at)
		}
		all[name].Settled(7)
		all[name].Settled(70)
	}
	log = log.Crash()
	_, all = start(a, shovel("b", "last"))
	if at := all["a"].Resume(); at != 70 {
		t.Errorf("a goes on at %d", at)
	}
	if at := all["b"].Resume(); at != 0 {
		t.Errorf("another stream goes on at %d", at)
	}
	log = log.Crash()
	start(b)
	log = log.Crash()
	if o, _ := start(a, b); len(o.at) != 1 {
		t.Errorf("remembered: %v", o.at)
	}
}
