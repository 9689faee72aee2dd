package mqtt

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"leveret/bridge/mqttwire"
)

const (
	pubrec  = mqttwire.TypePubrec
	pubrel  = mqttwire.TypePubrel
	pubcomp = mqttwire.TypePubcomp
)

func dup(p *mqttwire.PublishOut) { p.Dup = true }

func TestExactlyOnceIn(t *testing.T) {
	for _, v := range []mqttwire.Version{mqttwire.V311, mqttwire.V5} {
		t.Run(v.String(), func(t *testing.T) {
			onStage(t, nil, func(s *stage) {
				listener := s.joined(v, "listener")
				listener.listens("a", 0)
				c := s.joined(v, "sensor")
				c.publish("a", "1", 2, 7)
				c.publish("a", "1", 2, 7, dup)
				c.expect("PUBREC 7", "PUBREC 7")
				c.publish("a", "1", 2, 7, dup)
				c.expect("PUBREC 7")
				c.answer(pubrel, 7)
				c.expect("PUBCOMP 7")
				listener.expect("PUBLISH a=1 q0")
				c.publish("a", "2", 2, 7)
				c.answer(pubrel, 7)
				c.publish("a", "3", 2, 7)
				c.expect("PUBREC 7", "PUBCOMP 7", "PUBREC 7")
				listener.expect("PUBLISH a=2 q0", "PUBLISH a=3 q0")
			})
		})
	}
}

func TestPubrelOfNothing(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "five")
		c.answer(pubrel, 9)
		c.answer(pubrec, 9)
		c.expect("PUBCOMP 9 packet identifier not found", "PUBREL 9 packet identifier not found")
		c.answer(pubcomp, 9)
		c.expect()
		old := s.joined(mqttwire.V311, "three")
		old.answer(pubrel, 9)
		old.expect("PUBCOMP 9")
	})
}

// A message is answered when it and its identifier are on the disk, and its
// identifier given back when that is there, too.
func TestExactlyOnceInWaitsForTheDisk(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "sensor", keep)
		s.log.Hold()
		c.publish("nobody/listens", "1", 2, 7)
		c.expect()
		s.log.Commit()
		c.expect("PUBREC 7")
		c.answer(pubrel, 7)
		c.expect()
		s.log.Commit()
		c.expect("PUBCOMP 7")
	})
}

func TestExactlyOnceInSurvivesAPowerCut(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		archive := s.joined(mqttwire.V311, "archive", keep)
		archive.listens("a", 1)
		archive.bye()
		c := s.joined(mqttwire.V311, "sensor", keep)
		c.publish("a", "1", 2, 7)
		c.publish("a", "2", 2, 8)
		c.expect("PUBREC 7", "PUBREC 8")
		c.answer(pubrel, 8)
		c.expect("PUBCOMP 8")
		s.cutPower(nil)

		c = s.connect(mqttwire.V311, "sensor", keep)
		c.expect("CONNACK success present")
		c.publish("a", "1", 2, 7, dup)
		c.publish("a", "3", 2, 8)
		c.expect("PUBREC 7", "PUBREC 8")
		archive = s.connect(mqttwire.V311, "archive", keep)
		archive.expect("CONNACK success present", "PUBLISH a=1 q1 #1", "PUBLISH a=2 q1 #2", "PUBLISH a=3 q1 #3")
	})
}

func TestExactlyOnceOut(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "archive")
		c.subscribe(0, mqttwire.Subscription{Filter: "#", QoS: 2})
		c.expect("SUBACK 1 2")
		sensor := s.joined(mqttwire.V311, "sensor")
		sensor.publish("a", "0", 0, 0)
		sensor.publish("a", "1", 1, 1)
		sensor.publish("a", "2", 2, 2)
		c.expect("PUBLISH a=0 q0", "PUBLISH a=1 q1 #2", "PUBLISH a=2 q2 #32771")
		c.answer(pubrec, 32771)
		c.answer(pubrec, 32771)
		c.expect("PUBREL 32771", "PUBREL 32771")
		c.answer(pubcomp, 32771)
		c.expect()
		if s.door.clients["archive"].inflight.used != 1 {
			t.Errorf("%d messages in flight, want that of QoS 1", s.door.clients["archive"].inflight.used)
		}
	})
}

// An answer that belongs to another QoS, or to a later step, ends the connection.
// The message is sent again when the client is back.
func TestWrongAnswers(t *testing.T) {
	for _, v := range []mqttwire.Version{mqttwire.V31, mqttwire.V311, mqttwire.V5} {
		for _, tc := range []struct {
			qos    byte
			answer mqttwire.Type
		}{{1, pubrec}, {1, pubcomp}, {2, mqttwire.TypePuback}, {2, pubcomp}} {
			t.Run(fmt.Sprintf("%s, %s to QoS %d", v, tc.answer, tc.qos), func(t *testing.T) {
				onStage(t, nil, func(s *stage) {
					c := s.joined(v, "archive", keep)
					c.listens("a", tc.qos)
					s.joined(mqttwire.V311, "sensor").publish("a", "1", tc.qos, 7)
					id := uint16(1)
					if tc.qos == 2 {
						id = exactFromQueue + 1
					}
					c.expect(fmt.Sprintf("PUBLISH a=1 q%d #%d", tc.qos, id))
					c.answer(tc.answer, id)
					if v == mqttwire.V5 {
						c.expect("DISCONNECT protocol error", "closed")
						return // and this session ended with its connection
					}
					c.expect("closed")
					got := s.connect(v, "archive", keep).got()
					if again := fmt.Sprintf("PUBLISH a=1 q%d #%d dup", tc.qos, id); len(got) != 2 || got[1] != again {
						t.Errorf("back, the client got %q, want %s", got, again)
					}
				})
			})
		}
	}
}

// Each power cut comes at the worst moment; the client must see the message
// once, whichever side of PUBREC it was.
func TestExactlyOnceOutSurvivesPowerCuts(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "archive", keep)
		c.listens("a", 2)
		sensor := s.joined(mqttwire.V311, "sensor")
		sensor.publish("a", "1", 2, 1)
		sensor.publish("a", "2", 2, 2)
		c.expect("PUBLISH a=1 q2 #32769", "PUBLISH a=2 q2 #32770")
		s.cutPower(nil)
		c = s.connect(mqttwire.V311, "archive", keep)
		c.expect("CONNACK success present", "PUBLISH a=1 q2 #32769 dup", "PUBLISH a=2 q2 #32770 dup")
		c.answer(pubrec, 32770)
		c.expect("PUBREL 32770")
		s.cutPower(nil)
		c = s.connect(mqttwire.V311, "archive", keep)
		c.expect("CONNACK success present", "PUBREL 32770", "PUBLISH a=1 q2 #32769 dup")
		c.answer(pubcomp, 32770)
		c.answer(pubrec, 32769)
		c.expect("PUBREL 32769")
		c.answer(pubcomp, 32769)
		c.drop()
		c = s.connect(mqttwire.V311, "archive", keep)
		c.expect("CONNACK success present")
	})
}

// What a power cut can still take back is not shown to a client that would
// remember its packet identifier.
func TestExactlyOnceOutWaitsForTheDisk(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "archive", keep)
		c.listens("a", 2)
		sensor := s.joined(mqttwire.V311, "sensor")
		s.log.Hold()
		sensor.publish("a", "lost", 2, 1)
		sensor.publish("a", "at once", 0, 0)
		c.expect("PUBLISH a=at once q0")
		s.cutPower(nil)
		c = s.connect(mqttwire.V311, "archive", keep)
		c.expect("CONNACK success present")
		sensor = s.joined(mqttwire.V311, "sensor")
		s.log.Hold()
		sensor.publish("a", "1", 2, 1)
		c.expect()
		s.log.Commit()
		sensor.expect("PUBREC 1")
		c.expect("PUBLISH a=1 q2 #32769")
		c.answer(pubrec, 32769)
		c.expect()
		s.log.Commit()
		c.expect("PUBREL 32769")
	})
}

func TestExactlyOnceKeepsToTheWindow(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "archive", with(mqttwire.ReceiveMaximum, 1))
		c.listens("a", 2)
		sensor := s.joined(mqttwire.V311, "sensor")
		sensor.publish("a", "1", 2, 1)
		sensor.publish("a", "2", 2, 2)
		c.expect("PUBLISH a=1 q2 #32769")
		c.answer(pubrec, 32769)
		c.expect("PUBREL 32769")
		c.answer(pubcomp, 32769)
		c.expect("PUBLISH a=2 q2 #32770")
	})
}

func TestRetainedExactlyOnce(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		sensor := s.joined(mqttwire.V311, "sensor")
		sensor.publish("a", "1", 2, 1, retain)
		sensor.expect("PUBREC 1")
		c := s.joined(mqttwire.V311, "panel", keep)
		c.subscribe(0, mqttwire.Subscription{Filter: "a", QoS: 2})
		got := c.got()
		var id uint16
		if n, err := fmt.Sscanf(got[len(got)-1], "PUBLISH a=1 q2 #%d retain", &id); n != 1 || err != nil || id>>14 != 1 {
			t.Fatalf("got %q", got)
		}
		c.answer(pubrec, id)
		c.expect(fmt.Sprintf("PUBREL %d", id))
		s.cutPower(nil)
		c = s.connect(mqttwire.V311, "panel", keep)
		c.expect("CONNACK success present", fmt.Sprintf("PUBREL %d", id))
	})
}

// TestExactlyOnceSimulated lets a publisher and a subscriber that keep their
// sessions lose connections and the power at random, repeat what they must, and
// counts: each message arrives once, in order.
func TestExactlyOnceSimulated(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onStage(t, nil, func(s *stage) { newExactPlay(s, seed).run(60) })
		})
	}
}

type exactPlay struct {
	s        *stage
	rng      *rand.Rand
	pub, sub *client

	next     int             // number of the publisher's message
	released bool            // PUBREC has come for it
	unknown  map[uint16]bool // what the subscriber has between PUBLISH and PUBREL
	seen     []string
}

func newExactPlay(s *stage, seed uint64) *exactPlay {
	p := &exactPlay{s: s, rng: rand.New(rand.NewPCG(seed, 2)), unknown: map[uint16]bool{}}
	p.sub = s.joined(mqttwire.V311, "sub", keep)
	p.sub.listens("a", 2)
	p.pub = s.joined(mqttwire.V311, "pub", keep)
	return p
}

func (p *exactPlay) run(messages int) {
	for p.next < messages {
		switch p.rng.IntN(12) {
		case 0:
			p.pub.drop()
			p.joinPub()
		case 1:
			p.sub.drop()
			p.joinSub()
		case 2:
			p.s.cutPower(nil)
			p.joinPub()
			p.joinSub()
		case 3:
			p.s.log.Hold()
		case 4:
			p.s.log.Auto().Commit()
		case 5, 6, 7:
			p.listen()
		default:
			p.speak()
		}
	}
	p.s.log.Auto().Commit()
	for range 4 {
		p.speak()
		p.listen()
	}
	for i := range messages {
		if i >= len(p.seen) || p.seen[i] != fmt.Sprint(i) {
			p.s.t.Fatalf("the subscriber saw %v", p.seen)
		}
	}
}

func (p *exactPlay) joinPub() { p.pub = p.s.connect(mqttwire.V311, "pub", keep) }
func (p *exactPlay) joinSub() { p.sub = p.s.connect(mqttwire.V311, "sub", keep) }

// speak publishes, or repeats what has no answer yet. Once PUBREC was seen a
// publisher repeats PUBREL alone.
func (p *exactPlay) speak() {
	id := uint16(p.next%3 + 1)
	if p.released {
		p.pub.answer(pubrel, id)
	} else {
		p.pub.publish("a", fmt.Sprint(p.next), 2, id, dup)
	}
	for _, got := range p.pub.got() {
		switch got {
		case fmt.Sprintf("PUBREC %d", id):
			if !p.released {
				p.released = true
				p.pub.answer(pubrel, id)
			}
		case fmt.Sprintf("PUBCOMP %d", id):
			p.released = false
			p.next++
			id = uint16(p.next%3 + 1)
		}
	}
}

// listen takes what came, and answers by the book.
func (p *exactPlay) listen() {
	for _, got := range p.sub.got() {
		var text string
		var id uint16
		if n, _ := fmt.Sscanf(got, "PUBLISH a=%s q2 #%d", &text, &id); n == 2 {
			if !p.unknown[id] {
				p.unknown[id] = true
				p.seen = append(p.seen, text)
			}
			p.sub.answer(pubrec, id)
		}
		if n, _ := fmt.Sscanf(got, "PUBREL %d", &id); n == 1 {
			delete(p.unknown, id)
			p.sub.answer(pubcomp, id)
		}
	}
}
