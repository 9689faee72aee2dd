package interop

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// movedACL is an access list as Mosquitto's manual has them.
const movedACL = `topic read public/#
user anna
topic readwrite home/#
topic deny home/safe
pattern write sensor/%u/%c
pattern read cmd/%c/#
`

// movedFiles makes Mosquitto's password file with its own tool, both kinds of
// hash in it, and an access list.
func movedFiles(t *testing.T) (passwords, acl string) {
	t.Helper()
	dir := t.TempDir()
	passwords, acl = filepath.Join(dir, "passwd"), filepath.Join(dir, "acl")
	must(t, os.WriteFile(passwords, nil, 0o600))
	must(t, os.WriteFile(acl, []byte(movedACL), 0o600))
	for name, kind := range map[string]string{"anna": "sha512-pbkdf2", "ben": "sha512"} {
		if out, code := run(t, patience, "", "mosquitto_passwd", "-H", kind, "-b", passwords, name, "pass-of-"+name); code != 0 {
			t.Fatalf("mosquitto_passwd ended with code %d: %s", code, out)
		}
	}
	return passwords, acl
}

// TestMovedFromMosquitto: with Mosquitto's files clients may do what they might
// there, which is asked of Mosquitto itself in the same rounds.
func TestMovedFromMosquitto(t *testing.T) {
	passwords, acl := movedFiles(t)
	brokers := map[string]func(*testing.T) string{
		"mosquitto": func(t *testing.T) string {
			return startMosquitto(t, "allow_anonymous true", "password_file "+passwords, "acl_file "+acl)
		},
		"leveret": func(t *testing.T) string {
			return openGateway(t, fmt.Sprintf("[mqtt]\npassword_file = %q\nacl_file = %q\n", passwords, acl)).mqtt()
		},
	}
	as := func(name string, more ...string) []string {
		return append([]string{"-u", name, "-P", "pass-of-" + name, "-q", "1"}, more...)
	}
	for name, open := range brokers {
		t.Run(name, func(t *testing.T) {
			addr := open(t)
			for _, version := range mqttVersions {
				m := mosquittoTools{addr, version}
				// She asks for everything and is given what she may read.
				anna := m.sub(t, as("anna", "-t", "home/#", "-t", "cmd/c1/#", "-i", "c1", "-C", "3", "-F", "%t %p")...)
				nobody := m.sub(t, "-t", "public/#", "-C", "1", "-F", "%t")
				m.pub(t, "home/lamp", "on", as("anna", "-i", "p1")...)
				m.pub(t, "sensor/ben/c2", "1", as("ben", "-i", "c2")...)
				if version == "mqttv5" { // older versions are not told, and some brokers hang up
					run(t, patience, "", "mosquitto_pub", m.args(as("anna", "-i", "p2", "-t", "home/safe", "-m", "no")...)...)
					run(t, patience, "", "mosquitto_pub", m.args(as("ben", "-i", "c3", "-t", "home/lamp", "-m", "no")...)...)
					run(t, patience, "", "mosquitto_pub", m.args("-t", "public/x", "-m", "no")...)
				}
				m.pub(t, "home/door", "shut", as("anna", "-i", "p1")...)
				m.pub(t, "home/end", "x", as("anna", "-i", "p1")...)
				anna.expect(t, "home/lamp on", "home/door shut", "home/end x")
				nobody.proc.kill()
				for _, wrong := range []string{"anna", "carl"} {
					if _, code := run(t, patience, "", "mosquitto_pub", m.args("-u", wrong, "-P", "wrong", "-t", "home/lamp", "-m", "x")...); code == 0 {
						t.Errorf("%s with a wrong password is let in", wrong)
					}
				}
			}
		})
	}
}

// TestTopicsOfAnExchange: topics of a route live in the exchange that it names,
// for Mosquitto's tools and for AMQP clients alike, who may have retained values
// with a binding.
func TestTopicsOfAnExchange(t *testing.T) {
	g := openGateway(t, "[[exchange]]\nname = \"home\"\ntype = \"topic\"\n[[mqtt.route]]\ntopic = \"zigbee2mqtt/#\"\nexchange = \"home\"\n")
	m := mosquittoTools{g.mqtt(), "mqttv5"}
	m.pub(t, "zigbee2mqtt/lamp", "off", "-r", "-q", "1")
	conn, err := amqp091.Dial(g.amqp())
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	must(t, ch.QueueBind(q.Name, "zigbee2mqtt.#", "home", false, amqp091.Table{"x-retained": true}))
	all := m.sub(t, "-t", "#", "-R", "-C", "2", "-F", "%t %p")
	m.pub(t, "zigbee2mqtt/lamp", "on", "-q", "1")
	m.pub(t, "elsewhere", "x", "-q", "1")
	all.expect(t, "zigbee2mqtt/lamp on", "elsewhere x")
	for _, want := range []string{"off", "on"} {
		d, ok, err := ch.Get(q.Name, true)
		must(t, err)
		if !ok || d.Exchange != "home" || d.RoutingKey != "zigbee2mqtt.lamp" || string(d.Body) != want {
			t.Errorf("got %v %s %s %q, want %q at home", ok, d.Exchange, d.RoutingKey, d.Body, want)
		}
	}
	if d, ok, _ := ch.Get(q.Name, true); ok {
		t.Errorf("%s came to home, too", d.RoutingKey)
	}
	set := amqp091.Publishing{Headers: amqp091.Table{"x-mqtt-retain": true}, Body: []byte("set over AMQP")}
	must(t, ch.Publish("home", "zigbee2mqtt.set", false, false, set))
	_, err = ch.QueueDeclare("", false, false, true, false, nil) // behind the message
	must(t, err)
	m.expect(t, []string{"zigbee2mqtt/set set over AMQP"}, "-t", "zigbee2mqtt/set")
	if _, err := ch.QueueDeclare("mqtt.c", true, false, false, false, nil); err == nil {
		t.Error("an AMQP client may make a session's queue")
	}
}

// TestBehindAProxy: the address that a proxy tells counts, so that a client from
// elsewhere is not taken for one on this machine; both doors have it.
func TestBehindAProxy(t *testing.T) {
	g := openGateway(t, "[mqtt]\nproxy_protocol = true\n[amqp]\nproxy_protocol = true\n")
	for _, c := range []struct {
		header string
		let    bool // anonymous clients are let in from this machine alone
	}{
		{"PROXY TCP4 127.0.0.1 127.0.0.1 5000 1883\r\n", true},
		{"PROXY TCP4 192.0.2.1 127.0.0.1 5000 1883\r\n", false},
		{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x13\x88\x07\x5b", true},
		{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x13\x88\x07\x5b", false},
		{"", false},
	} {
		nc, err := net.Dial("tcp", g.mqtt())
		must(t, err)
		must(t, nc.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(nc, c.header+"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01p")
		must(t, err)
		connack := make([]byte, 4)
		_, err = io.ReadFull(nc, connack)
		if let := err == nil && connack[3] == 0; let != c.let {
			t.Errorf("behind %q: answer % x, %v, want to be let in: %v", c.header, connack, err, c.let)
		}
		nc.Close()
	}
	nc, err := net.Dial("tcp", g.doors["amqp"])
	must(t, err)
	_, err = io.WriteString(nc, "PROXY TCP4 127.0.0.1 127.0.0.1 5000 5672\r\n")
	must(t, err)
	conn, err := amqp091.Open(nc, amqp091.Config{SASL: []amqp091.Authentication{&amqp091.PlainAuth{Username: "guest", Password: "guest"}}, Vhost: "/", Locale: "en_US"})
	must(t, err)
	conn.Close()
}
