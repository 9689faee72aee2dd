package edge

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"leveret/amqp"
)

func TestTicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		now := func() amqp.Instant { return amqp.Instant(time.Since(start)) }
		var ticks []time.Duration
		tk := newTicker()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- tk.run(ctx, now, func() amqp.Instant {
				ticks = append(ticks, time.Since(start))
				if len(ticks) == 2 {
					return now() + amqp.Instant(time.Minute)
				}
				return 0
			})
		}()
		tk.ask(amqp.Instant(time.Hour))
		tk.ask(amqp.Instant(time.Second)) // nearer: counts
		tk.ask(amqp.Instant(2 * time.Second))
		time.Sleep(time.Minute)
		tk.ask(now() - 5) // over already
		time.Sleep(3 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{time.Second, time.Minute, 2 * time.Minute}
		if !slices.Equal(ticks, want) {
			t.Errorf("ticks at %v, want %v", ticks, want)
		}
	})
}

func TestTickerThatIsAskedForNowAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		now := func() amqp.Instant { return amqp.Instant(time.Since(start)) + 1 }
		const most = int(time.Second/tickPauseMin) + 1
		ticks := 0
		tk := newTicker()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		tk.ask(now())
		go func() {
			done <- tk.run(ctx, now, func() amqp.Instant {
				if ticks++; ticks > most {
					return 0 // time would stand still for ever
				}
				return now()
			})
		}()
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("it goes on after its context has ended")
		}
		if ticks == 0 || ticks > most {
			t.Errorf("%d ticks in a second, want %d at most", ticks, most)
		}
	})
}
