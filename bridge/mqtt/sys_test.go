package mqtt

import (
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

func TestSysTree(t *testing.T) {
	onStage(t, func(o *Options) { o.Version = "9.9" }, func(s *stage) {
		s.joined(mqttwire.V311, "away", keep).bye()
		all := s.joined(mqttwire.V311, "all")
		all.listens("#", 0)
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(7, mqttwire.Subscription{Filter: "$SYS/broker/clients/#", QoS: 1}, mqttwire.Subscription{Filter: "$SYS/broker/version", QoS: 1})
		c.expect("SUBACK 1 1 1",
			"PUBLISH $SYS/broker/clients/connected=2 q0 retain [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/disconnected=1 q0 retain [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/total=3 q0 retain [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/maximum=2 q0 retain [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/expired=0 q0 retain [subscription identifier 7]",
			"PUBLISH $SYS/broker/version=leveret version 9.9 q0 retain [subscription identifier 7]")
		c.unsubscribe("$SYS/broker/version")
		c.expect("UNSUBACK 2 0")
		time.Sleep(9 * time.Second)
		c.expect()
		all.expect()
		all.drop()
		time.Sleep(2 * time.Second)
		c.expect("PUBLISH $SYS/broker/clients/connected=1 q0 [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/disconnected=1 q0 [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/total=2 q0 [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/maximum=2 q0 [subscription identifier 7]",
			"PUBLISH $SYS/broker/clients/expired=0 q0 [subscription identifier 7]")
		c.unsubscribe("$SYS/broker/clients/#")
		c.expect("UNSUBACK 2 0")
		time.Sleep(30 * time.Second)
		c.expect()
		if n := len(s.door.watchers); n != 0 {
			t.Errorf("%d connections still count as watchers", n)
		}
	})
}

func TestSysCountsExpiredSessions(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.joined(mqttwire.V5, "brief", with(mqttwire.SessionExpiry, 5)).drop()
		time.Sleep(6 * time.Second)
		c := s.joined(mqttwire.V311, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "$SYS/broker/clients/expired"})
		c.expect("SUBACK 1 0", "PUBLISH $SYS/broker/clients/expired=1 q0 retain")
	})
}

// Mosquitto's names: monitors look for them.
func TestSysNames(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		c := s.joined(mqttwire.V311, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "$SYS/#"})
		var names []string
		for _, got := range c.got() {
			if name, ok := strings.CutPrefix(got, "PUBLISH $SYS/broker/"); ok {
				name, _, _ = strings.Cut(name, "=")
				names = append(names, name)
			}
		}
		for _, name := range []string{
			"version", "uptime", "clients/connected", "clients/disconnected", "clients/total", "publish/messages/received",
			"publish/messages/sent", "publish/messages/dropped", "retained messages/count", "subscriptions/count",
			"shared_subscriptions/count", "store/messages/count", "heap/current", "clients/maximum", "clients/expired",
			"leveret/publish/throttled", "leveret/wills/lost", "leveret/connections/refused",
		} {
			if !slices.Contains(names, name) {
				t.Errorf("%q is not told; told are %q", name, names)
			}
		}
	})
}

// onlyVersion may subscribe to everything and be given one value.
type onlyVersion struct{}

func (onlyVersion) Allows(broker.Action, string) bool { return true }
func (onlyVersion) MayReceive(topic string) bool      { return topic == "$SYS/broker/version" }

// Of the tree too a client is given what it may be given.
func TestSysTreeAsFarAsAllowed(t *testing.T) {
	limited := func(o *Options) {
		o.Version = "9.9"
		o.Authenticate = func(Login) (string, broker.Access, error) { return "u", onlyVersion{}, nil }
	}
	onStage(t, limited, func(s *stage) {
		c := s.joined(mqttwire.V5, "c")
		c.subscribe(0, mqttwire.Subscription{Filter: "$SYS/#"})
		c.expect("SUBACK 1 0", "PUBLISH $SYS/broker/version=leveret version 9.9 q0 retain")
		time.Sleep(sysEvery)
		c.expect("PUBLISH $SYS/broker/version=leveret version 9.9 q0")
	})
}
