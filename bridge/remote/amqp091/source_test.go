package amqp091

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leveret/amqp"
	"leveret/amqp/wire091"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

func TestNothingIsAcknowledgedBeforeItIsSettled(t *testing.T) {
	verdicts := make(chan []wire091.Method, 1)
	early := make(chan []wire091.Method, 1)
	_, r := openAt(t, SourceOptions{}, 8, func(p *peer) {
		if _, err := p.feed(0); err != nil {
			return
		}
		p.letters(1, 6)
		_ = p.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		early <- p.verdicts(0)
		_ = p.SetReadDeadline(time.Now().Add(remotetest.Patience))
		verdicts <- p.verdicts(6)
		p.verdicts(0) // up to the goodbye
	})
	got := take(t, r, 6)
	if e := <-early; len(e) > 0 {
		t.Errorf("%v before anything is settled", e)
	}
	for i, m := range got {
		if want := string(rune('a' + i)); m.Tag != uint64(i+1) || string(m.Body) != want || m.Key != want {
			t.Errorf("message %d is %+v", i+1, m)
		}
	}
	for _, a := range []bridge.Ack{{Tag: 4}, {Tag: 3}, {Tag: 2, Multiple: true}, {Tag: 4}, {Tag: 9}, {Tag: 6, Multiple: true}} {
		if err := r.Settle([]bridge.Ack{a}); err != nil {
			t.Fatal(err)
		}
	}
	want := []wire091.Method{
		&wire091.BasicAck{DeliveryTag: 4}, &wire091.BasicAck{DeliveryTag: 3}, // before older ones
		&wire091.BasicAck{DeliveryTag: 2, Multiple: true}, &wire091.BasicAck{DeliveryTag: 6, Multiple: true},
	}
	if diff := cmp.Diff(want, <-verdicts); diff != "" {
		t.Errorf("acknowledged (-want +got):\n%s", diff)
	}
}

func TestWhatASourceAsksFor(t *testing.T) {
	args := amqp.Table{{Key: "x-queue-type", Value: "quorum"}}
	tests := []struct {
		name    string
		o       SourceOptions
		declare wire091.QueueDeclare
		bind    wire091.QueueBind
		consume wire091.BasicConsume
	}{
		{"a queue that is there", SourceOptions{}, wire091.QueueDeclare{Queue: "commands", Passive: true}, wire091.QueueBind{},
			wire091.BasicConsume{Queue: "commands", Exclusive: true}},
		{"a shared one", SourceOptions{Shared: true}, wire091.QueueDeclare{Queue: "commands", Passive: true}, wire091.QueueBind{},
			wire091.BasicConsume{Queue: "commands"}},
		{"one that is made", SourceOptions{Declare: true, Arguments: args}, wire091.QueueDeclare{Queue: "commands", Durable: true, Arguments: args},
			wire091.QueueBind{}, wire091.BasicConsume{Queue: "commands", Exclusive: true}},
		{"one that is bound", SourceOptions{Exchange: "x", Key: "site.#"}, wire091.QueueDeclare{Queue: "commands", Durable: true},
			wire091.QueueBind{Queue: "commands", Exchange: "x", RoutingKey: "site.#"}, wire091.BasicConsume{Queue: "commands", Exclusive: true}},
		{"a stream", SourceOptions{StreamOffset: "first"}, wire091.QueueDeclare{Queue: "commands", Passive: true}, wire091.QueueBind{},
			wire091.BasicConsume{Queue: "commands", Arguments: amqp.Table{{Key: "x-stream-offset", Value: "first"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan asked, 1)
			openAt(t, tt.o, 70_000, func(p *peer) {
				a, err := p.feed(0)
				if err == nil {
					got <- a
					p.verdicts(0)
				}
			})
			a := <-got
			tt.consume.ConsumerTag = "leveret-box"
			nilIsEmpty := cmp.Transformer("table", func(t amqp.Table) []amqp.Field { return append([]amqp.Field{}, t...) })
			for _, diff := range []string{
				cmp.Diff(tt.declare, a.declare, nilIsEmpty), cmp.Diff(tt.bind, a.bind, nilIsEmpty), cmp.Diff(tt.consume, a.consume, nilIsEmpty),
			} {
				if diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			if a.vhost != "site" || a.login.Mechanism != "PLAIN" || a.login.Response != "\x00gw\x00"+secret {
				t.Errorf("entered %q by %s", a.vhost, a.login.Mechanism)
			}
			if a.qos.PrefetchCount != 65535 || a.qos.Global {
				t.Errorf("asked for %+v", a.qos)
			}
			if a.tune.Heartbeat != 10 || a.tune.FrameMax != 131072 || a.tune.ChannelMax != 1 {
				t.Errorf("agreed on %+v", a.tune)
			}
		})
	}
}

func TestPropertiesComeAsTheyWere(t *testing.T) {
	headers := amqp.Table{
		{Key: "void", Value: nil}, {Key: "bool", Value: true}, {Key: "int8", Value: int8(-8)}, {Key: "uint8", Value: uint8(200)},
		{Key: "int16", Value: int16(-1600)}, {Key: "uint16", Value: uint16(60000)}, {Key: "int32", Value: int32(-1 << 31)},
		{Key: "uint32", Value: uint32(1<<32 - 1)}, {Key: "int64", Value: int64(-1 << 63)}, {Key: "float32", Value: float32(1.5)},
		{Key: "float64", Value: 2.5}, {Key: "decimal", Value: amqp.Decimal{Scale: 3, Value: 1<<32 - 1}}, {Key: "string", Value: "sträng"},
		{Key: "bytes", Value: []byte{0, 255}}, {Key: "time", Value: amqp.Timestamp(1 << 63)},
		{Key: "array", Value: amqp.Array{int8(1), "two", amqp.Array{}, amqp.Table{{Key: "x", Value: int16(3)}}}},
		{Key: "again", Value: int8(1)}, {Key: "again", Value: int8(2)}, {Key: "empty", Value: amqp.Table{}},
	}
	list := amqp.PropertyList{
		ContentType: "text/plain", ContentEncoding: "gzip", Headers: headers, DeliveryMode: 2, Priority: 7,
		CorrelationID: "c", ReplyTo: "r", Expiration: "60000", MessageID: "m", Timestamp: 1234567890, Type: "t", AppID: "", ClusterID: "k",
		Flags: amqp.HasAppID, // there, and empty
	}.Encode().List()
	body := strings.Repeat("x", 200_000) // several frames
	_, r := openAt(t, SourceOptions{}, 8, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			p.deliver(letter{tag: 1, exchange: "x", key: "a.b", redelivered: true, props: list, body: body})
			p.verdicts(0)
		}
	})
	got := take(t, r, 1)[0]
	want := bridge.Message{Tag: 1, Exchange: "x", Key: "a.b", Props: list, Body: []byte(body), Redelivered: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("came (-want +got):\n%s", diff)
	}
}

func TestWhatMeansSomethingElseHere(t *testing.T) {
	long := strings.Repeat("level.", 50)
	tests := []struct {
		name string
		key  string
		in   amqp.PropertyList
		want string // key
		out  amqp.PropertyList
	}{
		{"a user of theirs", "k", amqp.PropertyList{UserID: "pump"}, "k", amqp.PropertyList{Headers: amqp.Table{{Key: HeaderUser, Value: "pump"}}}},
		{"a user of ours that they sent on", "k", amqp.PropertyList{UserID: "gw", Headers: amqp.Table{{Key: HeaderUser, Value: "anna"}}}, "k",
			amqp.PropertyList{Headers: amqp.Table{{Key: HeaderUser, Value: "anna"}}}},
		{"a cut key", long[:255], amqp.PropertyList{Headers: amqp.Table{{Key: HeaderKey, Value: long}}}, long, amqp.PropertyList{Headers: amqp.Table{}}},
		{"another key", "k", amqp.PropertyList{Headers: amqp.Table{{Key: HeaderKey, Value: long}}}, "k",
			amqp.PropertyList{Headers: amqp.Table{{Key: HeaderKey, Value: long}}}},
	}
	for _, tt := range tests {
		tt.in.MessageID, tt.out.MessageID = "m", "m"
		m := received(&delivery{key: tt.key, props: tt.in.Encode()})
		m.Props.Flags, tt.out.Flags = m.Props.Flags&amqp.HasUserID, 0
		if diff := cmp.Diff(tt.out, m.Props); diff != "" || m.Key != tt.want {
			t.Errorf("%s: key %q, properties (-want +got):\n%s", tt.name, m.Key, diff)
		}
	}
}

func TestWhatWasHereIsNotTakenAgain(t *testing.T) {
	verdicts := make(chan []wire091.Method, 1)
	path := func(nodes string) amqp.PropertyList {
		return amqp.PropertyList{MessageID: "m", Headers: amqp.Table{{Key: bridge.HeaderPath, Value: nodes}}}
	}
	s, r := openAt(t, SourceOptions{Options: Options{Node: "here"}}, 8, func(p *peer) {
		if _, err := p.feed(0); err != nil {
			return
		}
		p.deliver(letter{tag: 1, key: "a", props: path("there here")})
		p.deliver(letter{tag: 2, key: "b", props: path("there")})
		p.deliver(letter{tag: 3, key: "c"})
		verdicts <- p.verdicts(1)
		p.verdicts(0)
	})
	got := take(t, r, 2)
	if diff := cmp.Diff([]wire091.Method{&wire091.BasicAck{DeliveryTag: 1}}, <-verdicts); diff != "" {
		t.Errorf("of what was here (-want +got):\n%s", diff)
	}
	for i, want := range []string{"there " + s.node() + " here", s.node() + " here"} {
		if v, _ := got[i].Props.Headers.Get(bridge.HeaderPath); v != want || got[i].Tag != uint64(i+2) {
			t.Errorf("message %d has been at %v, want %s", got[i].Tag, v, want)
		}
	}
	if n := s.Ignored(); n != 1 {
		t.Errorf("%d ignored", n)
	}
}

// TestWhatCanNeverBeTaken: it is given back, or it stands in the way; what came
// before it is settled either way.
func TestWhatCanNeverBeTaken(t *testing.T) {
	deep := amqp.Table{}
	for range amqp.TableDepthMax + 1 {
		deep = amqp.Table{{Key: "t", Value: deep}}
	}
	for _, bad := range []struct {
		name string
		l    letter
		why  string
	}{
		{"too large", letter{tag: 2, key: "b", body: strings.Repeat("x", 1001)}, "it has 1001 bytes, at most 1000 are taken here"},
		{"unreadable", letter{tag: 2, key: "b", body: "x", props: amqp.PropertyList{Headers: deep}}, "its properties cannot be read"},
	} {
		for _, reject := range []bool{true, false} {
			t.Run(fmt.Sprint(bad.name, reject), func(t *testing.T) {
				verdicts := make(chan []wire091.Method, 1)
				s, r := openAt(t, SourceOptions{MessageBytesMax: 1000, Reject: reject}, 8, func(p *peer) {
					if _, err := p.feed(0); err != nil {
						return
					}
					p.letters(1, 1)
					p.deliver(bad.l)
					p.letters(3, 3)
					verdicts <- p.verdicts(map[bool]uint64{true: 3, false: 1}[reject])
					p.verdicts(0)
				})
				first := take(t, r, 1)
				if !reject {
					if more, err := remotetest.Take(t, r, 1); err == nil || !strings.Contains(err.Error(), `key "b" stands in the way: `+bad.why) {
						t.Errorf("Take = %v, %v", more, err)
					}
				}
				if err := r.Settle([]bridge.Ack{{Tag: first[0].Tag, Multiple: true}}); err != nil {
					t.Fatal(err)
				}
				want := []wire091.Method{&wire091.BasicAck{DeliveryTag: 1}}
				if reject {
					all := append(first, take(t, r, 2-len(first))...)
					if m := all[1]; m.Tag != 3 {
						t.Errorf("behind it came %+v", m)
					}
					if err := r.Settle([]bridge.Ack{{Tag: 3, Multiple: true}}); err != nil {
						t.Fatal(err)
					}
					want = append(want, &wire091.BasicReject{DeliveryTag: 2}, &wire091.BasicAck{DeliveryTag: 3})
				}
				got := <-verdicts
				if reject && len(got) == 3 { // whether it was looked at before the first was settled is chance
					if _, early := got[0].(*wire091.BasicReject); early {
						got[0], got[1] = got[1], got[0]
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if n := s.Rejected(); n != map[bool]uint64{true: 1}[reject] {
					t.Errorf("%d rejected", n)
				}
			})
		}
	}
}

// TestAHugeMessageIsNotWaitedFor: that it stands in the way is told when it is
// announced, not when all of it has come.
func TestAHugeMessageIsNotWaitedFor(t *testing.T) {
	_, r := openAt(t, SourceOptions{MessageBytesMax: 1000}, 8, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			_, _ = p.Write(wire091.AppendContentHeader(wire091.AppendDeliver(nil, channelID, "leveret-box", 1, false, "x", "k"), channelID, 1<<29, nil))
			p.verdicts(0)
		}
	})
	if m, err := remotetest.Take(t, r, 1); err == nil || !strings.Contains(err.Error(), "it has 536870912 bytes, at most 1000 are taken here") {
		t.Errorf("Take = %v, %v", m, err)
	}
}

func TestBuryingGivesBack(t *testing.T) {
	verdicts := make(chan []wire091.Method, 1)
	script := func(p *peer) {
		if _, err := p.feed(0); err == nil {
			p.letters(1, 3)
			verdicts <- p.verdicts(3)
			p.verdicts(0)
		}
	}
	_, r := openAt(t, SourceOptions{Reject: true}, 8, script)
	take(t, r, 3)
	must(t, r.Settle([]bridge.Ack{{Tag: 3}}))
	if buried, err := r.Bury(1, "refused"); !buried || err != nil {
		t.Errorf("Bury = %v, %v", buried, err)
	}
	want := []wire091.Method{&wire091.BasicAck{DeliveryTag: 3}}
	if diff := cmp.Diff(want, <-verdicts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, r = openAt(t, SourceOptions{}, 8, script)
	take(t, r, 3)
	if buried, err := r.Bury(1, "refused"); buried || err != nil {
		t.Errorf("without a place for them: Bury = %v, %v", buried, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnEndedConsumerCanStillSettle: when the far side ends the consumer nothing
// more comes, and what came is acknowledged.
func TestAnEndedConsumerCanStillSettle(t *testing.T) {
	verdicts := make(chan []wire091.Method, 1)
	_, r := openAt(t, SourceOptions{}, 8, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			p.letters(1, 2)
			p.tell(&wire091.BasicCancel{ConsumerTag: "leveret-box", NoWait: true})
			verdicts <- p.verdicts(2)
			p.verdicts(0)
		}
	})
	take(t, r, 2)
	if m, err := remotetest.Take(t, r, 1); err == nil || !strings.Contains(err.Error(), "ended our consumer") {
		t.Errorf("Take = %v, %v", m, err)
	}
	must(t, r.Settle([]bridge.Ack{{Tag: 2, Multiple: true}}))
	if diff := cmp.Diff([]wire091.Method{&wire091.BasicAck{DeliveryTag: 2, Multiple: true}}, <-verdicts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIDsThatAreMadeUpStay: a message without an id gets one, and the same one
// when it comes again over another link and there is no doubt that it is the
// same.
func TestIDsThatAreMadeUpStay(t *testing.T) {
	t.Parallel()
	say := func(p *peer, tag uint64, body string, redelivered bool) {
		p.deliver(letter{tag: tag, key: "k", body: body, redelivered: redelivered})
	}
	address := listen(t, func(p *peer) {
		if _, err := p.feedAt(1, 0); err == nil {
			for i, body := range []string{"heard", "settled", "on", "off", "on"} {
				say(p, uint64(i+1), body, false)
			}
			p.verdicts(1)
			if d, err := heard[*wire091.QueueDeclare](p); err == nil { // heard the first
				p.tell(&wire091.QueueDeclareOk{Queue: d.Queue})
			}
			p.verdicts(2) // did not hear the second, if anybody asks
		}
	}, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			for i, body := range []string{"settled", "on", "off", "on", "heard"} {
				say(p, uint64(i+1), body, true)
			}
			say(p, 6, "off", false)
			p.verdicts(0)
		}
	})
	s := newSource(t, address, SourceOptions{})
	open := func(n int) ([]bridge.Message, bridge.Reader) {
		r, err := s.Open(context.Background(), 8)
		must(t, err)
		return take(t, r, n), r
	}
	first, r := open(5)
	must(t, r.Settle([]bridge.Ack{{Tag: 1}}))
	until(t, "the far side says that it heard of it", func() bool {
		rr := r.(*reader)
		rr.mu.Lock()
		defer rr.mu.Unlock()
		return len(rr.acked) == 0
	})
	must(t, r.Settle([]bridge.Ack{{Tag: 2}}))
	if _, err := remotetest.Take(t, r, 1); err == nil {
		t.Fatal("the link lives on")
	}
	r.Close()
	second, r := open(6)
	defer r.Close()
	id := func(m bridge.Message) string { return m.Props.MessageID }
	if id(second[0]) != id(first[1]) || id(second[2]) != id(first[3]) {
		t.Errorf("%q and %q came again as %q and %q", id(first[1]), id(first[3]), id(second[0]), id(second[2]))
	}
	ids := map[string]bool{}
	for _, m := range append(first, second[1], second[3], second[4], second[5]) {
		if id(m) == "" || ids[id(m)] {
			t.Errorf("%q is the id of two messages", id(m))
		}
		ids[id(m)] = true
	}
}

// TestAFarSideThatClosesAfterEachMessage: it gives the same message again and
// again, whatever it hears. It is the same one each time, and nothing is left of
// the links.
func TestAFarSideThatClosesAfterEachMessage(t *testing.T) {
	const links = 20
	s := newSource(t, listen(t, func(p *peer) {
		if _, err := p.feed(1); err == nil {
			p.deliver(letter{tag: 1, key: "k", body: "open", redelivered: true})
			p.verdicts(1)
		}
	}), SourceOptions{})
	ids := map[string]bool{}
	for range links {
		r, err := s.Open(context.Background(), 8)
		must(t, err)
		m := take(t, r, 1)[0]
		ids[m.Props.MessageID] = true
		must(t, r.Settle([]bridge.Ack{{Tag: m.Tag, Multiple: true}}))
		if _, err := remotetest.Take(t, r, 1); err == nil {
			t.Fatal("the link lives on")
		}
		r.Close()
	}
	if len(ids) != 1 || len(s.remembered.before) != 1 {
		t.Errorf("one message had the ids %v; %d are remembered", ids, len(s.remembered.before))
	}
}

func TestAStreamGoesOnBehindWhatWasSettled(t *testing.T) {
	from := make(chan any, 2)
	script := func(p *peer) {
		a, err := p.feed(1000)
		if err != nil {
			return
		}
		offset, _ := a.consume.Arguments.Get("x-stream-offset")
		from <- offset
		for i := range 4 {
			p.deliver(letter{tag: uint64(i + 1), key: "k", props: amqp.PropertyList{Headers: amqp.Table{{Key: "x-stream-offset", Value: int64(70 + i)}}}})
		}
		p.verdicts(0)
	}
	var kept int64 // as whoever makes sources keeps it
	o := SourceOptions{
		StreamOffset: amqp.Timestamp(5), Resume: func() int64 { return kept }, Settled: func(next int64) { kept = next },
	}
	address := listen(t, script)
	s := newSource(t, address, o)
	for i, want := range []any{amqp.Timestamp(5), int64(72), int64(72)} {
		if i == 2 { // after a start
			s = newSource(t, address, o)
		}
		r, err := s.Open(context.Background(), 8)
		must(t, err)
		got := take(t, r, 4)
		if id := got[3].Props.MessageID; id != "commands-73" || got[3].Redelivered != (i == 1) {
			t.Errorf("the message at 73 is %q, marked %v", id, got[3].Redelivered)
		}
		must(t, r.Settle([]bridge.Ack{{Tag: 2, Multiple: true}, {Tag: 4}}))
		if _, known := s.Backlog(); known {
			t.Error("what a stream keeps is taken for what waits")
		}
		r.Close()
		if got := <-from; got != want || kept != 72 {
			t.Errorf("consumed from %v, want %v; %d is kept", got, want, kept)
		}
	}
}

// TestAStreamIsReadNoFasterThanItIsSettled: brokers send streams in pieces that
// are larger than what was asked for.
func TestAStreamIsReadNoFasterThanItIsSettled(t *testing.T) {
	const count, window = 40, 3
	_, r := openAt(t, SourceOptions{StreamOffset: "first"}, window, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			for tag := range uint64(count) {
				p.deliver(letter{tag: tag + 1, key: "k"})
			}
			p.verdicts(0)
		}
	})
	for taken := 0; taken < count; {
		got := take(t, r, 1)
		if len(got) > window {
			t.Errorf("%d messages at once", len(got))
		}
		taken += len(got)
		must(t, r.Settle([]bridge.Ack{{Tag: got[len(got)-1].Tag, Multiple: true}}))
	}
}

func TestBacklogIsAskedFor(t *testing.T) {
	t.Parallel()
	s, r := openAt(t, SourceOptions{Options: Options{Heartbeat: time.Second}}, 8, func(p *peer) {
		a, err := p.feed(7)
		if err != nil {
			return
		}
		p.letters(1, 2)
		if d, err := heard[*wire091.QueueDeclare](p); err == nil && d.Passive && d.Queue == a.consume.Queue {
			p.tell(&wire091.QueueDeclareOk{Queue: d.Queue, MessageCount: 40})
		}
		p.verdicts(0)
	})
	if n, known := s.Backlog(); !known || n != 7 {
		t.Errorf("Backlog = %d, %v", n, known)
	}
	take(t, r, 2)
	until(t, "the second answer", func() bool { n, known := s.Backlog(); return known && n == 42 })
	must(t, r.Settle([]bridge.Ack{{Tag: 1}}))
	if n, _ := s.Backlog(); n != 41 {
		t.Errorf("when one is settled Backlog = %d", n)
	}
	r.Close()
	if n, known := s.Backlog(); known {
		t.Errorf("without a link Backlog = %d", n)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(remotetest.Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, remotetest.Patience)
		}
	}
}

// TestASourceHoldsNoMoreThanItsInbox: a far side that sends much is read as fast
// as messages are settled.
func TestASourceHoldsNoMoreThanItsInbox(t *testing.T) {
	const size, count = 1 << 20, 24
	_, r := openAt(t, SourceOptions{}, 1000, func(p *peer) {
		if _, err := p.feed(0); err != nil {
			return
		}
		go func() {
			body := strings.Repeat("x", size)
			for tag := range uint64(count) {
				p.deliver(letter{tag: tag + 1, key: "k", body: body})
			}
		}()
		p.verdicts(0)
	})
	inside := func() (n, bytes int) {
		rr := r.(*reader)
		rr.mu.Lock()
		defer rr.mu.Unlock()
		return rr.load, rr.bytes
	}
	until(t, "the inbox is full", func() bool { _, bytes := inside(); return bytes >= inboxBytesMax })
	time.Sleep(100 * time.Millisecond) // for what would come too much
	if n, bytes := inside(); n > inboxBytesMax/size || bytes > inboxBytesMax+size+messageOverhead {
		t.Errorf("%d messages, %d bytes", n, bytes)
	}
	for taken := 0; taken < count; {
		got := take(t, r, 1)
		taken += len(got)
		must(t, r.Settle([]bridge.Ack{{Tag: got[len(got)-1].Tag, Multiple: true}}))
	}
}

func TestASourceVerifiesTLS(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	address := listen(t, func(p *peer) {
		c := tls.Server(p.Conn, &tls.Config{Certificates: server.TLS.Certificates})
		s := &peer{Conn: c, r: bufio.NewReader(c)}
		if _, err := s.feed(0); err == nil {
			s.verdicts(0)
		}
	})
	late := func() time.Time { return server.Certificate().NotAfter.Add(time.Hour) }
	tests := []struct {
		name   string
		config *tls.Config
		want   string
	}{
		{"system roots", nil, "certificate"},
		{"our roots", &tls.Config{RootCAs: roots}, ""},
		{"another name", &tls.Config{RootCAs: roots, ServerName: "elsewhere.invalid"}, "elsewhere.invalid"},
		{"expired", &tls.Config{RootCAs: roots, Time: late}, "certificate has expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSource(t, "", SourceOptions{Options: Options{URL: "amqps://gw:" + secret + "@" + address, TLS: tt.config}})
			r, err := s.Open(context.Background(), 1)
			if err == nil {
				r.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, want ... %s", err, tt.want)
			}
		})
	}
}

func TestNewSourceRefuses(t *testing.T) {
	long := strings.Repeat("k", 256)
	at := Options{URL: "amqp://u:" + secret + "@h/"}
	tests := []struct {
		name string
		o    SourceOptions
	}{
		{"no url", SourceOptions{Queue: "q"}},
		{"a query", SourceOptions{Options: Options{URL: "amqp://u:" + secret + "@h/?heartbeat=0"}, Queue: "q"}},
		{"no verification", SourceOptions{Options: Options{URL: "amqps://h", TLS: &tls.Config{InsecureSkipVerify: true}}, Queue: "q"}},
		{"no queue", SourceOptions{Options: at}},
		{"a long queue", SourceOptions{Options: at, Queue: long}},
		{"a long key", SourceOptions{Options: at, Queue: "q", Exchange: "x", Key: long}},
	}
	for _, tt := range tests {
		if _, err := NewSource(tt.o); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: NewSource = %v", tt.name, err)
		}
	}
	s, err := NewSource(SourceOptions{Options: at, Queue: "q"})
	if err != nil || s.String() != "queue q at amqp://u@h:5672/%2F" {
		t.Errorf("NewSource = %v, %v", s, err)
	}
}
