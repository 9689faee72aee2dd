package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/edge/admin"
	"leveret/edge/config"
	"leveret/spool"
)

// box is an appliance that runs in the test's process.
type box struct {
	t    *testing.T
	file string
	dir  string
	end  context.CancelFunc
	done chan error
}

func newBox(t *testing.T, text string) *box {
	dir := t.TempDir()
	b := &box{t: t, dir: dir, file: filepath.Join(dir, "leveret.toml")}
	b.write(text)
	return b
}

func (b *box) write(text string) {
	b.t.Helper()
	head := fmt.Sprintf("data_dir = %q\nprofile = \"tiny\"\namqp.listen = \"127.0.0.1:0\"\nmqtt.listen = \"127.0.0.1:0\"\nadmin = {listen = \"127.0.0.1:0\", trust_loopback = true}\n", filepath.Join(b.dir, "data"))
	if err := os.WriteFile(b.file, []byte(head+text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) options() (Options, error) {
	load := func() (*config.Config, error) { return config.Load(b.file, nil) }
	c, err := load()
	return Options{Config: c, Log: slog.New(slog.DiscardHandler), Version: "test", ConfigFile: b.file, Reload: load}, err
}

func (b *box) start() {
	b.t.Helper()
	o, err := b.options()
	if err != nil {
		b.t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(b.dir, "data", addressFile))
	ctx, end := context.WithCancel(b.t.Context())
	b.end, b.done = end, make(chan error, 1)
	go func() { b.done <- Run(ctx, o) }()
	b.until("it listens", func() bool {
		text, err := os.ReadFile(filepath.Join(b.dir, "data", addressFile))
		return err == nil && len(text) > 0
	})
}

func (b *box) stop() {
	b.t.Helper()
	b.end()
	select {
	case err := <-b.done:
		if err != nil {
			b.t.Fatalf("run ended with %v", err)
		}
	case <-time.After(time.Minute):
		b.t.Fatal("it did not stop within a minute")
	}
}

func (b *box) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within a minute: %s", what)
		}
	}
}

func (b *box) status() (st admin.Status) {
	b.t.Helper()
	addr, err := os.ReadFile(filepath.Join(b.dir, "data", addressFile))
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.Get("http://" + strings.TrimSpace(string(addr)) + "/api/status")
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&st); err != nil {
		b.t.Fatal(err)
	}
	return st
}

// dialVHost opens a channel in a vhost as a user, which must be possible.
func (b *box) dialVHost(login, vhost string) *amqp091.Channel {
	b.t.Helper()
	ch, err := b.dialTo(login, vhost)
	if err != nil {
		b.t.Fatal(err)
	}
	return ch
}

// dial opens a channel as a user.
func (b *box) dial(login string) (*amqp091.Channel, error) {
	b.t.Helper()
	return b.dialTo(login, "")
}

func (b *box) dialTo(login, vhost string) (*amqp091.Channel, error) {
	b.t.Helper()
	for _, l := range b.status().Listeners {
		if l.Door == "amqp" {
			conn, err := amqp091.Dial("amqp://" + login + "@" + l.Address + "/" + vhost)
			if err != nil {
				return nil, err
			}
			b.t.Cleanup(func() { conn.Close() })
			return conn.Channel()
		}
	}
	b.t.Fatal("no amqp door")
	return nil, nil
}

const uplinkTopology = `
[[queue]]
name = "uplink"
[[binding]]
source = "amq.topic"
destination = "uplink"
key = "#"
`

func TestConfirmedMessagesOutliveARestart(t *testing.T) {
	b := newBox(t, uplinkTopology)
	b.start()
	ch, err := b.dial("guest:guest")
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	const n = 20
	for i := range n {
		c, err := ch.PublishWithDeferredConfirm("amq.topic", "a.b", true, false,
			amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		if !c.Wait() {
			t.Fatalf("message %d was refused", i)
		}
	}
	b.stop()
	b.start()
	defer b.stop()
	if ch, err = b.dial("guest:guest"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m, ok, err := ch.Get("uplink", true)
		if err != nil || !ok || string(m.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v, %v", i, m.Body, ok, err)
		}
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	b := newBox(t, "")
	b.start()
	defer b.stop()
	o, err := b.options()
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("a second Run on the folder: %v, want ErrLocked", err)
	}
}

func TestChangedConfigurationIsApplied(t *testing.T) {
	b := newBox(t, "[[user]]\nname = \"anna\"\npassword = \"one\"\n")
	b.start()
	defer b.stop()
	if _, err := b.dial("anna:one"); err != nil {
		t.Fatal(err)
	}

	b.write("[[user]]\nname = \"anna\"\npassword = 7\n") // a mistake: the old one holds
	b.until("the mistake is told", func() bool { return len(b.status().Troubles) == 1 })
	if text := b.status().Troubles[0].Text; !strings.Contains(text, "leveret.toml:8:12") {
		t.Errorf("the trouble does not say where: %s", text)
	}
	if _, err := b.dial("anna:one"); err != nil {
		t.Errorf("the old password is refused although the change is: %v", err)
	}

	b.write("[[user]]\nname = \"anna\"\npassword = \"two\"\n" + uplinkTopology +
		"[[shovel]]\nname = \"cloud\"\nsource = { queue = \"uplink\" }\ntarget = { uri = \"amqp://127.0.0.1:1/\", exchange = \"x\" }\n")
	b.until("the change is in force", func() bool { st := b.status(); return len(st.Shovels) == 1 && len(st.Troubles) == 0 })
	if _, err := b.dial("anna:one"); err == nil {
		t.Error("the old password still works")
	}
	if _, err := b.dial("anna:two"); err != nil {
		t.Error(err)
	}
	if st := b.status(); len(st.Queues) != 1 || st.Queues[0].Name != "uplink" {
		t.Errorf("queues: %+v", st.Queues)
	}

	b.write("[[user]]\nname = \"anna\"\npassword = \"two\"\n")
	b.until("the shovel is gone", func() bool { return len(b.status().Shovels) == 0 })
	if len(b.status().Queues) != 1 {
		t.Error("a queue went with its declaration")
	}
}
