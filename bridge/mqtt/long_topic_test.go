package mqtt

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"leveret/bridge/mqttwire"
)

// Topics of any length that MQTT knows pass between its clients; AMQP is told
// the whole topic.
func TestLongTopics(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bytes int
		long  bool
	}{
		{"as long as AMQP can show", 255, false},
		{"one byte longer", 256, true},
		{"as long as MQTT can say", 65535, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var warnings bytes.Buffer
			log := func(o *Options) {
				o.PacketBytesMax = 1 << 20
				o.Log = slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
			}
			onStage(t, log, func(s *stage) { longTopics(s, tc.bytes, tc.long) })
			want := 0
			if tc.long {
				want = 2 // clients
			}
			if n := strings.Count(warnings.String(), "longer than AMQP"); n != want {
				t.Errorf("%d warnings, want %d: %s", n, want, warnings.String())
			}
		})
	}
}

func longTopics(s *stage, size int, long bool) {
	t := s.t
	topic := "a/" + strings.Repeat("x", size-4) + "/b"
	queued := s.asQueue()
	exact := s.joined(mqttwire.V5, "exact", keep, with(mqttwire.SessionExpiry, 1000))
	exact.listens(topic, 1)
	wild := s.joined(mqttwire.V311, "wild")
	wild.listens("a/+/b", 2)
	shared := s.joined(mqttwire.V5, "shared")
	filter := "$share/g/" + topic
	if len(filter) > 65535 {
		filter = "$share/g/" + "a/+/b"
	}
	shared.listens(filter, 1)

	p := s.joined(mqttwire.V5, "p")
	p.publish(topic, "1", 1, 1, carrying(func(w *mqttwire.PropertyWriter) { w.User("k", "v") }))
	p.expect("PUBACK 1")
	exact.expect("PUBLISH " + topic + "=1 q1 #1 [k: v]")
	wild.expect("PUBLISH " + topic + "=1 q1 #1")
	shared.expect("PUBLISH " + topic + "=1 q1 #1 [k: v]")
	told := ""
	if long {
		told = " [x-mqtt-topic: " + topic + "]"
	}
	key := strings.ReplaceAll(topic, "/", ".")
	if got, want := queued(), key+"=1 mode 2"+told+" [k: v]"; got != want {
		t.Errorf("AMQP sees\n\t%.300s\nwant\n\t%.300s", got, want)
	}

	exact.puback(1)
	exact.drop()
	p.publish(topic, "2", 1, 2, retain)
	p.expect("PUBACK 2")
	other := s.joined(mqttwire.V311, "other")
	other.publish(topic, "3", 2, 1)
	other.expect("PUBREC 1")
	s.cutPower(nil)
	exact = s.connect(mqttwire.V5, "exact", keep)
	exact.expect("CONNACK success present", "PUBLISH "+topic+"=2 q1 #2", "PUBLISH "+topic+"=3 q1 #3")
	late := s.joined(mqttwire.V311, "late")
	late.subscribe(0, mqttwire.Subscription{Filter: topic})
	late.expect("SUBACK 1 0", "PUBLISH "+topic+"=2 q0 retain")
	exact.unsubscribe(topic)
	exact.expect("UNSUBACK 2 0")
	if n := s.door.Stats().LongTopics; n != 0 {
		t.Errorf("%d messages with a long topic since the restart", n)
	}
}

func TestLongTopicsAreCounted(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		p := s.joined(mqttwire.V5, "p", willTo(strings.Repeat("w", 300), "", false))
		for i := range 3 {
			p.publish(strings.Repeat("x", 300+i), "", 0, 0)
		}
		p.publish("short", "", 0, 0)
		p.got()
		if n := s.door.Stats().LongTopics; n != 3 {
			t.Errorf("%d messages with a long topic, want 3", n)
		}
		for i := range longWarnedMax + 10 {
			s.door.longTopic("t", strings.Repeat("k", 256), fmt.Sprint(i))
		}
		if n := len(s.door.longWarned); n != longWarnedMax {
			t.Errorf("%d clients are remembered, want %d", n, longWarnedMax)
		}
	})
}
