package interop

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// mqttVersions are the values of -V.
var mqttVersions = []string{"mqttv311", "mqttv5"}

// TestMosquittoClients runs Mosquitto's own tools against Mosquitto and
// against leveret, in both protocol versions.
func TestMosquittoClients(t *testing.T) {
	rounds := []struct {
		name string
		run  func(mosquittoTools, *testing.T)
	}{
		{"each quality of service delivers", mosquittoTools.qualities},
		{"wildcards match", mosquittoTools.wildcards},
		{"retained values are kept and cleared", mosquittoTools.retained},
		{"a session gets what came while it was away", mosquittoTools.session},
		{"a will is told", mosquittoTools.will},
	}
	brokers := []struct {
		name string
		addr func(*testing.T) string
	}{
		{"mosquitto", func(t *testing.T) string { return startMosquitto(t) }},
		{"leveret", func(t *testing.T) string { return openGateway(t, "").mqtt() }},
	}
	for _, b := range brokers {
		t.Run(b.name, func(t *testing.T) {
			addr := b.addr(t)
			for _, version := range mqttVersions {
				for _, r := range rounds {
					t.Run(version+"/"+r.name, func(t *testing.T) { r.run(mosquittoTools{addr, version}, t) })
				}
			}
		})
	}
}

// TestMosquittoSessionSurvivesAKill: an absent session and the retained values
// are on the flash.
func TestMosquittoSessionSurvivesAKill(t *testing.T) {
	for _, version := range mqttVersions {
		t.Run(version, func(t *testing.T) {
			g := openGateway(t, "")
			m := mosquittoTools{g.mqtt(), version}
			m.leaveSession(t, "away")
			m.pub(t, "a/b", "while away", "-q", "1")
			m.pub(t, "kept", "a value", "-r", "-q", "1")
			g.kill()
			g.mustStart(t)
			m.join(t, "away", "while away")
			m.expect(t, []string{"kept a value"}, "-t", "kept")
		})
	}
}

// TestMQTTAndAMQPMeet: a topic's slashes are a routing key's dots, both ways.
func TestMQTTAndAMQPMeet(t *testing.T) {
	g := openGateway(t, "")
	m := mosquittoTools{g.mqtt(), "mqttv311"}
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	must(t, ch.QueueBind(q.Name, "plant.*.temp", "amq.topic", false, nil))
	m.pub(t, "plant/1/temp", "21.5", "-q", "1")
	d, ok, err := ch.Get(q.Name, true)
	must(t, err)
	if !ok || d.RoutingKey != "plant.1.temp" || d.Exchange != "amq.topic" || string(d.Body) != "21.5" {
		t.Errorf("got %v %s %s %q, want the reading at amq.topic with key plant.1.temp", ok, d.Exchange, d.RoutingKey, d.Body)
	}

	s := m.sub(t, "-t", "valve/+/set", "-C", "1", "-F", "%t %p")
	must(t, ch.Publish("amq.topic", "valve.7.set", false, false, amqp091.Publishing{Body: []byte("open")}))
	s.expect(t, "valve/7/set open")
}

// TestQoS2IsGranted: a subscriber that asks for QoS 2 gets it, and each message
// in the lower of its own and its publisher's quality, 3.1.1 section 4.3. To a
// group QoS 1 is the most that is granted.
func TestQoS2IsGranted(t *testing.T) {
	g := openGateway(t, "")
	for _, version := range mqttVersions {
		m := mosquittoTools{g.mqtt(), version}
		s := m.sub(t, "-t", "two/"+version, "-q", "2", "-C", "3", "-F", "%q %p")
		group := m.sub(t, "-t", "$share/g/two/"+version, "-q", "2", "-C", "3", "-F", "%q %p")
		for _, q := range []string{"2", "1", "0"} {
			m.pub(t, "two/"+version, "once", "-q", q)
		}
		s.expect(t, "2 once", "1 once", "0 once")
		group.expect(t, "1 once", "1 once", "0 once")
	}
}

// mosquittoTools is mosquitto_pub and mosquitto_sub for one broker and version.
type mosquittoTools struct{ addr, version string }

func (m mosquittoTools) args(more ...string) []string {
	return append([]string{"-h", "127.0.0.1", "-p", port(m.addr), "-V", m.version}, more...)
}

func (m mosquittoTools) pub(t testing.TB, topic, text string, more ...string) {
	t.Helper()
	if out, code := run(t, patience, "", "mosquitto_pub", m.args(append(more, "-t", topic, "-m", text)...)...); code != 0 {
		t.Fatalf("mosquitto_pub to %s ended with code %d: %s", topic, code, out)
	}
}

// subscription is a running mosquitto_sub.
type subscription struct {
	proc *process

	mu  sync.Mutex // protects the fields below
	got []string
}

// sub starts mosquitto_sub and returns when its subscription is acknowledged,
// or when it has ended: a session may have all that is wanted before that.
// With -d the tool tells about packets too; those lines begin with its name.
func (m mosquittoTools) sub(t testing.TB, more ...string) *subscription {
	t.Helper()
	s := &subscription{}
	ready := make(chan struct{})
	told := sync.OnceFunc(func() { close(ready) })
	// stdbuf, as the tool would keep its lines to itself with a pipe
	argv := append([]string{"-oL", "mosquitto_sub"}, m.args(append(more, "-d")...)...)
	s.proc = startPeer(t, exec.Command("stdbuf", argv...), func(line string) {
		switch {
		case strings.Contains(line, "received SUBACK"):
			told()
		case strings.HasPrefix(line, "Client ") || strings.HasPrefix(line, "Subscribed "):
		default:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.got = append(s.got, line)
		}
	})
	select {
	case <-ready:
	case <-s.proc.done:
	case <-time.After(patience):
		t.Fatalf("no SUBACK within %v:\n%s", patience, s.proc.output())
	}
	return s
}

// expect waits for the end of the tool and compares what it got.
func (s *subscription) expect(t testing.TB, want ...string) {
	t.Helper()
	select {
	case <-s.proc.done:
	case <-time.After(patience):
		t.Fatalf("mosquitto_sub still waits:\n%s", s.proc.output())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.got, want) {
		t.Errorf("got %q, want %q", s.got, want)
	}
}

// expect subscribes, waits for as many messages as wanted and compares. To
// want none is to wait for a second.
func (m mosquittoTools) expect(t testing.TB, want []string, more ...string) {
	t.Helper()
	more = append(more, "-F", "%t %p")
	if len(want) == 0 {
		m.sub(t, append(more, "-W", "1")...).expectNone(t)
		return
	}
	m.sub(t, append(more, "-C", fmt.Sprint(len(want)))...).expect(t, want...)
}

func (s *subscription) expectNone(t testing.TB) {
	t.Helper()
	<-s.proc.done
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.got {
		if line != "Timed out" {
			t.Errorf("got %q, want nothing", line)
		}
	}
}

func (m mosquittoTools) qualities(t *testing.T) {
	for _, q := range []string{"0", "1", "2"} {
		s := m.sub(t, "-t", "q/"+q, "-q", q, "-C", "3", "-F", "%q %p")
		for _, text := range []string{"one", "two", "three"} {
			m.pub(t, "q/"+q, text, "-q", q)
		}
		s.expect(t, q+" one", q+" two", q+" three")
	}
}

func (m mosquittoTools) wildcards(t *testing.T) {
	one := m.sub(t, "-t", "plant/+/temp", "-C", "1", "-F", "%t")
	all := m.sub(t, "-t", "plant/#", "-C", "3", "-F", "%t")
	m.pub(t, "plant/1/2/temp", "x", "-q", "1")
	m.pub(t, "plant", "x", "-q", "1")
	m.pub(t, "plant/3/temp", "x", "-q", "1")
	one.expect(t, "plant/3/temp")
	all.expect(t, "plant/1/2/temp", "plant", "plant/3/temp")
}

func (m mosquittoTools) retained(t *testing.T) {
	topic := "retained/" + m.version
	m.pub(t, topic, "first", "-r", "-q", "1")
	m.pub(t, topic, "second", "-r", "-q", "1")
	m.expect(t, []string{topic + " second"}, "-t", topic)
	if out, code := run(t, patience, "", "mosquitto_pub", m.args("-t", topic, "-r", "-n", "-q", "1")...); code != 0 {
		t.Fatalf("mosquitto_pub -n ended with code %d: %s", code, out)
	}
	m.expect(t, nil, "-t", topic)
}

// sessionArgs keep a session for an hour.
func (m mosquittoTools) sessionArgs(id string) []string {
	args := []string{"-c", "-i", id, "-q", "1", "-t", "a/b"}
	if m.version == "mqttv5" {
		args = append(args, "-x", "3600")
	}
	return args
}

// leaveSession subscribes and goes away.
func (m mosquittoTools) leaveSession(t testing.TB, id string) {
	t.Helper()
	if out, code := run(t, patience, "", "mosquitto_sub", m.args(append(m.sessionArgs(id), "-E")...)...); code != 0 {
		t.Fatalf("mosquitto_sub -E ended with code %d: %s", code, out)
	}
}

// join comes back to the session and compares what waits for it.
func (m mosquittoTools) join(t testing.TB, id string, want ...string) {
	t.Helper()
	m.sub(t, append(m.sessionArgs(id), "-C", fmt.Sprint(len(want)))...).expect(t, want...)
}

func (m mosquittoTools) session(t *testing.T) {
	id := "away-" + m.version
	m.leaveSession(t, id)
	want := []string{"one", "two", "three", "four", "five"}
	for _, text := range want {
		m.pub(t, "a/b", text, "-q", "1")
	}
	m.join(t, id, want...)
}

func (m mosquittoTools) will(t *testing.T) {
	heir := m.sub(t, "-t", "wills/#", "-q", "1", "-C", "1", "-F", "%t %p")
	testator := m.sub(t, "-t", "none", "--will-topic", "wills/sensor", "--will-payload", "gone", "--will-qos", "1")
	testator.proc.kill()
	heir.expect(t, "wills/sensor gone")
}
