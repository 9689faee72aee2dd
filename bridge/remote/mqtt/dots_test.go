package mqtt

import (
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"leveret/amqp"
	"leveret/bridge"
)

// Topics are spelled here as this broker's MQTT door spells them.
func TestDots(t *testing.T) {
	for _, tc := range []struct {
		dots                   bridge.Dots
		topic, key, reply, out string
	}{
		{bridge.DotsExact, "a.b/c", "a%2Eb.c", "re%2E7", "a.b/c"},
		{bridge.DotsRabbit, "a.b/c", "a.b.c", "re.7", "a/b/c"},
		{bridge.DotsRabbit, "spBv1.0/g", "spBv1___0.g", "re.7", "spBv1.0/g"},
	} {
		m, err := received(&packets.Publish{Topic: tc.topic, Properties: &packets.Properties{ResponseTopic: "re.7"}}, tc.dots)
		if err != nil {
			t.Fatal(err)
		}
		if reply, _ := m.Props.Headers.Get("x-reply-to-topic"); m.Key != tc.key || reply != tc.reply {
			t.Errorf("%q came with key %q and reply key %q, want %q and %q", tc.topic, m.Key, reply, tc.key, tc.reply)
		}
		target, err := NewTarget(TargetOptions{Options: Options{URL: "mqtt://127.0.0.1:1", ClientID: "c", Dots: tc.dots}})
		if err != nil {
			t.Fatal(err)
		}
		props := amqp.PropertyList{Headers: m.Props.Headers}
		p, err := target.publishing(&bridge.Message{Key: m.Key, Props: props}, &terms{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Topic != tc.out || p.Properties.ResponseTopic != tc.dots.Seen("re.7") {
			t.Errorf("key %q goes to topic %q and response topic %q", m.Key, p.Topic, p.Properties.ResponseTopic)
		}
	}
}
