package broker

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"leveret/amqp"
	"leveret/spool"
	"leveret/spool/mem"
)

// diary writes down what a watcher is told.
type diary []string

func (d *diary) Opened(c *Conn) { *d = append(*d, "opened "+c.Identity().Peer) }
func (d *diary) Closed(c *Conn) {
	t := c.Traffic()
	*d = append(*d, fmt.Sprintf("closed %s in %d/%d out %d/%d last %q at %d", c.Identity().Peer, t.In, t.InBytes, t.Out, t.OutBytes, t.LastKey, t.LastIn))
}
func (d *diary) Heard(c *Conn) { *d = append(*d, "heard "+c.Identity().Peer) }

func TestPeersAreWatched(t *testing.T) {
	told := new(diary)
	b, err := Open(Options{Log: mem.New().Auto(), Watcher: told})
	if err != nil {
		t.Fatal(err)
	}
	own, err := b.Connect("/", Identity{Protocol: "configuration"}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect("/", Identity{Peer: "sensor"}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "q"}); err != nil {
		t.Fatal(err)
	}
	s := c.OpenChannel(1)
	publish := func(at amqp.Instant, bodies ...string) {
		t.Helper()
		var ps []Publish
		for _, body := range bodies {
			ps = append(ps, Publish{Msg: &amqp.Message{Key: "q", Body: []byte(body)}})
		}
		if _, err := s.Publish(at, ps); err != nil {
			t.Fatal(err)
		}
	}
	publish(7, "one", "three")
	c.Listen()
	publish(8, "x")
	publish(9, "y")
	if _, _, _, err := s.Get("q", true); err != nil {
		t.Fatal(err)
	}
	consumer, err := s.Consume("q", ConsumerSpec{NoAck: true})
	if err != nil {
		t.Fatal(err)
	}
	consumer.Start()
	c.Take(nil)

	peers, channels, consumers := b.Peers(), b.Channels(), b.Consumers()
	if len(peers) != 1 || peers[0].Conn != c || peers[0].Channels != 1 || peers[0].In != 4 {
		t.Errorf("peers are %+v", peers)
	}
	if len(channels) != 1 || channels[0].Number != 1 || channels[0].Consumers != 1 {
		t.Errorf("channels are %+v", channels)
	}
	if len(consumers) != 1 || consumers[0].Channel != 1 || consumers[0].Queue != "q" || !consumers[0].Active {
		t.Errorf("consumers are %+v", consumers)
	}
	c.Close()
	c.Close()
	own.Close()
	want := []string{"opened sensor", "heard sensor", `closed sensor in 4/10 out 4/10 last "q" at 9`}
	if !slices.Equal(*told, want) {
		t.Errorf("the watcher was told %q, want %q", *told, want)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect("/", Identity{Peer: "sensor"}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	ps := make([]Publish, 32)
	for i := range ps {
		ps[i].Msg = &amqp.Message{Key: "k", Body: []byte("body")}
	}
	if n := testing.AllocsPerRun(100, func() { c.receivedLocked(1, ps) }); n != 0 {
		t.Errorf("counting a batch allocates %v times", n)
	}
}

func TestNotesAndPausesOutliveACut(t *testing.T) {
	log := mem.New().Auto()
	open := func() *Broker {
		b, err := Open(Options{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	notes := []Note{{"a", "x", []byte("one")}, {"a", "y", []byte{}}, {"b", "x", []byte("other")}}
	if _, err := b.KeepNotes(notes); err != nil {
		t.Fatal(err)
	}
	if _, err := b.KeepNotes([]Note{{"a", "y", nil}, {"a", "z", []byte("three")}}); err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect("/", Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for name, durable := range map[string]bool{"kept": true, "resumed": true, "gone": false} {
		if _, _, err := c.DeclareQueue(QueueSpec{Name: name, Durable: durable}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.PauseQueue("/", name, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.PauseQueue("/", "resumed", false); err != nil {
		t.Fatal(err)
	}

	log = log.Crash().Auto()
	b = open()
	taken := b.TakeNotes("a")
	if fmt.Sprintf("%s", taken) != "[{a x one} {a z three}]" {
		t.Errorf("notes of a are %s", taken)
	}
	if again := b.TakeNotes("a"); again != nil {
		t.Errorf("notes are given twice: %s", again)
	}
	if others := b.TakeNotes("b"); len(others) != 1 {
		t.Errorf("notes of b are %s", others)
	}
	for name, paused := range map[string]bool{"kept": true, "resumed": false} {
		if st, ok := b.QueueStatus("/", name); !ok || st.Paused != paused {
			t.Errorf("after the cut queue %q is paused: %v, want %v", name, st.Paused, paused)
		}
	}
}

func TestTopologyIsListed(t *testing.T) {
	b, err := Open(Options{Log: mem.New().Auto()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connect("/", Identity{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.DeclareQueue(QueueSpec{Name: "q"}); err != nil {
		t.Fatal(err)
	}
	if b.Bound("/", "amq.topic") || b.Bound("/", "none") || b.Bound("none", "amq.topic") {
		t.Error("bound without a binding")
	}
	if _, err := c.BindQueue("q", "amq.topic", "a.#", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.BindExchange("amq.topic", "amq.fanout", "", nil); err != nil {
		t.Fatal(err)
	}
	if !b.Bound("/", "amq.topic") {
		t.Error("not bound with a binding")
	}
	const want = `&{/  q false q []} &{/ amq.fanout amq.topic true  []} &{/ amq.topic q false a.# []} `
	got := ""
	for _, one := range b.AllBindings() {
		got += fmt.Sprint(one) + " "
	}
	if got != want {
		t.Errorf("bindings are %s, want %s", got, want)
	}
	if n := len(b.Exchanges()); n != len(predeclared) {
		t.Errorf("%d exchanges, want %d", n, len(predeclared))
	}
	retain := func(exchange, key string) {
		m := &amqp.Message{Exchange: exchange, Key: key, Body: []byte("v")}
		if _, err := c.Open().Publish(0, []Publish{{Msg: m, Retain: true}}); err != nil {
			t.Fatal(err)
		}
	}
	retain("amq.topic", "a.b")
	retain("amq.fanout", "a.c")
	found, err := b.RetainedValues("/", "a.*")
	if err != nil || len(found) != 2 || found[0].Exchange != "amq.fanout" {
		t.Errorf("retained values are %v, %v", found, err)
	}
	if m := b.RetainedValue("/", "amq.topic", "a.b"); m == nil || b.RetainedValue("/", "amq.topic", "a.c") != nil {
		t.Errorf("the value is %v", m)
	}
}

// damagedLog holds a definition that does not read back, and messages of a
// queue that nobody knows.
type damagedLog struct {
	nullLog
	key    string
	purged int
}

func (l *damagedLog) Load(def func(string, []byte) error, queue func(spool.Depth) error) error {
	return errors.Join(def(l.key, nil), queue(spool.Depth{Queue: 9, Count: 1, First: 1, Last: 1}))
}

func (l *damagedLog) Append(b *spool.Batch) (spool.LSN, error) {
	l.purged += len(b.Purges)
	return l.nullLog.Append(b)
}

// TestADamagedNoteHidesNoQueue: messages of an unknown queue are kept when the
// queue's definition may be lost, and only then.
func TestADamagedNoteHidesNoQueue(t *testing.T) {
	for key, purged := range map[string]int{kindNote + "/x": 1, "queue/x": 0, "": 0} {
		log := &damagedLog{key: key}
		if _, err := Open(Options{Log: log}); err != nil || log.purged != purged {
			t.Errorf("with %q damaged: %d purges, %v, want %d", key, log.purged, err, purged)
		}
	}
}
