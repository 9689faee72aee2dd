package amqp091

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"leveret/amqp"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

func send(t *testing.T, l bridge.Link, messages ...bridge.Message) {
	t.Helper()
	for i := range messages {
		if err := l.Send(&messages[i]); err != nil {
			t.Fatalf("Send(%d) = %v", i, err)
		}
	}
}

func message(key, body string) bridge.Message {
	return bridge.Message{Key: key, Body: []byte(body), Props: amqp.PropertyList{MessageID: "id-" + body}}
}

func TestAnswersNameTheMessagesTheyAreAbout(t *testing.T) {
	_, l, err := dial(t, TargetOptions{}, func(p *peer) {
		if p.open(0) != nil {
			return
		}
		var got []published
		for range 6 {
			m, err := p.receive()
			if err != nil {
				return
			}
			got = append(got, m)
		}
		p.sendBack(&got[1]) // a return, long before its confirm
		p.ack(3, 0)         // before older ones
		p.ack(1, 0)
		p.nack(4)
		p.sendBack(&got[4])
		p.ack(6, 1)
		p.goodbye()
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, l, message("a", "1"), message("a", "2"), message("a", "3"), message("a", "4"), message("a", "5"), message("a", "6"))
	want := []bridge.Outcome{bridge.Confirmed, bridge.Returned, bridge.Confirmed, bridge.Refused, bridge.Returned, bridge.Confirmed}
	got := remotetest.Answers(t, l, 6)
	slices.SortFunc(got, func(a, b bridge.Answer) int { return int(a.Number) - int(b.Number) })
	for i, a := range got {
		if a.Number != uint64(i+1) || a.Outcome != want[i] {
			t.Errorf("answer %d is %+v, want %v", i+1, a, want[i])
		}
	}
	if r := got[1].Reason; !strings.Contains(r, "312 NO_ROUTE") || !strings.Contains(r, `"up"`) || !strings.Contains(r, `"a"`) {
		t.Errorf("reason of a return: %q", r)
	}
	l.Close()
	if _, open := <-l.Answers(); open {
		t.Error("an answer after Close")
	}
}

func TestReturnsOfEqualIDsGoToTheOldestOfTheKey(t *testing.T) {
	p := pending{oldest: 1}
	for _, key := range []string{"a", "b", "b", "a"} {
		p.push(sent{id: "same", key: key})
	}
	for _, want := range []uint64{2, 3} {
		if n, ok := p.mark("same", "b"); !ok || n != want {
			t.Errorf("mark(same, b) = %d, %v, want %d", n, ok, want)
		}
	}
	if n, ok := p.mark("same", "b"); ok {
		t.Errorf("a third return of b is message %d", n)
	}
	for _, step := range []struct {
		number   uint64
		multiple bool
		want     []uint64
		bad      bool
	}{
		{3, false, nil, false}, // returned before
		{3, false, nil, true},
		{2, true, []uint64{1}, false},
		{2, true, nil, false}, // nothing new
		{2, false, nil, true},
		{5, true, nil, true},
		{0, true, nil, true},
		{4, true, []uint64{4}, false},
	} {
		if got, err := p.take(step.number, step.multiple); !slices.Equal(got, step.want) || (err != nil) != step.bad {
			t.Errorf("take(%d, %v) = %v, %v, want %v", step.number, step.multiple, got, err, step.want)
		}
	}
	if len(p.queue) > 0 || p.oldest != 5 {
		t.Errorf("left are %v, from %d on", p.queue, p.oldest)
	}
}

// TestHostileAfterOpening: whatever an open far side does, the link ends with
// a reason, nothing false is confirmed, and no secret is repeated.
func TestHostileAfterOpening(t *testing.T) {
	tests := []struct {
		name   string
		answer func(*peer, *published)
		want   string
	}{
		{"confirms what was never sent", func(p *peer, _ *published) { p.ack(2, 0) }, "confirmed message 2 of 1"},
		{"confirms all there ever will be", func(p *peer, _ *published) { p.ack(1<<63, 1) }, "confirmed message 9223372036854775808 of 1"},
		{"confirms message 0", func(p *peer, _ *published) { p.ack(0, 1) }, "confirmed message 0"},
		{"confirms twice", func(p *peer, _ *published) {
			p.nack(1)
			time.Sleep(50 * time.Millisecond)
			p.ack(1, 0)
		}, "confirmed message 1 again"},
		{"confirms in two octets", func(p *peer, _ *published) { p.send(frameMethod, 1, method(60, 80, uint16(1))) }, "goes past the end"},
		{"returns what was never sent", func(p *peer, m *published) {
			p.sendBack(&published{exchange: m.exchange, key: "other", props: m.props})
		}, "which was not under way"},
		{"returns it twice", func(p *peer, m *published) { p.sendBack(m); p.sendBack(m) }, "which was not under way"},
		{"returns a huge message", func(p *peer, m *published) {
			p.send(frameMethod, 1, method(60, 50, uint16(312), "NO_ROUTE", m.exchange, m.key))
			p.send(frameHeader, 1, method(60, 0, uint64(1<<62), uint16(0)))
		}, "the longest sent has 1"},
		{"returns more than it announced", func(p *peer, m *published) {
			p.send(frameMethod, 1, method(60, 50, uint16(312), "NO_ROUTE", m.exchange, m.key))
			p.send(frameHeader, 1, append(method(60, 0, uint64(1)), m.props...))
			p.send(frameBody, 1, []byte("xx"))
		}, "out of place"},
		{"says something within a return", func(p *peer, m *published) {
			p.send(frameMethod, 1, method(60, 50, uint16(312), "NO_ROUTE", m.exchange, m.key))
			p.ack(1, 0)
		}, "a method within a message"},
		{"sends content", func(p *peer, _ *published) { p.send(frameBody, 1, []byte("x")) }, "out of place"},
		{"says goodbye without being asked", func(p *peer, _ *published) { p.send(frameMethod, 0, method(10, 51)) }, "connection.close-ok on channel 0"},
		{"sends a huge frame", func(p *peer, _ *published) { p.say("\x03\x00\x01\x7f\xff\xff\xff") }, "frame_too_large"},
		{"delivers", func(p *peer, _ *published) {
			p.send(frameMethod, 1, method(60, 60, "tag", uint64(1), uint8(0), "x", "k"))
		}, "basic.deliver on channel 1"},
		{"uses another channel", func(p *peer, _ *published) { p.send(frameMethod, 7, method(60, 80, uint64(1), uint8(0))) }, "a frame of type 1 on channel 7"},
		{"heartbeat on a channel", func(p *peer, _ *published) { p.send(frameHeartbeat, 1, nil) }, "UNEXPECTED_FRAME"},
		{"sends garbage", func(p *peer, _ *published) { _, _ = io.WriteString(p, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "FRAME_ERROR"},
		{"ends a frame badly", func(p *peer, _ *published) { _, _ = p.Write([]byte{frameHeartbeat, 0, 0, 0, 0, 0, 0, 1}) }, "invalid_frame_end_marker,1"},
		{"closes the channel", func(p *peer, _ *published) {
			p.send(frameMethod, 1, method(20, 40, uint16(404), "NOT_FOUND - no exchange 'up' in vhost 'site' for "+secret, uint16(60), uint16(40)))
			p.goodbye()
		}, "404 NOT_FOUND - no exchange 'up'"},
		{"closes the connection", func(p *peer, _ *published) {
			p.send(frameMethod, 0, method(10, 50, uint16(320), "CONNECTION_FORCED - "+secret, uint16(0), uint16(0)))
		}, "320 CONNECTION_FORCED"},
		{"drops the socket", func(p *peer, _ *published) {}, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, l, err := dial(t, TargetOptions{}, func(p *peer) {
				if p.open(0) != nil {
					return
				}
				m, err := p.receive()
				if err != nil {
					return
				}
				tt.answer(p, &m)
				if tt.want != "EOF" {
					_, _ = io.Copy(io.Discard, p.r)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			send(t, l, message("k", "x"))
			for _, a := range remotetest.Answers(t, l, 16) {
				if a.Outcome == bridge.Confirmed {
					t.Errorf("answered %+v", a)
				}
			}
			if err := l.Err(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("Err() = %v, want ... %s", err, tt.want)
			}
			m := message("k", "y")
			if err := l.Send(&m); err == nil {
				t.Error("Send on an ended link succeeds")
			}
		})
	}
}

func TestSilenceForTwoHeartbeatsEndsTheLink(t *testing.T) {
	began := time.Now() // earlier than anything that is heard
	_, l, err := dial(t, TargetOptions{Options: Options{Heartbeat: time.Second}}, func(p *peer) {
		if p.open(0) == nil {
			_, _ = io.Copy(io.Discard, p.r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	remotetest.Answers(t, l, 1) // waits for the link's end, and not for ever
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("noticed after %v", took)
	}
	if err := l.Err(); err == nil || !strings.Contains(err.Error(), "nothing was heard for 2s") {
		t.Errorf("Err() = %v", err)
	}
}

func TestBlockedFarSideIsWaitedFor(t *testing.T) {
	free := make(chan struct{})
	_, l, err := dial(t, TargetOptions{}, func(p *peer) {
		if p.open(0) != nil {
			return
		}
		for n := uint64(1); n <= 2; n++ {
			if _, err := p.receive(); err != nil {
				return
			}
			if n == 1 {
				p.send(frameMethod, 0, method(10, 60, "low on memory "+secret))
			}
			p.ack(n, 0)
			if n == 1 {
				<-free
				p.send(frameMethod, 0, method(10, 61))
			}
		}
		p.send(frameMethod, 0, method(10, 60, "again"))
		_, _ = io.Copy(io.Discard, p.r)
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, l, message("k", "1"))
	remotetest.Answers(t, l, 1)
	if held := l.Held(); held != "connection.blocked: low on memory ***" {
		t.Errorf("Held() = %q", held)
	}
	sent := make(chan error, 1)
	go func() { m := message("k", "2"); sent <- l.Send(&m) }()
	select {
	case err := <-sent:
		t.Errorf("Send while blocked = %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(free)
	if err := <-sent; err != nil {
		t.Errorf("Send when unblocked = %v", err)
	}
	remotetest.Answers(t, l, 1)
	for l.Held() == "" {
		time.Sleep(time.Millisecond)
	}
	go func() { m := message("k", "3"); sent <- l.Send(&m) }()
	l.Close()
	if err := <-sent; err == nil {
		t.Error("Send on a closed link succeeds")
	}
}

// TestCloseFreesAStalledSend: the far side reads nothing any more, and the
// socket's buffers are full.
func TestCloseFreesAStalledSend(t *testing.T) {
	stalled := make(chan struct{})
	_, l, err := dial(t, TargetOptions{}, func(p *peer) {
		if p.open(0) == nil {
			<-stalled
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for {
			m := bridge.Message{Key: "k", Body: make([]byte, 1<<20)}
			if err := l.Send(&m); err != nil {
				sent <- err
				return
			}
		}
	}()
	time.Sleep(300 * time.Millisecond)
	began := time.Now()
	l.Close()
	if took := time.Since(began); took > closeTimeout+longMax {
		t.Errorf("Close took %v", took)
	}
	if err := <-sent; err == nil {
		t.Error("Send succeeds for ever")
	}
	close(stalled)
}
