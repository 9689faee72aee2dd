package devices

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/spool"
	"leveret/spool/mem"
)

// gateway is a registry on a real core, in a time of its own.
type gateway struct {
	t     *testing.T
	rules Rules
	log   *mem.Log
	notes int // written so far
	saves int // appends with notes
	now   amqp.Instant
	due   amqp.Instant // when the registry asked to be called; 0 is never
	base  time.Time    // the wall clock at the start
	sure  bool         // the clock is right
	deaf  bool         // publishers wait

	core    *broker.Broker
	devices *Registry
	queue   *broker.Session // of all events
}

func newGateway(t *testing.T, rules Rules) *gateway {
	if rules.Max == 0 {
		rules.Max = 100
	}
	g := &gateway{t: t, rules: rules, log: mem.New().Auto(), sure: true, base: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	g.start()
	return g
}

// Append counts what the registry writes.
func (g *gateway) Append(b *spool.Batch) (spool.LSN, error) {
	n := 0
	for _, p := range b.Puts {
		if strings.HasPrefix(p.Key, spool.Minor+"note/") {
			n++
		}
	}
	if g.notes += n; n > 0 {
		g.saves++
	}
	return g.log.Append(b)
}

type countedLog struct {
	*mem.Log
	g *gateway
}

func (l countedLog) Append(b *spool.Batch) (spool.LSN, error) { return l.g.Append(b) }

func (g *gateway) start() {
	g.t.Helper()
	g.now, g.due = 1, 0
	clock := func() amqp.Instant { return g.now }
	g.devices = New(Options{Rules: g.rules, Now: clock, Alarm: g.alarm, Deaf: func() bool { return g.deaf }, Log: slog.New(slog.DiscardHandler)})
	var err error
	g.core, err = broker.Open(broker.Options{
		Log: countedLog{g.log, g}, Now: clock, Watcher: g.devices,
		Boot: broker.BootRecord{Base: g.base, Synchronised: g.sure},
	})
	g.must(err)
	g.must(g.devices.Attach(g.core))
	c, err := g.core.Connect("/", broker.Identity{}, func() {})
	g.must(err)
	_, _, err = c.DeclareQueue(broker.QueueSpec{Name: "events", Durable: true})
	g.must(err)
	_, err = c.BindQueue("events", Exchange, "device.#", nil)
	g.must(err)
	g.queue = c.Open()
}

// cut takes the power away for a time.
func (g *gateway) cut(off time.Duration) {
	g.t.Helper()
	g.log = g.log.Crash().Auto()
	g.base = g.base.Add(time.Duration(g.now) + off).Truncate(time.Second)
	g.start()
}

func (g *gateway) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) alarm(at amqp.Instant) {
	if g.due == 0 || at < g.due {
		g.due = at
	}
}

// pass lets time go by, and calls the registry when it asked for it.
func (g *gateway) pass(d time.Duration) {
	g.t.Helper()
	until := g.now + amqp.Instant(d)
	for calls := 0; g.due != 0 && g.due <= until; calls++ {
		if calls > 100_000 {
			g.t.Fatal("the registry asks to be called again and again")
		}
		g.now = max(g.now, g.due)
		g.due = 0
		if next := g.devices.Tick(); next != 0 {
			g.alarm(next)
		}
	}
	g.now = until
}

// sensor is an MQTT client.
type sensor struct {
	g *gateway
	*broker.Conn
	session *broker.Session
}

func (g *gateway) connect(id string) *sensor {
	return g.connectAs(broker.Identity{User: "sensors", Client: id, Peer: "10.0.0.7:4711", Protocol: "MQTT 5"})
}

func (g *gateway) connectAs(who broker.Identity) *sensor {
	g.t.Helper()
	c, err := g.core.Connect("/", who, func() {})
	g.must(err)
	return &sensor{g, c, c.Open()}
}

func (s *sensor) publish(key string) {
	s.g.t.Helper()
	_, err := s.session.Publish(s.g.now, []broker.Publish{{Msg: &amqp.Message{Exchange: "amq.topic", Key: key, Body: []byte("21.5")}}})
	s.g.must(err)
}

// happened is the events since it was last asked, as kind and device.
func (g *gateway) happened() (list []string) {
	g.t.Helper()
	for {
		d, _, ok, err := g.queue.Get("events", true)
		g.must(err)
		if !ok {
			return list
		}
		var ev Event
		g.must(json.Unmarshal(d.Msg.Body, &ev))
		if want := string(ev.Kind) + "." + ev.Device; d.Msg.Key != want || d.Msg.Props.Type() != string(ev.Kind) {
			g.t.Errorf("routing key %q, type %q for %s", d.Msg.Key, d.Msg.Props.Type(), d.Msg.Body)
		}
		list = append(list, strings.TrimPrefix(d.Msg.Key, "device."))
	}
}

func (g *gateway) expect(want ...string) {
	g.t.Helper()
	if got := g.happened(); !slices.Equal(got, want) {
		g.t.Errorf("at %s: events %q, want %q", time.Duration(g.now), got, want)
	}
}

func (g *gateway) counts(known, connected, silent int) {
	g.t.Helper()
	if c := g.devices.Counts(); c.Known != known || c.Connected != connected || c.Silent != silent {
		g.t.Errorf("at %s: %+v, want %d known, %d connected, %d silent", time.Duration(g.now), c, known, connected, silent)
	}
}

func TestWhatIsKnownOfADevice(t *testing.T) {
	g := newGateway(t, Rules{})
	s := g.connect("meter-1")
	g.pass(time.Minute)
	s.publish("plant.1.power")
	s.publish("plant.1.heat")
	g.pass(time.Minute)
	v, ok := g.devices.Get("meter-1")
	if !ok || !v.Connected || v.MessagesIn != 2 || v.BytesIn != 8 || v.LastKey != "plant.1.heat" || v.User != "sensors" ||
		v.Address != "10.0.0.7:4711" || v.Protocol != "MQTT 5" || !v.LastMessage.Equal(g.base.Add(time.Minute)) || !v.FirstSeen.Equal(g.base) || v.Unsure != nil {
		t.Errorf("while it is connected: %+v", v)
	}
	s.Close()
	g.pass(time.Minute)
	if v, _ := g.devices.Get("meter-1"); v.Connected || v.MessagesIn != 2 || !v.LastSeen.Equal(g.base.Add(2*time.Minute)) {
		t.Errorf("after it has gone: %+v", v)
	}
	again := g.connect("meter-1")
	again.publish("k")
	if v, _ := g.devices.Get("meter-1"); v.MessagesIn != 3 || v.Connections != 1 {
		t.Errorf("when it is back: %+v", v)
	}
	g.pass(time.Second)
	g.expect("connected.meter-1", "disconnected.meter-1", "connected.meter-1")
	g.counts(1, 1, 0)
}

func TestSilence(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: 15 * time.Minute, Special: []Rule{{"slow-*", time.Hour}, {"free", 0}}})
	fast, slow, free, listener := g.connect("fast"), g.connect("slow-1"), g.connect("free"), g.connect("listener")
	fast.publish("k")
	free.publish("k")
	g.pass(10 * time.Minute)
	fast.publish("k")
	g.pass(15*time.Minute - time.Second)
	g.expect("connected.fast", "connected.slow-1", "connected.free", "connected.listener")
	g.counts(4, 4, 0)
	g.pass(time.Second + time.Duration(grain(15*time.Minute)))
	g.expect("silent.fast")
	g.pass(24 * time.Hour) // slow-1 never published, but it is named
	g.expect("silent.slow-1")
	g.counts(4, 4, 2)

	fast.publish("k")
	g.pass(time.Millisecond) // at once
	g.expect("back.fast")
	fast.publish("k")
	fast.publish("k")
	g.pass(time.Minute)
	g.expect()
	fast.Close()
	g.pass(time.Hour) // gone is silent, too
	g.expect("disconnected.fast", "silent.fast")
	again := g.connect("fast")
	g.pass(time.Minute)
	g.expect("connected.fast")
	g.counts(4, 4, 2) // a connection alone says nothing
	again.publish("k")
	again.Close() // before anybody could look
	g.pass(time.Minute)
	g.expect("disconnected.fast", "back.fast")
	listener.publish("k") // from now on it is missed
	slow.publish("k")
	g.pass(16 * time.Minute)
	g.expect("back.slow-1", "silent.fast", "silent.listener")
}

// TestNobodyIsSilentToTheDeaf: while the spool is full publishers are not read
// from, and have their whole time again after it.
func TestNobodyIsSilentToTheDeaf(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: 10 * time.Minute})
	s := g.connect("meter")
	s.publish("k")
	g.pass(5 * time.Minute)
	g.deaf = true
	g.pass(7 * 24 * time.Hour)
	g.expect("connected.meter")
	g.deaf = false
	g.devices.Pardon()
	g.pass(10*time.Minute - time.Second)
	g.expect()
	g.pass(time.Minute)
	g.expect("silent.meter")
}

// TestBusyDevicesAreNotSilent lets the messages come between all looks.
func TestBusyDevicesAreNotSilent(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: time.Minute})
	s := g.connect("busy")
	for range 1000 {
		s.publish("k")
		g.pass(59 * time.Second)
	}
	g.expect("connected.busy")
}

func TestRestarts(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: 15 * time.Minute})
	quiet, busy := g.connect("quiet"), g.connect("busy")
	quiet.publish("k")
	busy.publish("k")
	g.pass(10 * time.Minute)
	busy.publish("k")
	g.pass(6 * time.Minute)
	g.expect("connected.quiet", "connected.busy", "silent.quiet")
	g.pass(time.Minute) // what matters is saved by now
	g.cut(7 * 24 * time.Hour)
	g.counts(2, 0, 1)
	g.pass(14 * time.Minute)
	g.expect() // a week without power is nobody's silence, and quiet's was told
	v, _ := g.devices.Get("quiet")
	if v.MessagesIn != 1 || v.SilentSince == nil || v.Unsure != nil || !v.SilentSince.Before(g.base) {
		t.Errorf("after the cut: %+v", v)
	}
	g.connect("quiet").publish("k")
	g.pass(2 * time.Minute)
	g.expect("connected.quiet", "back.quiet", "silent.busy")

	g.pass(saveEvery)
	g.cut(0)
	g.counts(2, 0, 1)
	if v, _ := g.devices.Get("quiet"); v.MessagesIn != 2 || v.Silent {
		t.Errorf("after the second cut: %+v", v)
	}
}

// TestStaleness: a cut takes no more than the newest counts.
func TestStaleness(t *testing.T) {
	g := newGateway(t, Rules{})
	s := g.connect("meter")
	s.publish("a")
	g.pass(saveSoon + time.Second)
	s.publish("b")
	g.cut(0)
	if v, ok := g.devices.Get("meter"); !ok || v.MessagesIn != 1 || v.LastKey != "a" {
		t.Errorf("after a cut: %+v, %v", v, ok)
	}
	g.connect("meter").publish("c")
	g.devices.Save() // a stop in good order takes nothing
	g.cut(0)
	if v, ok := g.devices.Get("meter"); !ok || v.MessagesIn != 2 || v.LastKey != "c" {
		t.Errorf("after a stop: %+v, %v", v, ok)
	}
}

func TestTheOldestGivesWay(t *testing.T) {
	g := newGateway(t, Rules{Max: 3})
	for _, id := range []string{"a", "b", "c"} {
		g.connect(id).Close()
		g.pass(time.Second)
	}
	keep := g.connect("a")
	g.connect("d") // in place of b, which has been away for longest
	ids := func() (list []string) {
		for _, v := range g.devices.List() {
			list = append(list, v.ID)
		}
		return list
	}
	if got := ids(); !slices.Equal(got, []string{"a", "c", "d"}) {
		t.Errorf("known are %q", got)
	}
	g.connect("e")
	g.connect("f").Close() // no room: all others are connected
	if c := g.devices.Counts(); c.Known != 3 || c.Connected != 3 || c.Forgotten != 2 || c.Overlooked != 1 {
		t.Errorf("counts are %+v", c)
	}
	g.pass(time.Minute)
	g.cut(0)
	if got := ids(); !slices.Equal(got, []string{"a", "d", "e"}) {
		t.Errorf("known after a cut are %q", got)
	}
	keep.Close()
	g.rules.Max = 1
	g.connect("z").Close()
	g.devices.Save()
	g.cut(0)
	if got := ids(); !slices.Equal(got, []string{"z"}) {
		t.Errorf("known after the bound was lowered are %q", got)
	}
}

// TestWear: a hundred sensors that publish each second cost one write of each
// in ten minutes.
func TestWear(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: 5 * time.Minute})
	var all []*sensor
	for i := range 100 {
		all = append(all, g.connect(fmt.Sprint("meter-", i)))
	}
	g.pass(time.Minute)
	g.saves, g.notes = 0, 0
	const hours = 2
	for range hours * 3600 {
		for _, s := range all {
			s.publish("k")
		}
		g.pass(time.Second)
	}
	if g.saves > hours*6 || g.notes > hours*6*len(all) {
		t.Errorf("%d messages: %d writes of %d devices in all, want at most %d of %d", hours*3600*len(all), g.saves, g.notes, hours*6, hours*6*len(all))
	}
	g.pass(time.Hour) // they are silent, which is told; then there is nothing to write
	g.saves, g.notes = 0, 0
	g.pass(24 * time.Hour)
	if g.saves > 0 {
		t.Errorf("%d writes although nothing happened", g.saves)
	}
}

// TestNobodyListens: events that nobody has bound are not made.
func TestNobodyListens(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: time.Minute})
	_, err := g.queue.Conn().UnbindQueue("events", Exchange, "device.#", nil)
	g.must(err)
	before := g.core.Status().Published
	s := g.connect("meter")
	s.publish("k")
	g.pass(time.Hour)
	if got := g.core.Status().Published - before; got != 1 {
		t.Errorf("%d messages were published, want the sensor's one", got)
	}
	if _, err := g.queue.Conn().DeleteExchange(Exchange, false); err != nil {
		t.Fatal(err)
	}
	s.Close()
	g.pass(time.Second)
	if _, err := g.queue.Conn().BindQueue("events", Exchange, "#", nil); err != nil {
		t.Errorf("the exchange was deleted and is not there again: %v", err)
	}
}

// TestEventsOutliveAStop: what was not published before the end is at the next
// start, in its order, once, with the times at which it happened.
func TestEventsOutliveAStop(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: time.Minute})
	g.connect("a").publish("k")
	b := g.connect("b")
	g.pass(time.Second)
	g.happened()
	g.now += amqp.Instant(30 * time.Second)
	b.Close() // as doors do at the end: nobody ticks any more
	g.connect("c").Close()
	g.must(g.devices.Stop())
	began := g.base
	g.cut(time.Hour)
	g.pass(time.Second)
	d, _, ok, err := g.queue.Get("events", true)
	g.must(err)
	var ev Event
	if !ok || json.Unmarshal(d.Msg.Body, &ev) != nil || ev.Device != "b" || ev.User != "sensors" || !ev.Time.Equal(began.Add(31*time.Second)) || len(ev.Unsure) > 0 {
		t.Fatalf("the first is %+v", ev)
	}
	g.expect("connected.c", "disconnected.c")
	g.cut(0)
	g.pass(time.Second)
	g.expect()

	// Nobody would hear of it: nothing is kept.
	_, err = g.queue.Conn().UnbindQueue("events", Exchange, "device.#", nil)
	g.must(err)
	g.connect("d").Close()
	g.must(g.devices.Stop())
	g.cut(0)
	g.pass(time.Second)
	g.expect()
}

// TestEventsWaitForRoomOverAStop: silences for which a full spool had no room are
// told when it has some, be it in another life.
func TestEventsWaitForRoomOverAStop(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: time.Minute})
	g.connect("a").publish("k")
	g.pass(time.Second)
	g.happened()
	for range 2 {
		g.log.SetFull(true)
		g.pass(2 * time.Minute)
		g.must(g.devices.Stop())
		g.cut(0)
	}
	g.log.SetFull(true)
	g.pass(time.Minute)
	g.expect()
	g.log.SetFull(false)
	g.pass(time.Minute)
	if got := g.happened(); !slices.Contains(got, "silent.a") || len(got) != 1 {
		t.Errorf("events %q, want that a is silent, once", got)
	}
}

func TestStoredEvents(t *testing.T) {
	ev := Event{Kind: Silent, Device: "d", Client: "c", User: "u", VHost: "/", Protocol: "MQTT 5", Address: "a", LastKey: "k", SilentAfter: 60,
		at: amqp.Stamp{Boot: 3, At: 7}, since: amqp.Stamp{Boot: 2, At: 5}}
	b := ev.encode()
	if got, err := decodeEvent(b); err != nil || !reflect.DeepEqual(got, ev) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	for n := range b {
		if _, err := decodeEvent(b[:n]); err == nil {
			t.Errorf("the first %d bytes alone are taken for an event", n)
		}
	}
	b[0] = 9
	if _, err := decodeEvent(b); err == nil {
		t.Error("an event of another version was read")
	}
}

// TestAnotherExchangeOfTheName: clients may make what they like, the gateway
// starts all the same.
func TestAnotherExchangeOfTheName(t *testing.T) {
	g := newGateway(t, Rules{})
	c := g.queue.Conn()
	if _, err := c.DeleteExchange(Exchange, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeclareExchange(broker.ExchangeSpec{Name: Exchange, Type: "fanout", Durable: true}); err != nil {
		t.Fatal(err)
	}
	g.cut(0)
	g.connect("meter").Close()
	g.pass(time.Minute)
	g.counts(1, 0, 0)
}

func TestAnUnsureClock(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: time.Minute})
	g.sure = false
	g.cut(0)
	s := g.connect("meter")
	s.publish("k")
	g.pass(2 * time.Minute)
	var d broker.Delivery
	for ok := true; ok && (d.Msg == nil || d.Msg.Props.Type() != "device.silent"); {
		var err error
		d, _, ok, err = g.queue.Get("events", true)
		g.must(err)
	}
	var ev Event
	g.must(json.Unmarshal(d.Msg.Body, &ev))
	if _, stamped := d.Msg.Props.Timestamp(); stamped || !slices.Equal(ev.Unsure, []string{"time", "silent_since"}) {
		t.Errorf("event %s", d.Msg.Body)
	}
	if v, _ := g.devices.Get("meter"); !slices.Equal(v.Unsure, []string{"first_seen", "last_seen", "last_message", "silent_since"}) {
		t.Errorf("view %+v", v)
	}
	right := g.base.Add(1000 * time.Hour)
	g.core.CorrectClock(right, true)
	if v, _ := g.devices.Get("meter"); v.Unsure != nil || v.FirstSeen.Before(right) {
		t.Errorf("view after the clock was corrected %+v", v)
	}
}

func TestForgetAndConfigure(t *testing.T) {
	g := newGateway(t, Rules{SilentAfter: time.Minute})
	s := g.connect("meter")
	s.publish("k")
	if _, err := g.devices.Forget("meter"); err != ErrConnected {
		t.Errorf("forgetting a connected one: %v", err)
	}
	s.Close()
	g.pass(time.Hour)
	g.counts(1, 0, 1)
	g.devices.Configure(Rules{Max: 100, SilentAfter: 2 * time.Hour})
	g.counts(1, 0, 0)
	g.devices.Configure(Rules{Max: 100, SilentAfter: time.Minute})
	g.counts(1, 0, 1)
	g.devices.Configure(Rules{Max: 100})
	g.pass(time.Second)
	g.counts(1, 0, 0)
	if ok, err := g.devices.Forget("meter"); !ok || err != nil {
		t.Errorf("forgetting: %v, %v", ok, err)
	}
	if ok, _ := g.devices.Forget("meter"); ok {
		t.Error("forgotten twice")
	}
	g.pass(time.Minute)
	g.cut(0)
	g.counts(0, 0, 0)
	g.connect("a").Close()
	g.connect("b").Close()
	g.devices.Configure(Rules{Max: 1})
	g.counts(1, 0, 0)
}

// TestDamagedEventsAreLeftOut: one that cannot be read stops no other, and is not
// met again.
func TestDamagedEventsAreLeftOut(t *testing.T) {
	g := newGateway(t, Rules{})
	good := Event{Kind: Silent, Device: "a"}
	_, err := g.core.KeepNotes([]broker.Note{
		{Kind: owedKind, Name: "0", Value: []byte{9}}, {Kind: owedKind, Name: "1", Value: good.encode()},
		{Kind: owedKind, Name: "7", Value: good.encode()}, {Kind: owedKind, Name: "x", Value: good.encode()},
	})
	g.must(err)
	g.cut(0)
	g.pass(time.Second)
	g.expect("silent.a")
	g.cut(0)
	if left := g.core.TakeNotes(owedKind); len(left) > 0 {
		t.Errorf("%d notes are left", len(left))
	}
	g.pass(time.Second)
	g.expect()
}
