package mqtt

import (
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// crowded makes a queue for all topics that has room for one message and
// refuses what comes after it.
func (s *stage) crowded(name string) *broker.Conn {
	s.t.Helper()
	conn, err := s.b.Connect("/", broker.Identity{}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	_, _, err = conn.DeclareQueue(broker.QueueSpec{Name: name, Durable: true, Args: amqp.Table{
		{Key: "x-max-length", Value: int64(1)}, {Key: "x-overflow", Value: "reject-publish"},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.BindQueue(name, "amq.topic", "#", nil); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// What a queue refused is never acknowledged: MQTT 5 has an answer that says
// so, before that the connection ends and the client keeps the message.
func TestRefusedByAQueue(t *testing.T) {
	for _, tc := range []struct {
		v    mqttwire.Version
		qos  byte
		want []string
	}{
		{mqttwire.V31, 1, []string{"PUBACK 1", "closed"}},
		{mqttwire.V311, 1, []string{"PUBACK 1", "closed"}},
		{mqttwire.V311, 2, []string{"PUBREC 1", "closed"}},
		{mqttwire.V5, 1, []string{"PUBACK 1", "PUBACK 2 quota exceeded", "PUBACK 3 quota exceeded"}},
		{mqttwire.V5, 2, []string{"PUBREC 1", "PUBREC 2 quota exceeded", "PUBREC 3 quota exceeded"}},
		{mqttwire.V311, 0, nil},
	} {
		onStage(t, nil, func(s *stage) {
			defer s.crowded("telemetry").Close()
			c := s.joined(tc.v, "sensor")
			for id := uint16(1); id <= 3; id++ {
				sent := id
				if tc.qos == 0 {
					sent = 0
				}
				c.publish("plant/1", "x", tc.qos, sent)
				synctest.Wait()
			}
			c.expect(tc.want...)
		})
	}
}

// A PUBLISH of QoS 2 that was refused is new when the client sends it again.
func TestRefusedByAQueueComesAgain(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		conn := s.crowded("telemetry")
		defer conn.Close()
		c := s.joined(mqttwire.V311, "sensor", keep)
		c.publish("plant/1", "one", 2, 1)
		c.publish("plant/1", "two", 2, 2)
		c.expect("PUBREC 1", "closed")
		if _, _, err := conn.Purge("telemetry"); err != nil {
			t.Fatal(err)
		}
		c = s.joined(mqttwire.V311, "sensor", keep)
		c.publish("plant/1", "two", 2, 2)
		c.expect("PUBREC 2")
		if info, err := conn.CheckQueue("telemetry"); err != nil || info.Messages != 1 {
			t.Errorf("the queue holds %d messages (%v), want the one that came again", info.Messages, err)
		}
	})
}

func TestWillRefusedByAQueueIsCounted(t *testing.T) {
	for name, edits := range map[string][]func(*mqttwire.Connect){
		"at once": {willTo("gone/c", "bye", false)},
		"delayed": delayed(1),
	} {
		onStage(t, nil, func(s *stage) {
			defer s.crowded("telemetry").Close()
			s.joined(mqttwire.V311, "sensor").publish("plant/1", "x", 1, 1)
			s.joined(mqttwire.V5, "c", edits...).drop()
			time.Sleep(2 * time.Second)
			if n := s.door.Stats().WillsLost; n != 1 {
				t.Errorf("will %s: %d were lost, want 1", name, n)
			}
		})
	}
}
