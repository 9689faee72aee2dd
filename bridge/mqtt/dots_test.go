package mqtt

import (
	"testing"
	"testing/synctest"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/mqttwire"
)

func rabbitDots(o *Options) { o.Dots = bridge.DotsRabbit }

// With RabbitMQ's spelling a dot of a topic is a level for everybody: in keys,
// on the way back, and in what subscriptions match.
func TestRabbitDots(t *testing.T) {
	for _, tc := range []struct {
		topic, key, back string
		filters          []string // that match
		others           []string // that do not
	}{
		{"plant/1/temp", "plant.1.temp", "plant/1/temp", []string{"plant/+/temp", "#"}, []string{"plant/1"}},
		{"a.b/c", "a.b.c", "a/b/c", []string{"a.b/c", "a/b/c", "a/b.c", "a/+/c", "a/#", "a.b/#", "a.b/+"}, []string{"+/c", "a/c"}},
		{"spBv1.0/g/DDATA/n", "spBv1___0.g.DDATA.n", "spBv1.0/g/DDATA/n", []string{"spBv1.0/#", "spBv1.0/+/DDATA/n", "+/g/#"}, []string{"spBv1/0/#"}},
		{"spBv1.0", "spBv1___0", "spBv1.0", []string{"spBv1.0", "+", "spBv1.0/#"}, []string{"spBv1/0"}},
		{"a//b", "a..b", "a//b", []string{"a//b", "a/+/b"}, []string{"a/b"}},
		{"100%/x%2Ey", "100%.x%2Ey", "100%/x%2Ey", []string{"+/x%2Ey"}, []string{"100%/x.y"}},
	} {
		t.Run(tc.topic, func(t *testing.T) {
			onStage(t, rabbitDots, func(s *stage) {
				queued := s.asQueue()
				p := s.joined(mqttwire.V5, "p")
				for i, f := range append(tc.filters, tc.others...) {
					c := s.joined(mqttwire.V5, "c")
					c.listens(f, 1)
					shared := s.joined(mqttwire.V5, "shared")
					shared.listens("$share/g/"+f, 1)
					p.publish(tc.topic, "m", 1, 1, retain)
					p.got()
					late := s.joined(mqttwire.V311, "late")
					late.listensTo(f)
					if i >= len(tc.filters) {
						c.expect()
						shared.expect()
						late.expect("SUBACK 1 0")
					} else {
						c.expect("PUBLISH " + tc.back + "=m q1 #1")
						shared.expect("PUBLISH " + tc.back + "=m q1 #1")
						late.expect("SUBACK 1 0", "PUBLISH "+tc.back+"=m q0 retain")
					}
					c.unsubscribe(f)
					c.expect("UNSUBACK 2 0")
					c.bye()
					shared.bye()
					late.bye()
					p.publish(tc.topic, "", 0, 0, retain)
				}
				if got, want := queued(), tc.key+"=m mode 2 [x-mqtt-retain: true]"; got != want {
					t.Errorf("AMQP sees %q, want %q", got, want)
				}
				if n := s.door.Stats().Unmatched; n != 0 {
					t.Errorf("%d messages came that matched nothing", n)
				}
			})
		})
	}
}

// listensTo subscribes with QoS 0.
func (c *client) listensTo(filter string) {
	c.s.t.Helper()
	c.subscribe(0, mqttwire.Subscription{Filter: filter})
}

func TestRabbitDotsOfEverythingElse(t *testing.T) {
	routed := func(o *Options) {
		rabbitDots(o)
		o.Routes = []Route{{Filter: "home.lamp/#", Exchange: "home"}}
	}
	onStage(t, routed, func(s *stage) {
		s.routed("home")
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "#", NoLocal: true})
		c.expect("SUBACK 1 0")

		// Response topics, and keys of AMQP clients.
		s.asAMQP("x.y", amqp.PropertyList{Headers: amqp.Table{{Key: "x-reply-to-topic", Value: "re.7"}}}, "m")
		c.expect("PUBLISH x/y=m q0 [response topic re/7]")
		s.asAMQP("wild.*", amqp.PropertyList{}, "m") // no topic, and so is the empty key
		s.asAMQP("", amqp.PropertyList{}, "m")
		c.expect()

		// A topic that is only the server's, or nobody's, once it has its levels.
		p := s.joined(mqttwire.V5, "p", willTo("will.of/p", "gone", false))
		p.publish("$SYS.broker.uptime", "7", 1, 1)
		p.expect("PUBACK 1 not authorized")
		p.publish("home.lamp/1", "on", 1, 2)
		p.expect("PUBACK 2")
		c.expect("PUBLISH home/lamp/1=on q0")
		c.publish("home.lamp/2", "own", 0, 0)
		c.expect()
		p.drop()
		c.expect("PUBLISH will/of/p=gone q0")
		share := s.joined(mqttwire.V5, "share")
		share.publish("$share.g.x", "", 0, 0)
		share.expect("DISCONNECT topic name invalid", "closed")
	})
}

// Sessions that are kept follow the spelling over restarts, there and back, and
// their subscriptions stay what they are.
func TestDotsChangeWithARestart(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 3600))
		c.subscribe(7, mqttwire.Subscription{Filter: "a.b/+", QoS: 1}, mqttwire.Subscription{Filter: "$share/g/a.b/c", QoS: 1})
		c.expect("SUBACK 1 1 1")
		seen := map[bridge.Dots]string{bridge.DotsExact: "a.b/c", bridge.DotsRabbit: "a/b/c"}
		for _, dots := range []bridge.Dots{bridge.DotsRabbit, bridge.DotsExact, bridge.DotsRabbit} {
			s.cutPower(func(o *Options) { o.Dots = dots })
			p := s.joined(mqttwire.V5, "p")
			p.publish("a.b/c", "m", 1, 1)
			p.expect("PUBACK 1")
			c := s.joined5(t, "c")
			one := "PUBLISH " + seen[dots] + "=m q1 #"
			c.expect(one+"1 [subscription identifier 7]", one+"2 [subscription identifier 7]")
			c.puback(1, 2)
			synctest.Wait()
			bound := 0
			for _, queue := range []string{"mqtt.c", shareQueue("g", "a.b/c")} {
				for _, b := range s.bindings(queue) {
					if b.Source == "amq.topic" {
						bound++
					}
				}
			}
			if bound != 2 {
				t.Errorf("%d bindings, want one for each subscription", bound)
			}
			c.drop()
		}
	})
}
