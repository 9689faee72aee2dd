package edge

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"leveret/edge/devices"
)

// ask sends a request to the admin door as guest and gives the code; into may
// be nil.
func (b *box) ask(method, path string, into any) int {
	b.t.Helper()
	addr, err := os.ReadFile(filepath.Join(b.dir, "data", addressFile))
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequest(method, "http://"+strings.TrimSpace(string(addr))+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			b.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return answer.StatusCode
}

// dialNamed opens a channel of a connection with a name of its own.
func (b *box) dialNamed(name string) *amqp091.Channel {
	b.t.Helper()
	for _, l := range b.status().Listeners {
		if l.Door != "amqp" {
			continue
		}
		properties := amqp091.NewConnectionProperties()
		properties.SetClientConnectionName(name)
		conn, err := amqp091.DialConfig("amqp://guest:guest@"+l.Address+"/", amqp091.Config{Properties: properties})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { conn.Close() })
		ch, err := conn.Channel()
		if err != nil {
			b.t.Fatal(err)
		}
		return ch
	}
	b.t.Fatal("no amqp door")
	return nil
}

// TestASilentDeviceIsTold goes the whole way: from a client that stops to the
// message that says so, over a restart, to the message that it is back.
func TestASilentDeviceIsTold(t *testing.T) {
	const rules = "[devices]\nsilent_after = \"1h\"\n"
	b := newBox(t, rules)
	b.start()
	listener := b.dialNamed("listener")
	if _, err := listener.QueueDeclare("alarms", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"device.silent.#", "device.back.#"} {
		if err := listener.QueueBind("alarms", key, devices.Exchange, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	event := func(want devices.Kind) {
		t.Helper()
		b.until("the event "+string(want), func() bool {
			m, ok, err := listener.Get("alarms", true)
			if err != nil {
				t.Fatal(err)
			}
			var ev devices.Event
			if ok && (json.Unmarshal(m.Body, &ev) != nil || ev.Kind != want || ev.Device != "amqp:guest@probe" ||
				m.RoutingKey != string(want)+".amqp:guest@probe" || m.ContentType != "application/json" || m.DeliveryMode != 2) {
				t.Fatalf("message %s: %s", m.RoutingKey, m.Body)
			}
			return ok
		})
	}
	publish := func(ch *amqp091.Channel) {
		t.Helper()
		if err := ch.Publish("amq.topic", "plant.1", false, false, amqp091.Publishing{Body: []byte("21.5")}); err != nil {
			t.Fatal(err)
		}
	}
	probe := b.dialNamed("probe")
	publish(probe)
	b.until("it is known", func() bool { return b.ask("GET", "/api/devices/amqp:guest@probe", nil) == 200 })
	b.write(rules + "[[devices.rule]]\nclient = \"probe\"\nsilent_after = \"1s\"\n") // live
	event(devices.Silent)
	if st := b.status().Devices; st.Known != 2 || st.Silent != 1 {
		t.Errorf("status %+v", st)
	}

	b.stop()
	b.start()
	defer b.stop()
	listener = b.dialNamed("listener")
	var v devices.View
	if code := b.ask("GET", "/api/devices/amqp:guest@probe", &v); code != 200 || !v.Silent || v.MessagesIn != 1 || v.Connected {
		t.Errorf("after a restart: %d %+v", code, v)
	}
	publish(b.dialNamed("probe"))
	event(devices.Back)
}

// TestAnOperatorEndsAConnection: the client hears why.
func TestAnOperatorEndsAConnection(t *testing.T) {
	b := newBox(t, "")
	b.start()
	defer b.stop()
	ch := b.dialNamed("job")
	ended := ch.NotifyClose(make(chan *amqp091.Error, 1))
	var list []struct {
		Name   string
		Client map[string]any `json:"client_properties"`
	}
	if code := b.ask("GET", "/api/connections/", &list); code != 200 || len(list) != 1 || list[0].Client["connection_name"] != "job" {
		t.Fatalf("connections: %d %+v", code, list)
	}
	if code := b.ask("DELETE", "/api/connections/"+url.PathEscape(list[0].Name), nil); code != 204 {
		t.Fatalf("close: %d", code)
	}
	select {
	case err := <-ended:
		var refused *amqp091.Error
		if !errors.As(err, &refused) || refused.Code != 320 || refused.Reason != "CONNECTION_FORCED - Closed via management plugin" {
			t.Errorf("the client heard %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the connection did not end")
	}
}

// TestAPauseOutlivesARestart over the API.
func TestAPauseOutlivesARestart(t *testing.T) {
	b := newBox(t, uplinkTopology)
	b.start()
	if code := b.ask("PUT", "/api/queues/%2F/uplink/pause", nil); code != 204 {
		t.Fatalf("pause: %d", code)
	}
	b.stop()
	b.start()
	defer b.stop()
	var q struct{ State string }
	if code := b.ask("GET", "/api/queues/%2F/uplink", &q); code != 200 || q.State != "paused" {
		t.Errorf("after a restart: %d %+v", code, q)
	}
}
