package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// rabbitMax is how long RabbitMQ may take to start.
const rabbitMax = 3 * time.Minute

// rabbit is a RabbitMQ node of our own: its home, ports, data and name server
// are apart from those of a node that the machine may run.
type rabbit struct {
	addr  string // AMQP
	admin string // its management API
	epmd  string // port of its name server
	proc  *process
}

func (r *rabbit) url() string { return "amqp://guest:guest@" + r.addr + "/" }

func startRabbit(dir string) (*rabbit, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &rabbit{addr: freeAddr(), admin: freeAddr(), epmd: port(freeAddr())}
	definitions := filepath.Join(dir, "definitions.json")
	if err := os.WriteFile(definitions, []byte(rabbitDefinitions), 0o600); err != nil {
		return nil, err
	}
	conf := "load_definitions = " + definitions + "\nlisteners.tcp.default = " + r.addr + "\ndisk_free_limit.absolute = 50MB\nlog.file.level = warning\n" +
		"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = " + port(r.admin) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "rabbitmq.conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "enabled_plugins"), []byte("[rabbitmq_management].\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("/usr/lib/rabbitmq/bin/rabbitmq-server")
	cmd.Env = append(os.Environ(),
		"HOME="+dir,
		"RUNNING_UNDER_SYSTEMD=yes", // the script becomes the virtual machine: one pid
		"RABBITMQ_NODENAME=interop"+r.epmd+"@localhost",
		"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
		"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "enabled_plugins"),
		"RABBITMQ_DIST_PORT="+port(freeAddr()),
		"ERL_EPMD_PORT="+r.epmd, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
	)
	var err error
	if r.proc, err = startProcess(cmd, nil); err != nil {
		return nil, err
	}
	for end := time.Now().Add(rabbitMax); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if c, err := amqp091.Dial(r.url()); err == nil {
			c.Close()
			return r, nil
		}
	}
	r.stop()
	return nil, fmt.Errorf("RabbitMQ did not answer within %v:\n%s", rabbitMax, r.proc.output())
}

// rabbitDefinitions are its users: guest, and those of package amqptest.
const rabbitDefinitions = `{
"vhosts": [{"name": "/"}],
"users": [
 {"name": "guest", "password": "guest", "tags": "administrator"},
 {"name": "configure", "password": "limited", "tags": ""},
 {"name": "write", "password": "limited", "tags": ""},
 {"name": "read", "password": "limited", "tags": ""},
 {"name": "topics", "password": "limited", "tags": ""},
 {"name": "few", "password": "limited", "tags": "", "limits": {"max-channels": 1}},
 {"name": "nowhere", "password": "limited", "tags": ""},
 {"name": "impersonator", "password": "limited", "tags": "impersonator"}
],
"permissions": [
 {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
 {"user": "configure", "vhost": "/", "configure": ".*", "write": "^open$", "read": "^open$"},
 {"user": "write", "vhost": "/", "configure": "^open$", "write": ".*", "read": "^open$"},
 {"user": "read", "vhost": "/", "configure": "^open$", "write": "^open$", "read": ".*"},
 {"user": "topics", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
 {"user": "few", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
 {"user": "impersonator", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
],
"topic_permissions": [
 {"user": "topics", "vhost": "/", "exchange": "amq.topic", "write": "^mine\\.", "read": "^mine\\."}
]
}`

func (r *rabbit) stop() {
	_ = r.proc.signal(syscall.SIGTERM, 20*time.Second) // killed when it takes longer: its data is not needed
	kill := exec.Command("epmd", "-kill")
	kill.Env = append(os.Environ(), "ERL_EPMD_PORT="+r.epmd)
	_ = kill.Run()
}

// startMosquitto starts the reference MQTT broker and returns its address.
func startMosquitto(t testing.TB, more ...string) string {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr()
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\npersistence false\nuser root\n", port(addr))
	if len(more) == 0 {
		more = []string{"allow_anonymous true"}
	}
	text += strings.Join(more, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startPeer(t, exec.Command("/usr/sbin/mosquitto", "-c", conf), nil)
	until(t, patience, "Mosquitto answers", func() bool { return answers(addr) })
	return addr
}

// startPeer starts a program that the test's end kills.
func startPeer(t testing.TB, cmd *exec.Cmd, onLine func(string)) *process {
	t.Helper()
	p, err := startProcess(cmd, onLine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// uplink is the relay between the gateway and the cloud.
type uplink struct {
	addr    string
	control string
	proc    *process
}

// startUplink relays addr to the cloud, behaving as args say.
func startUplink(t testing.TB, addr, cloud string, args ...string) *uplink {
	t.Helper()
	u := &uplink{addr: addr, control: freeAddr()}
	args = append([]string{"-listen", addr, "-to", cloud, "-control", u.control}, args...)
	u.proc = startPeer(t, exec.Command(lab.tool(t, "flap", "."), args...), nil)
	until(t, patience, "the uplink's control answers", func() bool { return answers(u.control) })
	return u
}

// accepted is how many connections came through so far.
func (u *uplink) accepted(t testing.TB) int {
	t.Helper()
	reply, err := http.Get("http://" + u.control + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	var stats map[string]int
	if err := json.NewDecoder(reply.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	return stats["accepted"]
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// python is Debian's own, which has pika and paho.
func python(script string, args ...string) *exec.Cmd {
	return exec.Command("/usr/bin/python3", append([]string{filepath.Join("clients", script)}, args...)...)
}

// node runs a script with the packages in NODE_PATH.
func node(script string, args ...string) *exec.Cmd {
	return exec.Command("node", append([]string{filepath.Join("clients", script)}, args...)...)
}

// firstLine shortens a program's output for a report.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
