package health

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestClockIsCorrected boots a board without a battery: it believes the
// program's build time, until the wall clock has been set, once.
func TestClockIsCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64 // of the wall clock to the bubble's
		var synced atomic.Bool
		wall := func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
		built := time.Now().Round(0).Add(24 * time.Hour)
		c := newClock(built, wall, synced.Load)
		if !c.Base.Equal(built) || c.Synchronised {
			t.Fatalf("base %v, synchronised %v: want the build time, and no trust in it", c.Base, c.Synchronised)
		}

		type correction struct {
			base time.Time
			good bool
		}
		var got []correction
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		start := time.Now().Round(0)
		go func() {
			done <- c.Run(ctx, func(base time.Time, good bool) { got = append(got, correction{base, good}) })
		}()
		time.Sleep(time.Hour)
		offset.Store(int64(400 * 24 * time.Hour)) // the network came, and with it the time
		synced.Store(true)
		time.Sleep(time.Hour)
		offset.Add(int64(time.Second)) // adjustment, not a correction
		time.Sleep(time.Hour)
		synced.Store(false) // the server is away; what was right stays right
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		want := []correction{{start.Add(400 * 24 * time.Hour), true}}
		if !slices.Equal(got, want) {
			t.Errorf("corrections %v, want %v", got, want)
		}
		if now := time.Duration(c.Now()); now != 4*time.Hour {
			t.Errorf("the monotonic clock says %v after 4 h", now)
		}
	})
}

func TestReport(t *testing.T) {
	r := NewReport(slog.New(slog.DiscardHandler))
	r.Raise("spool", "one")
	r.Raise("configuration", "two")
	r.Raise("spool", "three")
	if got := r.Troubles(); len(got) != 2 || got[0].Text != "three" || got[1].Name != "configuration" {
		t.Errorf("troubles %+v", got)
	}
	r.Clear("spool")
	if got := r.Troubles(); len(got) != 1 || got[0].Name != "configuration" {
		t.Errorf("troubles after one was cleared %+v", got)
	}
}
