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
