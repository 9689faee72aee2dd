package mqtt

import (
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// foreign makes a durable queue with a message in it, as an AMQP client would.
// The function says how many messages it holds; -1 is for a queue that is gone.
func (s *stage) foreign(name string) (holds func() int) {
	s.t.Helper()
	conn, err := s.b.Connect("/", broker.Identity{}, func() {})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.DeclareQueue(broker.QueueSpec{Name: name, Durable: true}); err != nil {
		s.t.Fatal(err)
	}
	m := &amqp.Message{Key: name, Props: amqp.PropertyList{DeliveryMode: 2}.Encode()}
	if _, err := conn.Open().Publish(s.door.Now(), []broker.Publish{{Msg: m}}); err != nil {
		s.t.Fatal(err)
	}
	return func() int {
		synctest.Wait()
		st, ok := s.b.QueueStatus("/", name)
		if !ok {
			return -1
		}
		return st.Ready
	}
}

// A client id leads to no queue that is not a session: not to read it, nor to
// have it deleted.
func TestClientIDOfAForeignQueue(t *testing.T) {
	for name, edits := range map[string][]func(*mqttwire.Connect){
		"clean": {login("reader", "")},
		"kept":  {login("reader", ""), keep},
	} {
		onStage(t, nil, func(s *stage) {
			holds := s.foreign("mqtt.uplink")
			for _, v := range []mqttwire.Version{mqttwire.V311, mqttwire.V5} {
				s.connect(v, "uplink", edits...).expect("CONNACK not authorized", "closed")
			}
			s.cutPower(nil)
			s.connect(mqttwire.V311, "uplink", edits...).expect("CONNACK not authorized", "closed")
			if n := holds(); n != 1 {
				t.Errorf("%s: the queue holds %d messages, want its 1", name, n)
			}
		})
	}
}

func TestForeignQueueWithTheNameOfAWill(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		holds := s.foreign("mqtt.will.c")
		s.cutPower(nil)
		s.joined(mqttwire.V5, "c").bye()
		s.joined(mqttwire.V5, "c", delayed(1)...).drop()
		time.Sleep(2 * time.Second)
		if n := holds(); n != 1 {
			t.Errorf("the queue holds %d messages, want its 1", n)
		}
		if n := s.door.Stats().WillsLost; n != 1 {
			t.Errorf("%d wills were lost, want the one there was no place for", n)
		}
	})
}

// A group's queue that somebody else made is neither read nor deleted.
func TestForeignQueueWithTheNameOfAGroup(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		holds := s.foreign(shareQueue("g", "a"))
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "$share/g/a", QoS: 1})
		c.expect("SUBACK 1 87")
		s.cutPower(nil)
		if n := holds(); n != 1 {
			t.Errorf("the queue holds %d messages, want its 1", n)
		}
	})
}
