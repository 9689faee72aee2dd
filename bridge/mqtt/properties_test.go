package mqtt

import (
	"strings"
	"testing"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

// What an MQTT client says of a message, another one hears unchanged.
func TestPropertiesThereAndBack(t *testing.T) {
	long := strings.Repeat("ü", 200)
	for _, tc := range []struct {
		name string
		fill func(*mqttwire.PropertyWriter)
		want string // if it is not the same
	}{
		{"nothing", func(*mqttwire.PropertyWriter) {}, ""},
		{"content type", func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ContentType, "text/plain") }, ""},
		{"empty content type", func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ContentType, "") }, ""},
		{"content type that is not ASCII", func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ContentType, "ü") }, ""},
		{"long content type", func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ContentType, long) }, ""},
		{"correlation data", func(w *mqttwire.PropertyWriter) { w.Binary(mqttwire.CorrelationData, []byte("id-7")) }, ""},
		{"empty correlation data", func(w *mqttwire.PropertyWriter) { w.Binary(mqttwire.CorrelationData, nil) }, ""},
		{"binary correlation data", func(w *mqttwire.PropertyWriter) { w.Binary(mqttwire.CorrelationData, []byte{0xff, 0, 1}) }, ""},
		{"long correlation data", func(w *mqttwire.PropertyWriter) { w.Binary(mqttwire.CorrelationData, []byte(long)) }, ""},
		{"response topic", func(w *mqttwire.PropertyWriter) { w.Text(mqttwire.ResponseTopic, "a.b/c/*") }, ""},
		{"payload format", func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.PayloadFormat, 1) }, ""},
		{"payload format 0", func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.PayloadFormat, 0) }, ""},
		{"user properties", func(w *mqttwire.PropertyWriter) { w.User("b", "1"); w.User("a", ""); w.User("", "2") }, ""},
		{"repeated user property", func(w *mqttwire.PropertyWriter) { w.User("a", "1"); w.User("b", "2"); w.User("a", "3") }, ""},
		{"long user property", func(w *mqttwire.PropertyWriter) { w.User(long, long) }, ""},
		{"names that mean something to us", func(w *mqttwire.PropertyWriter) {
			w.User("x-mqtt-retain", "true")
			w.User("x-mqtt-client", "me")
			w.User("x-reply-to-topic", "r")
			w.User("message-id", "7")
			w.User("x-mqtt-user-properties", "")
			w.User("CC", "de")
			w.User("BCC", "fr")
		}, ""},
		{"not of the message", func(w *mqttwire.PropertyWriter) { w.Number(mqttwire.TopicAlias, 3); w.Text(mqttwire.ContentType, "t") }, " [content type t]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sent := props(tc.fill)
			list := bridge.PropertiesFromMQTT(sent, 1, true, bridge.Told{Publisher: "me"})
			if _, err := amqp.ParseProperties(list); err != nil {
				t.Fatalf("properties for AMQP do not parse: %v", err)
			}
			if !wasRetained(list) || !publishedBy(list, "me") || publishedBy(list, "you") || list.DeliveryMode() != 2 {
				t.Errorf("flags are lost: %v", list.List())
			}
			got := describeProps(props(func(w *mqttwire.PropertyWriter) { bridge.AppendMQTTProperties(w, list, bridge.DotsExact) }))
			want := tc.want
			if want == "" {
				want = describeProps(sent)
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestPropertiesForAMQP(t *testing.T) {
	sent := props(func(w *mqttwire.PropertyWriter) {
		w.Number(mqttwire.MessageExpiry, 90)
		w.Text(mqttwire.ContentType, "text/plain")
		w.Text(mqttwire.ResponseTopic, "a.b/c")
		w.Binary(mqttwire.CorrelationData, []byte("7"))
		w.User("k", "first")
		w.User("k", "second")
	})
	got := bridge.PropertiesFromMQTT(sent, 0, false, bridge.Told{}).List()
	if got.ContentType != "text/plain" || got.CorrelationID != "7" || got.Expiration != "90000" || got.DeliveryMode != 1 {
		t.Errorf("got %+v", got)
	}
	if v, _ := got.Headers.Get("x-reply-to-topic"); v != "a%2Eb.c" {
		t.Errorf("x-reply-to-topic = %v", v)
	}
	if v, _ := got.Headers.Get("k"); v != "first" {
		t.Errorf("k = %v, want the first of the two", v)
	}
	if _, ok := got.Headers.Get(bridge.HeaderRetain); ok {
		t.Error("retain header without the flag")
	}
}

// FuzzProperties: whatever headers a message has, a client gets a list that it
// accepts.
func FuzzProperties(f *testing.F) {
	f.Add([]byte(bridge.PropertiesFromMQTT(props(func(w *mqttwire.PropertyWriter) { w.User("a", "1"); w.User("a", "2") }), 1, true, bridge.Told{Publisher: "c"})))
	f.Add([]byte(amqp.PropertyList{ContentType: "x", Timestamp: 1 << 62, Headers: amqp.Table{{Key: "x-mqtt-user-properties", Value: amqp.Array{"a", int32(1), "b"}}}}.Encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := amqp.ParseProperties(b)
		if err != nil {
			return
		}
		var w mqttwire.PropertyWriter
		bridge.AppendMQTTProperties(&w, list, bridge.DotsExact)
		out, err := w.Properties()
		if err != nil {
			t.Fatalf("bridge.AppendMQTTProperties(%x): %v", b, err)
		}
		packet, err := mqttwire.AppendPublish(nil, mqttwire.V5, &mqttwire.PublishOut{Topic: "a", Props: out})
		if err != nil {
			t.Fatal(err)
		}
		r := mqttwire.NewReader(strings.NewReader(string(packet)), 1<<28)
		p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var m mqttwire.Publish
		if err := m.DecodeFromServer(p.Flags, p.Body, mqttwire.V5); err != nil {
			t.Fatalf("a client refuses the properties of %x: %v", b, err)
		}
	})
}
