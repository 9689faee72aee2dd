package shovel

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
	"leveret/amqp/broker"
	"leveret/bridge"
)

func TestBacklogAndLiveTrafficArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(t, &farSide{serve: honest}, nil)
		k.publish(1000)
		defer k.run()()
		synctest.Wait()
		if st := k.shovel.Status(); st.State != Live || st.Confirmed != 1000 || st.Lag != 0 || st.Links != 1 {
			t.Errorf("after the backlog: %+v", st)
		}
		k.publish(5)
		synctest.Wait()
		if got := k.far.bodies(); !slices.Equal(got, numbers(0, 1005)) {
			t.Errorf("far side took %v", got)
		}
		if q := k.queue(); q.Ready != 0 || q.Unacked != 0 {
			t.Errorf("queue still has %+v", q)
		}
		for _, state := range []string{"dialing", "draining", "live"} {
			if n := strings.Count(k.logged.String(), `msg="shovel is `+state+`"`); n != 1 {
				t.Errorf("logged %q %d times:\n%s", state, n, k.logged.String())
			}
		}
	})
}

func TestDrainingLastsAsLongAsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(l *fakeLink) error {
			for n := uint64(1); ; n++ {
				m, ok := l.receive()
				if !ok {
					return nil
				}
				time.Sleep(time.Second)
				l.far.take(m)
				l.answer(n, bridge.Confirmed, "")
			}
		}
		k := newBench(t, &farSide{serve: slow}, nil)
		k.publish(20)
		defer k.run()()
		time.Sleep(10*time.Second + time.Millisecond)
		if st := k.shovel.Status(); st.State != Draining || st.Confirmed != 10 || st.Lag != 10 {
			t.Errorf("in the middle: %+v", st)
		}
		time.Sleep(11 * time.Second)
		if st := k.shovel.Status(); st.State != Live {
			t.Errorf("at the end: %+v", st)
		}
	})
}

func TestMessagesLeaveWithIDAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(t, &farSide{serve: honest}, nil)
		own := amqp.PropertyList{MessageID: "own", Timestamp: 7, Headers: amqp.Table{{Key: "h", Value: int8(1)}}}
		k.put(&amqp.Message{Props: own.Encode()})
		k.put(&amqp.Message{})
		defer k.run()()
		synctest.Wait()
		first, second := k.far.took[0].Props, k.far.took[1].Props
		if first.MessageID != "own" || first.Timestamp != 7 || len(first.Headers) != 1 {
			t.Errorf("own properties left as %+v", first)
		}
		if !strings.HasPrefix(second.MessageID, "box-1-") || second.Timestamp != amqp.Timestamp(bootBase.Unix()) {
			t.Errorf("missing properties left as %+v", second)
		}
		if up := k.shovel.Status().ConfirmedUpTo; !up.Equal(bootBase) {
			t.Errorf("ConfirmedUpTo = %v, want %v", up, bootBase)
		}
	})
}

func TestAfterALostLinkUnconfirmedMessagesAreSentAgainAndMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{}
		far.serve = func(l *fakeLink) error {
			if l.link > 1 {
				return honest(l)
			}
			for n := uint64(1); n <= 10; n++ {
				m, _ := l.receive()
				l.far.take(m)
				if n <= 4 {
					l.answer(n, bridge.Confirmed, "")
				}
			}
			return errors.New("cable cut")
		}
		k := newBench(t, far, nil)
		k.publish(20)
		defer k.run()()
		synctest.Wait()
		if st := k.shovel.Status(); st.State != Down || st.LastError != "cable cut" || st.Confirmed != 4 || st.Lag != 16 {
			t.Errorf("when cut: %+v", st)
		}
		if q := k.queue(); q.Unacked != 0 || q.Consumers != 0 || q.Ready != 16 {
			t.Errorf("queue while down: %+v", q)
		}
		time.Sleep(3 * time.Second)
		want := append(numbers(0, 10), numbers(4, 20)...)
		if got := far.bodies(); !slices.Equal(got, want) {
			t.Errorf("far side took %v, want %v", got, want)
		}
		for i, m := range far.took[10:16] {
			if _, marked := m.Props.Headers.Get(bridge.HeaderRedelivered); !marked {
				t.Errorf("message %s was sent again without its mark", m.Body)
			}
			if m.Props.MessageID != far.took[4+i].Props.MessageID {
				t.Errorf("message %s changed its id", m.Body)
			}
		}
	})
}

func TestARefusedMessageKeepsItsPlace(t *testing.T) {
	for _, outcome := range []bridge.Outcome{bridge.Refused, bridge.Returned} {
		t.Run(outcome.String(), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testRefusal(t, outcome) }) })
	}
}

func testRefusal(t *testing.T, outcome bridge.Outcome) {
	far := &farSide{}
	sentOn := map[int]int{}
	far.serve = func(l *fakeLink) error {
		for n := uint64(1); ; n++ {
			m, ok := l.receive()
			if !ok {
				return nil
			}
			sentOn[l.link]++
			if string(m.Body) == "3" && l.link <= 3 {
				l.answer(n, outcome, "no thanks")
				continue
			}
			l.far.take(m)
			l.answer(n, bridge.Confirmed, "")
		}
	}
	k := newBench(t, far, nil)
	k.publish(8)
	defer k.run()()
	synctest.Wait()
	st := k.shovel.Status()
	if st.State != Down || !strings.Contains(st.LastError, "no thanks") || st.Confirmed != 3 || st.Lag != 5 {
		t.Errorf("when refused: %+v", st)
	}
	if st.Refused+st.Returned != 1 || (st.Returned == 1) != (outcome == bridge.Returned) {
		t.Errorf("%v counted as %d refused, %d returned", outcome, st.Refused, st.Returned)
	}
	time.Sleep(10 * time.Minute)
	// Some of what was behind it came before it, and then all again from it on.
	got := far.bodies()
	ahead := len(got) - 5
	want := append(numbers(0, 3), numbers(4, 4+ahead-3)...)
	want = append(want, numbers(3, 8)...)
	if ahead < 3 || ahead > 7 || !slices.Equal(got, want) {
		t.Errorf("far side took %v", got)
	}
	if sentOn[2] != 1 || sentOn[3] != 1 {
		t.Errorf("sent %d and %d messages on the links that refused the first, want it alone", sentOn[2], sentOn[3])
	}
	if st := k.shovel.Status(); st.State != Live || st.Lag != 0 {
		t.Errorf("at the end: %+v", st)
	}
}

func TestASilentLinkIsTakenForDead(t *testing.T) {
	tests := []struct {
		name  string
		serve func(*fakeLink) error
	}{
		{"reads and never answers", func(l *fakeLink) error {
			for {
				if _, ok := l.receive(); !ok {
					return nil
				}
			}
		}},
		{"never reads", deaf},
		{"answers the first", func(l *fakeLink) error {
			l.receive()
			l.answer(1, bridge.Confirmed, "")
			return deaf(l)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newBench(t, &farSide{serve: tt.serve}, func(o *Options) { o.Messages = 4 })
				k.publish(50)
				defer k.run()()
				time.Sleep(29 * time.Second)
				if st := k.shovel.Status(); st.State == Down || st.Links != 1 {
					t.Errorf("before its time: %+v", st)
				}
				time.Sleep(1500 * time.Millisecond)
				if st := k.shovel.Status(); st.State != Down || st.LastError != "no confirm for 30s" {
					t.Errorf("after its time: %+v", st)
				}
				if q := k.queue(); q.Unacked != 0 || q.Consumers != 0 {
					t.Errorf("queue while down: %+v", q)
				}
			})
		})
	}
}

func TestAFarSideThatHoldsPublishersIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{serve: func(l *fakeLink) error {
			l.hold("low on memory")
			time.Sleep(10 * time.Minute)
			l.hold("")
			return honest(l)
		}}
		k := newBench(t, far, nil)
		k.publish(5)
		defer k.run()()
		time.Sleep(9 * time.Minute)
		if st := k.shovel.Status(); st.State != Draining || st.Held != "low on memory" {
			t.Errorf("while held: %+v", st)
		}
		time.Sleep(2 * time.Minute)
		if st := k.shovel.Status(); st.Confirmed != 5 || st.Links != 1 || st.Held != "" {
			t.Errorf("afterwards: %+v", st)
		}
	})
}

func TestALyingFarSideSettlesNothing(t *testing.T) {
	for _, number := range []uint64{0, 2, 1 << 63} {
		synctest.Test(t, func(t *testing.T) {
			k := newBench(t, &farSide{serve: func(l *fakeLink) error {
				l.receive()
				l.answer(number, bridge.Confirmed, "")
				return deaf(l)
			}}, nil)
			k.publish(3)
			defer k.run()()
			synctest.Wait()
			st := k.shovel.Status()
			if st.State != Down || !strings.Contains(st.LastError, "not under way") || st.Lag != 3 || st.Confirmed != 0 {
				t.Errorf("confirm of %d: %+v", number, st)
			}
		})
	}
}

func TestOfflineItHoldsNothingAndDialsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{dial: func(int) error { return errors.New("no route to host") }}
		k := newBench(t, far, nil)
		k.publish(10)
		defer k.run()()
		time.Sleep(24 * time.Hour)
		if n := len(far.dials()); n < 24*60 || n > 24*60*4 {
			t.Errorf("dialled %d times in a day", n)
		}
		if q := k.queue(); q.Ready != 10 || q.Unacked != 0 || q.Consumers != 0 {
			t.Errorf("queue while offline: %+v", q)
		}
	})
}

func TestALinkThatConfirmsNothingDoesNotResetTheBackoff(t *testing.T) {
	tests := []struct {
		name  string
		serve func(*fakeLink) error
		soon  bool // the tenth attempt still comes soon
	}{
		{"lost at once", func(*fakeLink) error { return errDown }, false},
		{"lost after 10 s", func(*fakeLink) error { time.Sleep(11 * time.Second); return errDown }, true},
		{"refuses", func(l *fakeLink) error {
			l.receive()
			l.answer(1, bridge.Refused, "no")
			return deaf(l)
		}, false},
		{"refuses after 10 s", func(l *fakeLink) error {
			l.receive()
			time.Sleep(11 * time.Second)
			l.answer(1, bridge.Refused, "no")
			return deaf(l)
		}, false},
		{"confirms one", func(l *fakeLink) error {
			l.receive()
			l.answer(1, bridge.Confirmed, "")
			return errDown
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &farSide{serve: tt.serve}
				k := newBench(t, far, func(o *Options) { o.Backoff.Rand = func() float64 { return 0.9 } })
				k.publish(800)
				defer k.run()()
				time.Sleep(15 * time.Minute)
				at := far.dials()
				if gap := at[10].Sub(at[9]); (gap < 20*time.Second) != tt.soon {
					t.Errorf("attempt 11 came %v after attempt 10", gap)
				}
			})
		})
	}
}

func TestNudgeEndsABackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{serve: honest, dial: func(n int) error {
			if n < 10 {
				return errDown
			}
			return nil
		}}
		k := newBench(t, far, func(o *Options) { o.Backoff.Rand = func() float64 { return 1 } })
		k.publish(1)
		defer k.run()()
		for range 9 {
			synctest.Wait()
			k.shovel.Nudge()
		}
		synctest.Wait()
		if st := k.shovel.Status(); st.State != Live || st.Confirmed != 1 {
			t.Errorf("after nine nudges: %+v", st)
		}
	})
}

func TestPauseClosesTheLinkAndResumeOpensIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{serve: honest}
		k := newBench(t, far, func(o *Options) { o.Paused = true })
		k.publish(3)
		defer k.run()()
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.State != Paused || len(far.dials()) != 0 {
			t.Fatalf("started paused: %+v, %d dials", st, len(far.dials()))
		}
		k.shovel.Resume()
		synctest.Wait()
		k.shovel.Pause()
		synctest.Wait()
		k.publish(3)
		time.Sleep(time.Hour)
		if st := k.shovel.Status(); st.State != Paused || st.Confirmed != 3 || st.LastError != "" || k.queue().Consumers != 0 {
			t.Errorf("paused: %+v", st)
		}
		k.shovel.Resume()
		synctest.Wait()
		if st := k.shovel.Status(); st.State != Live || st.Confirmed != 6 || st.Reconnects() != 1 {
			t.Errorf("resumed: %+v", st)
		}
	})
}

func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{serve: func(l *fakeLink) error {
			l.receive()
			l.answer(1, bridge.Confirmed, "")
			var n uint64 = 1
			for range 4 {
				m, _ := l.receive()
				l.far.take(m)
			}
			time.Sleep(2 * time.Second)
			for range 4 {
				n++
				l.answer(n, bridge.Confirmed, "")
			}
			return deaf(l)
		}}
		k := newBench(t, far, func(o *Options) { o.Messages = 4 })
		k.publish(20)
		stop := k.run()
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("stopping took %v, want 2s", took)
		}
		if st := k.shovel.Status(); st.Confirmed != 5 || st.Lag != 15 || st.State != Down {
			t.Errorf("stopped: %+v", st)
		}
	})
}

func TestStopGivesUpAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(t, &farSide{serve: deaf}, nil)
		k.publish(3)
		stop := k.run()
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != finishMax {
			t.Errorf("stopping took %v, want %v", took, finishMax)
		}
		if q := k.queue(); q.Ready != 3 || q.Unacked != 0 {
			t.Errorf("queue afterwards: %+v", q)
		}
	})
}

func TestTheWindowBoundsMessagesAndBytes(t *testing.T) {
	tests := []struct {
		name            string
		messages, bytes int
		body            int
		want            int
	}{
		{"messages", 8, 1 << 20, 10, 8},
		{"bytes", 100, 10 * (1000 + messageOverhead), 1000, 10},
		{"one too large for the window", 100, 4000, 5000, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &farSide{serve: func(l *fakeLink) error {
					l.receive()
					l.answer(1, bridge.Confirmed, "")
					return deaf(l)
				}}
				k := newBench(t, far, func(o *Options) { o.Messages, o.Bytes = tt.messages, tt.bytes })
				for range 200 {
					k.put(&amqp.Message{Body: make([]byte, tt.body)})
				}
				defer k.run()()
				time.Sleep(time.Second)
				if n := k.shovel.Status().InFlight; n != tt.want {
					t.Errorf("%d messages under way, want %d", n, tt.want)
				}
				if q := k.queue(); q.Unacked > tt.messages {
					t.Errorf("%d messages held of the queue, want at most %d", q.Unacked, tt.messages)
				}
			})
		})
	}
}

func TestAQueueThatIsGoneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(t, &farSide{serve: honest}, nil)
		defer k.run()()
		synctest.Wait()
		if _, _, err := k.conn.DeleteQueue("q", false, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := k.shovel.Status(); st.State != Down || !strings.Contains(st.LastError, "deleted") {
			t.Errorf("when deleted: %+v", st)
		}
		time.Sleep(time.Minute)
		if st := k.shovel.Status(); st.State != Down || !strings.Contains(st.LastError, "NOT_FOUND") {
			t.Errorf("while missing: %+v", st)
		}
		if _, _, err := k.conn.DeclareQueue(broker.QueueSpec{Name: "q"}); err != nil {
			t.Fatal(err)
		}
		k.publish(2)
		time.Sleep(2 * time.Minute)
		if st := k.shovel.Status(); st.State != Live || st.Confirmed != 2 {
			t.Errorf("when back: %+v", st)
		}
	})
}

// TestSameFailureIsToldOnce: the log of a week offline stays short.
func TestSameFailureIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farSide{dial: func(int) error { return errors.New("no route to host") }}
		k := newBench(t, far, nil)
		stop := k.run()
		time.Sleep(24 * time.Hour)
		stop()
		told := strings.Count(k.logged.String(), "level=WARN")
		if failures := k.shovel.Status().Failures; told != 1 || failures < 100 {
			t.Errorf("%d failures were told %d times, want once", failures, told)
		}
	})
}
