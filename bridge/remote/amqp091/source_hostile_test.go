package amqp091

import (
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"leveret/amqp/wire091"
	"leveret/bridge"
	"leveret/bridge/remote/remotetest"
)

// TestHostileWhileConsuming: whatever an open far side does, the link ends with
// a reason, nothing is acknowledged that was not settled, and no secret is
// repeated.
func TestHostileWhileConsuming(t *testing.T) {
	deliver := wire091.AppendDeliver(nil, channelID, "leveret-box", 2, false, "x", "k")
	header := func(size uint64) []byte { return wire091.AppendContentHeader(nil, channelID, size, nil) }
	piece := func(n int) []byte { return wire091.AppendBody(nil, channelID, make([]byte, n), 0) }
	write := func(parts ...[]byte) func(*peer) {
		return func(p *peer) {
			for _, b := range parts {
				_, _ = p.Write(b)
			}
		}
	}
	tests := []struct {
		name  string
		doing func(*peer)
		want  string
	}{
		{"delivers a number again", func(p *peer) { p.letters(1, 1) }, "delivers number 1 after 1"},
		{"delivers number 0", write(wire091.AppendDeliver(nil, channelID, "leveret-box", 0, false, "x", "k")), "delivers number 0 after 1"},
		{"delivers to another consumer", func(p *peer) { p.deliver(letter{consumer: "leveret", tag: 2}) }, `a consumer "leveret"`},
		{"delivers more than asked for", func(p *peer) { p.letters(2, 5) }, "more than the 4 messages"},
		{"announces a huge message", write(deliver, header(1<<62)), "announces a message of 4611686018427387904 bytes"},
		{"sends more than it announced", write(deliver, header(3), piece(4)), "a body of 4 bytes and announced 3"},
		{"sends empty pieces", write(deliver, header(3), rawFrame(frameBody, 1, nil)), "a body of 0 bytes and announced 3"},
		{"sends a body without a header", write(deliver, piece(1)), "out of place"},
		{"sends a body without a delivery", write(piece(1)), "out of place"},
		{"sends a header without a delivery", write(header(1)), "out of place"},
		{"sends a method within a message", write(deliver, header(3), wire091.AppendMethod(nil, channelID, &wire091.ChannelFlow{})), "a method within a message"},
		{"sends half a header", write(deliver, rawFrame(frameHeader, 1, []byte{0, 60, 0, 0})), "unknown_frame"},
		{"sends content of another class", write(deliver, rawFrame(frameHeader, 1, append(binary.BigEndian.AppendUint64([]byte{0, 85, 0, 0}, 0), 0, 0))), "class 85"},
		{"sends a huge frame", func(p *peer) { p.say("\x03\x00\x01\x7f\xff\xff\xff") }, "frame_too_large"},
		{"uses another channel", write(wire091.AppendMethod(nil, 7, &wire091.BasicCancel{})), "a frame of type 1 on channel 7"},
		{"confirms", func(p *peer) { p.ack(1, 0) }, "basic.ack on channel 1"},
		{"returns", write(wire091.AppendMethod(nil, channelID, &wire091.BasicReturn{})), "basic.return on channel 1"},
		{"counts without being asked", func(p *peer) { p.tell(&wire091.QueueDeclareOk{Queue: "commands", MessageCount: 9}) }, "queue.declare-ok on channel 1"},
		{"says goodbye without being asked", write(rawFrame(frameMethod, 0, method(10, 51))), "connection.close-ok on channel 0"},
		{"starts again", write(rawFrame(frameMethod, 0, method(10, 30, uint16(1), uint32(1), uint16(1)))), "connection.tune on channel 0"},
		{"sends a method that there is not", write(rawFrame(frameMethod, 1, method(60, 999))), "unimplemented method"},
		{"sends garbage", func(p *peer) { _, _ = io.WriteString(p, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "FRAME_ERROR"},
		{"ends a frame badly", write([]byte{frameHeartbeat, 0, 0, 0, 0, 0, 0, 1}), "invalid_frame_end_marker"},
		{"closes the channel", func(p *peer) {
			p.tell(&wire091.ChannelClose{ReplyCode: 406, ReplyText: "PRECONDITION_FAILED - delivery acknowledgement timed out, " + secret})
		}, "closed by the far side: 406 PRECONDITION_FAILED - delivery acknowledgement timed out, ***"},
		{"closes the connection", func(p *peer) {
			p.send(frameMethod, 0, method(10, 50, uint16(320), "CONNECTION_FORCED - "+secret, uint16(0), uint16(0)))
		}, "320 CONNECTION_FORCED - ***"},
		{"drops the socket", nil, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			verdicts, taken := make(chan []wire091.Method, 1), make(chan struct{})
			_, r := openAt(t, SourceOptions{Reject: true}, 4, func(p *peer) {
				if _, err := p.feed(0); err != nil {
					return
				}
				p.letters(1, 1)
				select {
				case <-taken:
				case <-t.Context().Done():
				}
				if tt.doing == nil {
					return
				}
				tt.doing(p)
				verdicts <- p.verdicts(0)
			})
			if m := take(t, r, 1); m[0].Tag != 1 {
				t.Errorf("took %+v", m[0])
			}
			close(taken)
			_, err := remotetest.Take(t, r, 100)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("Take = %v, want ... %s", err, tt.want)
			}
			if err := r.Settle([]bridge.Ack{{Tag: 1, Multiple: true}}); err == nil {
				t.Error("Settle on an ended link succeeds")
			}
			if tt.doing != nil {
				if got := <-verdicts; len(got) > 0 {
					t.Errorf("the far side was told %v", got)
				}
			}
		})
	}
}

// TestHostileWhileOpeningASource: whatever listens at the address, Open answers
// in its time, with an error that does not hold our password.
func TestHostileWhileOpeningASource(t *testing.T) {
	silent := func(p *peer) { _, _ = io.Copy(io.Discard, p.r) }
	tests := []struct {
		name   string
		script func(*peer)
		want   string
	}{
		{"never answers", silent, "no answer in time"},
		{"closes at once", func(*peer) {}, ""},
		{"speaks HTTP", func(p *peer) { p.say("HTTP/1.1 400 Bad Request\r\n\r\n") }, "not AMQP 0-9-1"},
		{"speaks another AMQP", func(p *peer) { p.say("AMQP\x00\x01\x00\x00") }, "not AMQP 0-9-1"},
		{"starts with a huge frame", func(p *peer) { p.say("\x01\x00\x00\x7f\xff\xff\xff\x00") }, "not AMQP 0-9-1"},
		{"starts with content", func(p *peer) { p.send(frameBody, 1, []byte("x")); silent(p) }, "a frame of type 3 instead of connection.start"},
		{"takes no login of ours", func(p *peer) {
			_, _ = io.ReadFull(p.r, make([]byte, 8))
			p.send(frameMethod, 0, method(10, 10, uint8(0), uint8(9), []byte(nil), []byte("GSSAPI AMQPLAIN"), []byte("en_US")))
			silent(p)
		}, `does not take the login PLAIN, only ["GSSAPI" "AMQPLAIN"]`},
		{"refuses the login silently", func(p *peer) { _ = p.greet() }, "are user and password right?"},
		{"refuses the login and repeats it", func(p *peer) {
			if p.greet() == nil {
				p.send(frameMethod, 0, method(10, 50, uint16(403), "ACCESS_REFUSED - not "+secret, uint16(0), uint16(0)))
			}
		}, "403 ACCESS_REFUSED - not ***"},
		{"never tunes", func(p *peer) {
			if p.greet() == nil {
				silent(p)
			}
		}, "no answer in time"},
		{"asks for more than a login", func(p *peer) {
			if p.greet() == nil {
				p.send(frameMethod, 0, method(10, 20, []byte("challenge")))
				silent(p)
			}
		}, "connection.secure on channel 0 instead of connection.tune"},
		{"refuses the vhost", func(p *peer) {
			if _, err := p.greeted(0); err == nil {
				p.send(frameMethod, 0, method(10, 50, uint16(530), "NOT_ALLOWED - vhost site not found", uint16(10), uint16(40)))
			}
		}, "530 NOT_ALLOWED - vhost site not found"},
		{"has no such queue", func(p *peer) {
			if _, err := p.opened(0); err == nil {
				p.tell(&wire091.ChannelClose{ReplyCode: 404, ReplyText: "NOT_FOUND - no queue 'commands' in vhost 'site'"})
				silent(p)
			}
		}, "404 NOT_FOUND - no queue 'commands'"},
		{"has another consumer", func(p *peer) {
			if _, err := p.opened(0); err != nil {
				return
			}
			if _, err := heard[*wire091.QueueDeclare](p); err != nil {
				return
			}
			p.tell(&wire091.QueueDeclareOk{Queue: "commands"})
			if _, err := heard[*wire091.BasicConsume](p); err == nil {
				p.tell(&wire091.ChannelClose{ReplyCode: 403, ReplyText: "ACCESS_REFUSED - queue 'commands' in vhost 'site' in exclusive use"})
				silent(p)
			}
		}, "in exclusive use (somebody else consumes from the queue"},
		{"names the consumer itself", func(p *peer) {
			if _, err := p.opened(0); err != nil {
				return
			}
			p.tell(&wire091.QueueDeclareOk{Queue: "commands"})
			p.tell(&wire091.BasicConsumeOk{ConsumerTag: "other"})
			silent(p)
		}, `calls our consumer "other"`},
		{"delivers before it was asked", func(p *peer) {
			if _, err := p.opened(0); err == nil {
				p.letters(1, 1)
				silent(p)
			}
		}, "basic.deliver on channel 1 instead of queue.declare-ok"},
		{"never lets us consume", func(p *peer) {
			if _, err := p.opened(0); err == nil {
				p.send(frameMethod, 0, method(10, 60, "low on memory")) // is no answer
				silent(p)
			}
		}, "no answer in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, listen(t, tt.script), SourceOptions{Options: Options{DialTimeout: time.Second}})
			r, err := s.Open(context.Background(), 4)
			if err == nil {
				r.Close()
				t.Fatal("Open succeeds")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), s.farSide.String()) || strings.Contains(err.Error(), secret) {
				t.Errorf("Open = %v, want ... %s", err, tt.want)
			}
		})
	}
}

func TestSilenceForTwoHeartbeatsEndsASource(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	_, r := openAt(t, SourceOptions{Options: Options{Heartbeat: time.Second}}, 4, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			_, err := io.Copy(io.Discard, p.r)
			ended <- err
		}
	})
	if _, err := remotetest.Take(t, r, 1); err == nil || !strings.Contains(err.Error(), "nothing was heard for 2s") {
		t.Errorf("Take = %v", err)
	}
	<-ended // by us: the far side reads on for ever
}

// TestASourceShowsThatItLives: a far side that says nothing but heartbeats is
// sent some, so that each keeps the other.
func TestASourceShowsThatItLives(t *testing.T) {
	t.Parallel()
	lived := make(chan int, 1)
	_, r := openAt(t, SourceOptions{StreamOffset: "next"}, 4, func(p *peer) {
		if _, err := p.feedAt(1, 0); err != nil {
			return
		}
		n := 0
		for n < 3 {
			f, err := p.frame()
			if err != nil {
				break
			}
			if f.kind == frameHeartbeat {
				n++
				p.send(frameHeartbeat, 0, nil)
			}
		}
		lived <- n
		p.letters(1, 1)
		p.verdicts(0)
	})
	take(t, r, 1)
	if n := <-lived; n < 3 {
		t.Errorf("%d heartbeats came", n)
	}
}

// TestCloseFreesASourceThatCannotWrite: the far side reads nothing any more, and
// the socket's buffers are full.
func TestCloseFreesASourceThatCannotWrite(t *testing.T) {
	t.Parallel()
	stalled := make(chan struct{})
	_, r := openAt(t, SourceOptions{}, 4, func(p *peer) {
		if _, err := p.feed(0); err == nil {
			<-stalled
		}
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c := r.(*reader).conn
		for c.write(make([]byte, 1<<20)) == nil {
		}
	}()
	time.Sleep(100 * time.Millisecond)
	r.Close()
	<-ended
	close(stalled)
}
