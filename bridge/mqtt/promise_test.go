package mqtt

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"leveret/bridge/mqttwire"
	"leveret/spool/mem"
)

// onManual is onStage with a log that is durable only when the test says so.
func onManual(t *testing.T, edit func(*Options), play func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, log: mem.New(), clocks: time.Now()}
		s.start(edit)
		defer s.shut()
		s.log.Commit()
		play(s)
	})
}

// absent makes a persistent session with a subscription and goes away.
func (s *stage) absent(id, filter string) {
	s.t.Helper()
	c := s.connect(mqttwire.V311, id, keep)
	c.subscribe(0, mqttwire.Subscription{Filter: filter, QoS: 1})
	synctest.Wait()
	s.log.Commit()
	c.expect("CONNACK success", "SUBACK 1 1")
	c.bye()
}

func TestPubackComesAfterTheCommit(t *testing.T) {
	for _, v := range []mqttwire.Version{mqttwire.V31, mqttwire.V311, mqttwire.V5} {
		t.Run(v.String(), func(t *testing.T) {
			onManual(t, nil, func(s *stage) {
				s.absent("archive", "plant/#")
				c := s.joined(v, "sensor")
				c.publish("plant/1", "a", 1, 7)
				c.publish("plant/1", "b", 1, 9)
				c.expect()
				s.log.Commit()
				c.expect("PUBACK 7", "PUBACK 9")
			})
		})
	}
}

// A message that needs no disk does not overtake one that does.
func TestAnswersKeepTheirOrder(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		s.absent("archive", "plant/#")
		c := s.joined(mqttwire.V5, "sensor")
		c.publish("plant/1", "stored", 1, 1)
		c.publish("nobody/listens", "dropped", 1, 2)
		c.must(mqttwire.AppendSubscribe(nil, c.version, &mqttwire.Subscribe{PacketID: 3, Filters: []mqttwire.Subscription{{Filter: "x"}}}))
		c.publish("plant/1", "unconfirmed", 0, 0)
		c.expect()
		c.send(mqttwire.AppendPingreq(nil)) // promises nothing
		c.expect("PINGRESP")
		s.log.Commit()
		c.expect("PUBACK 1", "PUBACK 2 no matching subscribers", "SUBACK 3 0")
	})
}

func TestSubscriptionOfAKeptSessionIsDurable(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		c := s.connect(mqttwire.V311, "archive", keep)
		c.expect()
		s.log.Commit()
		c.expect("CONNACK success")
		c.subscribe(0, mqttwire.Subscription{Filter: "a/#", QoS: 1})
		c.expect()
		s.log.Commit()
		c.expect("SUBACK 1 1")
		c.unsubscribe("a/#")
		c.expect()
		s.log.Commit()
		c.expect("UNSUBACK 2")
	})
}

func TestRetainedMessageIsDurableBeforePuback(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "sensor")
		c.publish("state", "on", 1, 1, retain)
		c.expect()
		s.log.Commit()
		c.expect("PUBACK 1 no matching subscribers")
	})
}

func TestFailedLogPromisesNothing(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		s.absent("archive", "#")
		c := s.joined(mqttwire.V5, "sensor")
		old := s.joined(mqttwire.V311, "old")
		c.publish("a", "1", 1, 1)
		old.publish("a", "2", 1, 1)
		c.expect()
		s.log.Fail(errors.New("sync: input/output error"))
		c.expect("DISCONNECT server shutting down", "closed")
		old.expect("closed")
	})
}

func TestFullSpool(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		s.absent("archive", "#")
		five := s.joined(mqttwire.V5, "five")
		three := s.joined(mqttwire.V311, "three", keepAlive(4))
		s.log.SetFull(true)
		five.publish("a", "1", 1, 1)
		three.publish("a", "2", 1, 1)
		synctest.Wait()
		s.log.Commit()
		five.expect() // not yet: it may be over soon
		time.Sleep(patienceToTell)
		five.expect("PUBACK 1 quota exceeded")
		time.Sleep(time.Minute) // its keep alive is not watched while it is not read
		three.expect()
		s.log.SetFull(false)
		synctest.Wait()
		s.log.Commit()
		three.expect("PUBACK 1")
		five.publish("a", "3", 1, 2)
		synctest.Wait()
		s.log.Commit()
		five.expect("PUBACK 2")
	})
}

// A client that holds up its own acknowledgements behind its messages is cut
// off: what it has not acknowledged may be what fills the spool.
func TestFullSpoolBehindItself(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		c := s.connect(mqttwire.V311, "both", keep)
		c.subscribe(0, mqttwire.Subscription{Filter: "#", QoS: 1})
		c.publish("a", "1", 1, 1)
		synctest.Wait()
		s.log.Commit()
		c.expect("CONNACK success", "SUBACK 1 1", "PUBACK 1", "PUBLISH a=1 q1 #1")
		s.log.SetFull(true)
		c.publish("a", "2", 1, 2)
		c.expect()
		time.Sleep(patienceToOwe + fullRetry)
		c.expect("closed")
	})
}

func TestReceiveMaximumOfPublishers(t *testing.T) {
	few := func(o *Options) { o.ReceiveMax = 3 }
	onManual(t, few, func(s *stage) {
		s.absent("archive", "#")
		five := s.joined(mqttwire.V5, "five")
		three := s.joined(mqttwire.V311, "three")
		for id := range uint16(3) {
			five.publish("a", "x", 1, id+1)
		}
		go func() { // the fourth is not read
			for id := range uint16(5) {
				three.publish("a", "x", 1, id+1)
			}
		}()
		five.expect()
		three.expect()
		s.log.Commit()
		five.expect("PUBACK 1", "PUBACK 2", "PUBACK 3")
		three.expect("PUBACK 1", "PUBACK 2", "PUBACK 3")
		s.log.Commit()
		three.expect("PUBACK 4", "PUBACK 5")
		for id := range uint16(4) {
			five.publish("a", "x", 1, id+1)
		}
		five.expect("DISCONNECT receive maximum exceeded", "closed")
	})
}

func TestRepliesAreBounded(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		c := s.connect(mqttwire.V311, "greedy", keep)
		synctest.Wait()
		s.log.Commit()
		c.expect("CONNACK success")
		go func() {
			for i := range 3 * promisesMax {
				c.subscribe(0, mqttwire.Subscription{Filter: fmt.Sprintf("f/%d", i), QoS: 1})
			}
		}()
		synctest.Wait()
		if n := len(s.door.clients["greedy"].subs.Load().list); n > promisesMax+1 {
			t.Fatalf("%d SUBSCRIBEs were taken before any answer went out, want at most %d", n, promisesMax+1)
		}
		n := 0
		for range 10 {
			s.log.Commit()
			n += len(c.got())
		}
		if n != 3*promisesMax {
			t.Fatalf("%d SUBACKs came, want %d", n, 3*promisesMax)
		}
	})
}

// CONNACK is the first packet from us, whatever the client asks meanwhile.
func TestPingresponseComesAfterConnack(t *testing.T) {
	onManual(t, nil, func(s *stage) {
		c := s.connect(mqttwire.V311, "c", keep)
		c.send([]byte{0xC0, 0})
		c.expect()
		s.log.Commit()
		c.expect("CONNACK success", "PINGRESP")
		c.send([]byte{0xC0, 0})
		c.expect("PINGRESP")
	})
}
